#include "schedule.h"

#include <algorithm>

namespace postern::queue {

std::optional<WallTime> Schedule::next(WallTime accepted, std::uint32_t attempts, WallTime now,
                                       std::uint64_t random) const {
  if (now - accepted >= give_up_after) return std::nullopt;
  const Duration wait = retry.at(std::min<std::size_t>(std::max<std::uint32_t>(attempts, 1), retry.size()) - 1);
  const Duration tenth = wait / 10;
  const Duration varied =
      wait - tenth + Duration(static_cast<std::int64_t>(random % static_cast<std::uint64_t>(2 * tenth.count() + 1)));
  return now + std::chrono::duration_cast<WallTime::duration>(varied);
}

}  // namespace postern::queue

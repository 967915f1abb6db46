#include "core/pipeline/trail_quota.h"

#include <algorithm>
#include <utility>

#include "postern/hash.h"

namespace postern {
namespace {

constexpr double kClockStep = 60;  // seconds by which callers' clocks never differ: a clock that was set back

}  // namespace

TrailSource TrailSource::of(const IpAddress& client) {
  TrailSource out;
  out.v6 = client.is_v6();
  std::copy_n(client.octets(), out.v6 ? 8 : 3, out.bits.begin());
  return out;
}

std::string TrailSource::to_string() const {
  if (v6) {
    std::array<std::uint8_t, 16> octets{};
    std::ranges::copy(bits, octets.begin());
    return IpAddress::v6(octets).to_string() + "/64";
  }
  const auto octet = [this](std::size_t at, int shift) { return static_cast<std::uint32_t>(bits[at]) << shift; };
  return IpAddress::v4(octet(0, 24) | octet(1, 16) | octet(2, 8)).to_string() + "/24";
}

TrailQuota::TrailQuota(std::size_t sources, double rate, double burst, std::uint64_t seed)
    : entries_((std::max(sources, kWays) + kWays - 1) / kWays * kWays), rate_(rate), burst_(burst), seed_(seed) {}

TrailQuota::Entry& TrailQuota::entry_of(const TrailSource& source, double now) {
  const std::string_view octets(reinterpret_cast<const char*>(source.bits.data()), source.bits.size());
  const std::size_t set = hash_bytes(octets, seed_ + source.v6) % (entries_.size() / kWays);
  Entry* quietest = nullptr;
  for (std::size_t way = 0; way < kWays; ++way) {
    Entry& entry = entries_[set * kWays + way];
    if (entry.used && entry.source == source) return entry;
    if (!quietest || (quietest->used && (!entry.used || entry.last < quietest->last))) quietest = &entry;
  }
  others_ += quietest->dropped;
  *quietest = {.source = source, .used = true, .dropped = 0, .octets = burst_, .last = now};
  return *quietest;
}

bool TrailQuota::spend(const TrailSource& source, double now, std::uint64_t octets) {
  Entry& entry = entry_of(source, now);
  if (now > entry.last) entry.octets = std::min(burst_, entry.octets + (now - entry.last) * rate_);
  // A clock that was set back goes on from there, or the bucket would stay empty until the old time comes again.
  if (now > entry.last || entry.last - now > kClockStep) entry.last = now;
  if (entry.octets < std::min(static_cast<double>(octets), burst_)) return false;
  entry.octets -= static_cast<double>(octets);
  return true;
}

void TrailQuota::count_dropped(const TrailSource& source, double now) {
  ++entry_of(source, now).dropped;
  any_dropped_ = true;
}

void TrailQuota::take_dropped(const std::function<void(const TrailSource&, std::uint64_t)>& each,
                              std::uint64_t& others) {
  others += std::exchange(others_, 0);
  if (!std::exchange(any_dropped_, false)) return;
  for (Entry& entry : entries_)
    if (entry.dropped != 0) each(entry.source, std::exchange(entry.dropped, 0));
}

}  // namespace postern

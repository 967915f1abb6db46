#include "core/offline/recorded_paths.h"

namespace postern {

void RecordedPaths::read(const std::vector<TrailEntry>& entries) {
  constexpr std::string_view kArrow = " -> ";
  reversed_.clear();
  for (const TrailEntry& entry : entries) {
    if (entry.kind != TrailEntry::Kind::kFact || entry.stage != Stage::kRcpt || entry.name != "return-path") continue;
    const std::size_t at = entry.answer.find(kArrow);
    if (at != std::string::npos)
      reversed_.insert_or_assign(entry.answer.substr(0, at), entry.answer.substr(at + kArrow.size()));
  }
}

// What is made differs from day to day and is not compared: only that something was.
Result<Address> RecordedPaths::forward(const Address& sender, WallTime) const {
  auto made = Address::make("return-path", sender.domain());
  if (!made) return fault("replay.unanswered", made.error().to_string());
  return std::move(*made);
}

Result<Address> RecordedPaths::reverse(const Address& recipient, WallTime) const {
  const auto found = reversed_.find(recipient.to_string());
  if (found == reversed_.end()) return fault("replay.unanswered", recipient.to_string());
  auto address = Address::parse(found->second);
  if (!address) return fault(found->second, "as recorded");
  return std::move(*address);
}

}  // namespace postern

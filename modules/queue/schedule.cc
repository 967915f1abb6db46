#include "schedule.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/schema.h"
#include "postern/text.h"

namespace postern::queue {

namespace {

/// Words and signs of a text, with their places.
class Words {
 public:
  explicit Words(std::string_view text) : text_(text) { skip(); }
  bool at_end() const { return at_ == text_.size(); }
  std::size_t at() const { return at_; }
  bool take(char sign) {
    if (at_end() || text_[at_] != sign) return false;
    ++at_;
    skip();
    return true;
  }
  /// Letters and digits that stand together; empty when there are none.
  std::string_view word() {
    const std::size_t begin = at_;
    while (!at_end() && (is_ascii_alnum(text_[at_]) || text_[at_] == '.')) ++at_;
    const std::string_view found = text_.substr(begin, at_ - begin);
    skip();
    return found;
  }

 private:
  void skip() {
    while (!at_end() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  std::string_view text_;
  std::size_t at_ = 0;
};

std::unexpected<TextFault> wrong(std::string what, std::size_t offset) {
  return std::unexpected(TextFault{std::move(what), offset});
}

std::expected<Duration, TextFault> take_duration(Words& words) {
  const std::size_t at = words.at();
  const std::string_view word = words.word();
  const auto found = word.empty() ? std::nullopt : parse_duration(word);
  if (!found) return wrong("expected a wait such as 5m or 1h30m", at);
  if (*found < kShortestWait || *found > kLongestWait) return wrong("a wait is from 1s to 7d", at);
  return *found;
}

}  // namespace

std::expected<std::vector<Duration>, TextFault> parse_schedule(std::string_view text) {
  Words words(text);
  std::vector<Duration> waits;
  do {
    const std::size_t begin = words.at();
    const auto wait = take_duration(words);
    if (!wait) return std::unexpected(wait.error());
    std::size_t times = 1;
    if (words.take('*')) {
      const std::size_t at = words.at();
      const auto count = to_number<std::size_t>(words.word(), 1, kMaxWaits);
      if (!count) return wrong(fmt::format("expected how often, from 1 to {}", kMaxWaits), at);
      times = *count;
    }
    if (waits.size() + times > kMaxWaits) return wrong(fmt::format("more than {} waits", kMaxWaits), begin);
    waits.insert(waits.end(), times, *wait);
  } while (words.take(','));
  if (!words.at_end()) return wrong("expected \",\" or \"*\"", words.at());
  return waits;
}

std::expected<ReleaseRule, TextFault> parse_release(std::string_view text) {
  Words words(text);
  ReleaseRule rule;
  while (true) {
    const std::size_t at = words.at();
    const std::string_view word = words.word();
    if (word == "on") {
      if (words.word() != "request") return wrong("expected \"on request\"", at);
    } else if (word == "every") {
      const auto every = take_duration(words);
      if (!every) return std::unexpected(every.error());
      rule.every = *every;
    } else if (const auto count = to_number<std::uint32_t>(word, 1, 1'000'000); count) {
      const std::size_t behind = words.at();
      const std::string_view unit = words.word();
      if (unit != "messages" && unit != "message") return wrong("expected \"messages\" behind the number", behind);
      rule.messages = *count;
    } else {
      return wrong("expected \"every 30m\", \"50 messages\" or \"on request\"", at);
    }
    if (words.at_end()) return rule;
    if (const std::size_t behind = words.at(); words.word() != "or") return wrong("expected \"or\"", behind);
  }
}

WallTime later(WallTime now, Duration wait) {
  return now + std::chrono::duration_cast<WallTime::duration>(wait);
}

Duration varied(Duration wait, unsigned percent, std::uint64_t random) {
  const Duration part = wait / 100 * percent;
  const auto span = static_cast<std::uint64_t>(2 * part.count() + 1);
  return wait - part + Duration(static_cast<std::int64_t>(random % span));
}

Milestones Schedule::milestones(WallTime start) const {
  return {warn_after > 0s ? later(start, warn_after) : WallTime::max(), later(start, give_up_after)};
}

std::optional<WallTime> Schedule::next(const Milestones& milestones, std::uint32_t attempts, WallTime now,
                                       std::uint64_t random) const {
  if (now >= milestones.expiry) return std::nullopt;
  const std::size_t number = std::max<std::uint32_t>(attempts, 1);
  WallTime at = later(now, varied(retry.at(std::min(number, retry.size()) - 1), jitter, random));
  if (now < milestones.warn) at = std::min(at, milestones.warn);
  return std::min(at, milestones.expiry);
}

}  // namespace postern::queue

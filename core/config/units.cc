// Sizes and durations as text. Both ways are exact: to_text() of any value parses to that value again.
#include <fmt/format.h>
#include <array>
#include <charconv>
#include <cstdint>

#include "postern/config.h"

namespace postern {
namespace {

struct SizeUnit {
  std::string_view name;
  std::uint64_t bytes;
};
// Largest first, powers of 1024 before those of 1000: the order in which to_text() tries them.
constexpr std::array<SizeUnit, 9> kSizeUnits{{{"TiB", 1ULL << 40},
                                              {"GiB", 1ULL << 30},
                                              {"MiB", 1ULL << 20},
                                              {"KiB", 1ULL << 10},
                                              {"TB", 1'000'000'000'000},
                                              {"GB", 1'000'000'000},
                                              {"MB", 1'000'000},
                                              {"KB", 1'000},
                                              {"B", 1}}};

struct DurationUnit {
  std::string_view name;
  std::int64_t nanoseconds;
};
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::array<DurationUnit, 8> kDurationUnits{{{"w", 604'800 * kSecond},
                                                      {"d", 86'400 * kSecond},
                                                      {"h", 3'600 * kSecond},
                                                      {"m", 60 * kSecond},
                                                      {"s", kSecond},
                                                      {"ms", 1'000'000},
                                                      {"us", 1'000},
                                                      {"ns", 1}}};

bool same_word(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  if (a.size() != b.size()) return false;
  for (std::size_t at = 0; at < a.size(); ++at)
    if (lower(a[at]) != lower(b[at])) return false;
  return true;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

// Takes a number without sign off the front.
template <class Number>
std::optional<Number> take_number(std::string_view& text) {
  Number number = 0;
  if (text.empty() || text.front() < '0' || text.front() > '9') return {};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return {};
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  while (text.starts_with(' ')) text.remove_prefix(1);
  return number;
}

}  // namespace

std::optional<Size> parse_size(std::string_view text) {
  text = trimmed(text);
  auto number = take_number<std::uint64_t>(text);
  if (!number) return {};
  if (text.empty()) return *number == 0 ? std::optional<Size>(Size{}) : std::nullopt;
  for (const SizeUnit& unit : kSizeUnits)
    if (same_word(text, unit.name)) {
      Size size;
      if (__builtin_mul_overflow(*number, unit.bytes, &size.bytes)) return {};
      return size;
    }
  return {};
}

std::string to_text(Size size) {
  if (size.bytes == 0) return "0 B";
  for (const SizeUnit& unit : kSizeUnits)
    if (size.bytes % unit.bytes == 0) return fmt::format("{} {}", size.bytes / unit.bytes, unit.name);
  return fmt::format("{} B", size.bytes);
}

std::optional<Duration> parse_duration(std::string_view text) {
  text = trimmed(text);
  if (text == "0") return Duration::zero();
  std::int64_t total = 0;
  std::int64_t last_unit = INT64_MAX;  // units must come from the large to the small: "1h30m"
  if (text.empty()) return {};
  while (!text.empty()) {
    auto number = take_number<std::int64_t>(text);
    if (!number) return {};
    std::string_view word = text.substr(0, text.find_first_of(" 0123456789"));
    const DurationUnit* found = nullptr;
    for (const DurationUnit& unit : kDurationUnits)
      if (word == unit.name) found = &unit;
    if (found == nullptr || found->nanoseconds >= last_unit) return {};
    std::int64_t part = 0;
    if (__builtin_mul_overflow(*number, found->nanoseconds, &part)) return {};
    if (__builtin_add_overflow(total, part, &total)) return {};
    last_unit = found->nanoseconds;
    text = trimmed(text.substr(word.size()));
  }
  return Duration(total);
}

std::string to_text(Duration duration) {
  std::int64_t rest = duration.count();
  if (rest <= 0) return rest == 0 ? "0s" : fmt::format("-{}ns", 0 - static_cast<std::uint64_t>(rest));
  // One unit where one suffices ("90m", not "1h30m"), as long as the number stays readable.
  for (const DurationUnit& unit : kDurationUnits)
    if (unit.name != "w" && rest % unit.nanoseconds == 0 && rest / unit.nanoseconds < 1000)
      return fmt::format("{}{}", rest / unit.nanoseconds, unit.name);
  std::string out;
  for (const DurationUnit& unit : kDurationUnits) {
    if (unit.name == "w" || rest < unit.nanoseconds) continue;
    out += fmt::format("{}{}", rest / unit.nanoseconds, unit.name);
    rest %= unit.nanoseconds;
  }
  return out;
}

}  // namespace postern

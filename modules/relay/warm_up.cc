#include "warm_up.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "postern/executor.h"
#include "postern/sync.h"
#include "postern/text.h"
#include "postern/wait.h"

namespace postern::relay {

namespace {

constexpr std::string_view kMagic = "postern warm-up 1";
constexpr std::string_view kName = "counts";
constexpr std::size_t kMaxFile = 1 << 20;  // 10000 addresses, the most that settings have, need half of it

std::uint64_t word_of(UtcDay day, std::uint32_t count) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(day.time_since_epoch().count())) << 32 | count;
}

std::uint32_t count_of(std::uint64_t word, UtcDay day) {
  return word >> 32 == word_of(day, 0) >> 32 ? static_cast<std::uint32_t>(word) : 0;
}

UtcDay day_of(std::uint64_t word) {
  return UtcDay(std::chrono::days(static_cast<std::int32_t>(word >> 32)));
}

}  // namespace

std::optional<std::uint32_t> warm_up_limit(const SourceSettings& source, UtcDay day) {
  if (source.warm_up.empty()) return std::nullopt;
  const auto since = parse_day(source.since);
  if (!since || day < *since) return 0;
  const auto number = static_cast<std::size_t>((day - *since).count());
  return number < source.warm_up.size() ? std::optional(source.warm_up[number]) : std::nullopt;
}

WarmUp::WarmUp(const std::vector<SourceSettings>& sources) {
  for (const SourceSettings& one : sources) {
    if (one.warm_up.empty() || slot(one.address)) continue;
    slots_.push_back(std::make_unique<Slot>());
    slots_.back()->address = one.address;
  }
}

WarmUp::Slot* WarmUp::slot(const IpAddress& address) const {
  const auto found = std::ranges::find_if(slots_, [&](const auto& one) { return one->address == address; });
  return found == slots_.end() ? nullptr : found->get();
}

bool WarmUp::take(const SourceSettings& source, WallTime now) {
  Slot* of = slots_.empty() ? nullptr : slot(source.address);
  if (!of) return true;
  std::uint64_t seen = of->word.load();
  while (true) {
    // Another worker's clock may be past midnight already; a day further ahead is of a clock that was wrong.
    const UtcDay today = utc_day(now);
    const UtcDay day = day_of(seen) == today + std::chrono::days(1) ? day_of(seen) : today;
    const auto limit = warm_up_limit(source, day);
    const std::uint32_t count = count_of(seen, day);
    if (limit ? count >= *limit : count == ~std::uint32_t{0}) return !limit;
    if (of->word.compare_exchange_weak(seen, word_of(day, count + 1))) return true;
  }
}

void WarmUp::give_back(const SourceSettings& source, WallTime taken) {
  Slot* of = slots_.empty() ? nullptr : slot(source.address);
  if (!of) return;
  const UtcDay day = utc_day(taken);
  std::uint64_t seen = of->word.load();
  while (count_of(seen, day) != 0)
    if (of->word.compare_exchange_weak(seen, seen - 1)) return;
}

std::uint32_t WarmUp::sent(const IpAddress& address, UtcDay day) const {
  const Slot* of = slot(address);
  return of ? count_of(of->word.load(), day) : 0;
}

std::string WarmUp::to_text(UtcDay day) const {
  std::string out = fmt::format("{}\n{}\n", kMagic, day_text(day));
  for (const auto& one : slots_)
    if (const std::uint32_t count = count_of(one->word.load(), day))
      out += fmt::format("{} {}\n", one->address.to_string(), count);
  return out;
}

void WarmUp::take_text(std::string_view text, UtcDay today) {
  if (take_until(text, '\n') != kMagic || parse_day(take_until(text, '\n')) != today) return;
  while (!text.empty()) {
    std::string_view line = take_until(text, '\n');
    const auto address = IpAddress::parse(take_until(line, ' '));
    const auto count = to_number<std::uint32_t>(line);
    if (Slot* of = address && count ? slot(*address) : nullptr) of->word.store(word_of(today, *count));
  }
}

void WarmUpKeeper::load(UtcDay today) {
  if (counts_->empty()) return;
  if (const int error = env_.make_dir(folder_))
    return log_.error("relay.folder", {{"code", "relay.warm_up"}, {"why", folder_ + ": " + std::strerror(error)}});
  remove_drafts(env_, folder_);
  if (const auto text = read_file(env_, folder_ + "/" + std::string(kName), kMaxFile)) counts_->take_text(*text, today);
}

void WarmUpKeeper::save(UtcDay today) {
  const std::string text = counts_->to_text(today);
  if (counts_->empty() || text == written_) return;
  if (const int error = replace_file(env_, folder_, std::string(kName), text))
    log_.error("relay.warm_up_write", {{"why", folder_ + ": " + std::strerror(error)}});
}

Task<void> WarmUpKeeper::flush() {
  if (counts_->empty()) co_return;
  Executor& home = co_await this_executor();
  const std::string text = counts_->to_text(utc_day(home.wall()));
  if (text == written_) co_return;
  Env* env = &env_;
  const std::string* folder = &folder_;
  const std::string* what = &text;
  try {
    const int error =
        co_await run_blocking(Pool::kDisk, [=] { return replace_file(*env, *folder, std::string(kName), *what); });
    if (error)
      log_.error("relay.warm_up_write", {{"why", folder_ + ": " + std::strerror(error)}});
    else
      written_ = text;
  } catch (const Overloaded&) {  // the next flush tries again
  }
}

Task<void> WarmUpKeeper::run() {
  if (counts_->empty()) co_return;
  for (;;) {
    co_await sleep_for(kWriteEvery);
    co_await flush();
  }
}

}  // namespace postern::relay

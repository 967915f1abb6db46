#include "tls_report.h"

#include <algorithm>

#include "postern/sync.h"
#include "postern/wait.h"
#include "tls_report_files.h"

namespace postern::relay {

std::string_view to_string(TlsReportPolicy::Type type) {
  switch (type) {
    case TlsReportPolicy::Type::kTlsa:
      return "tlsa";
    case TlsReportPolicy::Type::kSts:
      return "sts";
    case TlsReportPolicy::Type::kNoPolicy:
      break;
  }
  return "no-policy-found";
}

void TlsReportCounts::add_failure(const TlsReportFailure& failure, std::uint64_t count) {
  failures += count;
  if (const auto known = details.find(failure); known != details.end()) {
    known->second += count;
  } else if (details.size() < kMaxFailures) {
    details.emplace(failure, count);
  }
}

TlsReportCounts& TlsReportDay::counts_of(const TlsReportPolicy& policy) {
  auto& all = domains[policy.domain];
  const auto same = std::ranges::find_if(all, [&policy](const TlsReportCounts& counts) {
    return counts.policy.type == policy.type && counts.policy.strings == policy.strings &&
           counts.policy.mx == policy.mx;
  });
  if (same != all.end()) return *same;
  if (all.size() < kMaxPolicies) all.push_back({.policy = policy, .details = {}});
  return all.back();
}

void TlsReportDay::merge(const TlsReportDay& other) {
  for (const auto& [domain, all] : other.domains) {
    for (const TlsReportCounts& theirs : all) {
      TlsReportCounts& ours = counts_of(theirs.policy);
      ours.successes += theirs.successes;
      const std::uint64_t before = ours.failures;
      for (const auto& [failure, count] : theirs.details) ours.add_failure(failure, count);
      ours.failures = before + theirs.failures;  // those that have no details as well
    }
  }
}

void TlsReportLog::turn_over(UtcDay day) {
  if (today_.day == day) return;
  if (dirty_ && !today_.domains.empty()) ended_.push_back(std::move(today_));
  today_ = {.day = day, .domains = {}};
  dirty_ = full_ = false;
}

void TlsReportLog::add(const TlsReportPolicy& policy, const TlsReportFailure* failure) {
  turn_over(utc_day(executor_.wall()));
  if (today_.domains.size() >= kMaxDomains && !today_.domains.contains(policy.domain)) {
    if (!std::exchange(full_, true)) log_.warn("tlsrpt.full", {{"domains", today_.domains.size()}});
    return;
  }
  TlsReportCounts& counts = today_.counts_of(policy);
  if (failure) {
    counts.add_failure(*failure, 1);
  } else {
    ++counts.successes;
  }
  dirty_ = true;
}

Task<void> TlsReportLog::load() {
  TlsReportFiles* files = files_.get();
  const UtcDay day = utc_day(executor_.wall());
  const unsigned worker = executor_.index();
  try {
    const TlsReportDay before = co_await run_blocking(Pool::kDisk, [=] { return files->read(day, worker); });
    loaded_ = true;
    if (today_.day == UtcDay{}) today_.day = day;
    if (today_.day == day) today_.merge(before);
    for (TlsReportDay& ended : ended_)  // midnight came while the disk was asked
      if (ended.day == day) ended.merge(before);
  } catch (const Overloaded&) {  // flush() asks again
  }
}

Task<void> TlsReportLog::write(TlsReportDay day) {
  TlsReportFiles* files = files_.get();
  const TlsReportDay* what = &day;
  const unsigned worker = executor_.index();
  Result<void> written = fault("tlsrpt.write", "the disk pool is full");
  try {
    written = co_await run_blocking(Pool::kDisk, [=] { return files->write(*what, worker); });
  } catch (const Overloaded&) {
  }
  if (!written) {
    log_.error("tlsrpt.write", {{"reason", written.error().detail}});
    if (today_.day == day.day) dirty_ = true;  // the next flush tries again
  }
}

Task<void> TlsReportLog::flush() {
  // What the file holds from before the restart must be in what replaces it.
  if (!loaded_) co_await load();
  if (!loaded_) co_return;
  turn_over(utc_day(executor_.wall()));
  for (TlsReportDay& day : std::exchange(ended_, {})) co_await write(std::move(day));
  if (std::exchange(dirty_, false)) co_await write(today_);
}

Task<void> TlsReportLog::run() {
  co_await load();
  for (;;) {
    co_await sleep_for(kFlushEvery);
    co_await flush();
  }
}

}  // namespace postern::relay

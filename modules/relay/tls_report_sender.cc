#include "tls_report_sender.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/message.h"
#include "postern/random.h"
#include "postern/sync.h"
#include "postern/wait.h"
#include "tls_report_json.h"

namespace postern::relay {

namespace {

constexpr std::size_t kIdLength = 16;

}  // namespace

std::string TlsReporter::contact() const {
  return parts_.contact.empty() ? "postmaster@" + parts_.hostname : parts_.contact;
}

TlsReportMail TlsReporter::mail_for(UtcDay day, const std::string& domain) const {
  const std::string id = fmt::format("{}.{}", day_text(day), random_base32(kIdLength));
  return {.from = parts_.from.empty() ? "tlsrpt-noreply@" + parts_.hostname : parts_.from,
          .to = {},
          .submitter = parts_.hostname,
          .domain = domain,
          .report_id = id + "@" + parts_.hostname,
          .message_id = make_message_id(parts_.executor.wall(), parts_.executor.random(), parts_.hostname),
          .day = day,
          .now = parts_.executor.wall()};
}

Task<Result<void>> TlsReporter::post(std::string url, std::string report) {
  HttpRequest request{.method = "POST",
                      .url = std::move(url),
                      .headers = {{"Content-Type", "application/tlsrpt+gzip"}},
                      .body = std::move(report),
                      .timeout = kPostTime,
                      .max_body_octets = 64 * 1024};
  auto answer = co_await parts_.http.fetch(std::move(request));
  if (!answer) co_return std::unexpected(answer.error());
  if (answer->status < 200 || answer->status > 299)
    co_return fault("tlsrpt.post", fmt::format("HTTP status {}", answer->status));
  co_return Result<void>();
}

Task<Result<void>> TlsReporter::deliver(std::string target, TlsReportMail mail, std::string report) {
  if (!target.starts_with("mailto:")) co_return co_await post(std::move(target), std::move(report));
  if (!parts_.submit) co_return fault("tlsrpt.submit", "there is no queue");
  mail.to = target.substr(7);
  std::string message = tls_report_message(mail, report);
  co_return co_await parts_.submit({std::move(mail.from), std::move(mail.to), std::move(message)});
}

Task<TlsReporter::Fate> TlsReporter::send_one(UtcDay day, std::string domain, std::vector<TlsReportCounts> policies) {
  const DnsAnswer answer =
      co_await parts_.dns.query("_smtp._tls." + domain, RecordType::kTxt, Deadline::after(kDnsTime));
  if (answer.temporary()) co_return Fate::kLater;
  const auto record = tls_report_record(answer);
  if (!record) co_return Fate::kUnwanted;
  const TlsReportMail mail = mail_for(day, domain);
  const TlsReportIdentity who{parts_.organization.empty() ? parts_.hostname : parts_.organization, contact(),
                              mail.report_id};
  const std::vector<TlsReportCounts>* counts = &policies;
  const TlsReportIdentity* identity = &who;
  auto report = co_await run_blocking(Pool::kCpu, [=] { return gzip(tls_report_json(*identity, day, *counts)); });
  if (!report) co_return Fate::kLater;
  bool taken = false;
  for (const std::string& target : record->rua) {
    auto done = co_await deliver(target, mail, *report);
    taken |= done.has_value();
    if (done)
      parts_.log.info("tlsrpt.sent", {{"domain", domain}, {"to", target}, {"report", mail.report_id}});
    else
      parts_.log.warn("tlsrpt.failed", {{"domain", domain}, {"to", target}, {"reason", done.error().detail}});
  }
  co_return taken ? Fate::kSent : Fate::kLater;
}

Task<std::size_t> TlsReporter::send_day(UtcDay day) {
  TlsReportFiles* files = parts_.files.get();
  TlsReportDay all = co_await run_blocking(Pool::kDisk, [=] { return files->merged(day); });
  const std::set<std::string> told = co_await run_blocking(Pool::kDisk, [=] { return files->sent(day); });
  std::size_t count = 0, later = 0;
  for (auto& [domain, policies] : all.domains) {
    if (told.contains(domain)) continue;
    const Fate fate = co_await send_one(day, domain, std::move(policies));
    count += fate == Fate::kSent;
    later += fate == Fate::kLater;
    if (fate == Fate::kLater) continue;
    const std::string* name = &domain;
    auto marked = co_await run_blocking(Pool::kDisk, [=] { return files->mark_sent(day, *name); });
    if (!marked) {
      // Without the mark the next round would tell everybody again; the files stay for when the disk is well.
      parts_.log.error("tlsrpt.write", {{"reason", marked.error().detail}});
      co_return count;
    }
  }
  const bool over = parts_.executor.wall() >= day + std::chrono::days(1) + kGiveUp;
  if (later > 0 && over) parts_.log.warn("tlsrpt.given_up", {{"day", day_text(day)}, {"domains", later}});
  if (later == 0 || over) co_await run_blocking(Pool::kDisk, [=] { files->remove(day); });
  co_return count;
}

Task<std::size_t> TlsReporter::send_due() {
  TlsReportFiles* files = parts_.files.get();
  const UtcDay today = utc_day(parts_.executor.wall());
  std::size_t count = 0;
  try {
    const std::vector<UtcDay> days = co_await run_blocking(Pool::kDisk, [=] { return files->days(); });
    for (const UtcDay day : days)
      if (day < today) count += co_await send_day(day);
  } catch (const Overloaded&) {
    parts_.log.warn("tlsrpt.failed", {{"reason", "the pools are full"}});
  }
  co_return count;
}

Task<void> TlsReporter::run() {
  for (;;) {
    co_await send_due();
    const Duration midnight = until_midnight(parts_.executor.wall());
    if (midnight > kRound) {
      co_await sleep_for(kRound);
      continue;
    }
    // Workers write their last minute of the day within kFlushEvery; the random wait is longer than that.
    const auto spread = std::chrono::duration_cast<std::chrono::seconds>(kMaxWait).count() - 300;
    const auto wait = std::chrono::seconds(
        300 + static_cast<std::int64_t>(parts_.executor.random() % static_cast<std::uint64_t>(spread)));
    co_await sleep_for(midnight + wait);
  }
}

}  // namespace postern::relay

#include "worker_tls.h"

namespace postern::relay {

namespace {

constexpr unsigned kFetches = 16;  // of MTA-STS policies and posts of reports, at one time

/// Puts a report into the queue as mail of our own. It is not signed: who wants it signed relays it through a signer.
Task<Result<void>> submit_report(Spool& spool, Queue& queue, OutgoingTlsReport report) {
  Executor& home = co_await this_executor();
  auto from = Address::parse(report.from);
  auto to = Address::parse(report.to);
  if (!from || !to) co_return fault("tlsrpt.address", report.from + " or " + report.to + " is no address");
  QueuedMessage message;
  message.envelope.sender = *from;
  message.envelope.recipients.push_back({*to, {}, kNotifyNever});
  message.plan.steps.push_back(tls_report_step());
  Draft draft = spool.begin(home, report.message.size());
  if (auto taken = co_await draft.append(report.message); !taken) co_return std::unexpected(taken.error());
  AcceptMeta meta;
  message.envelope.encode(meta.envelope);
  ClientInfo client;
  client.role = SessionRole::kLocal;
  client.encode(meta.client);
  message.plan.encode(meta.plan);
  message.size = draft.size();
  auto id = co_await draft.commit(std::move(meta));
  if (!id) co_return std::unexpected(id.error());
  message.id = *id;
  message.accepted = home.wall();
  queue.accepted(std::move(message));
  co_return Result<void>();
}

}  // namespace

PlanStep tls_report_step() {
  PlanStep step;
  step.kind = PlanStep::Kind::kRelay;
  step.recipients = {0};
  step.options["tls"] = "opportunistic";
  return step;
}

std::unique_ptr<SharedTls> SharedTls::make(std::shared_ptr<TlsContext> client, const std::string& state_dir,
                                           bool reports, const Log& log) {
  auto shared = std::make_unique<SharedTls>();
  shared->client = std::move(client);
  const auto complain = [&log](const Fault& why) {
    log.error("relay.folder", {{"code", why.code}, {"why", why.detail}});
  };
  shared->policies = std::make_shared<StsStore>(shared->env, state_dir + "/mta-sts");
  if (auto ready = shared->policies->prepare(); !ready) {
    complain(ready.error());
    shared->policies.reset();
  }
  if (!reports) return shared;
  shared->reports = std::make_shared<TlsReportFiles>(shared->env, state_dir + "/tls-reports");
  if (auto ready = shared->reports->prepare(); !ready) {
    complain(ready.error());
    shared->reports.reset();
  }
  return shared;
}

WorkerTls::WorkerTls(Executor& executor, Log log, WorkerTlsParts parts)
    : http_(make_http_client(executor, parts.dns, parts.shared.client,
                             {.allow_private = false, .allow_plain = false, .max_concurrent = kFetches})),
      nursery_(executor) {
  nursery_.on_error = [log](std::exception_ptr) { log.error("relay.error", {{"why", "an unexpected error"}}); };
  if (parts.shared.reports) {
    reports_ = std::make_unique<TlsReportLog>(executor, parts.shared.reports, log);
    nursery_.spawn(reports_->run());
  }
  policies_ = make_tls_policies({.executor = executor,
                                 .dns = parts.dns,
                                 .http = *http_,
                                 .client = parts.shared.client,
                                 .store = parts.shared.policies,
                                 .reports = reports_.get(),
                                 .wanted = parts.outbound.settings.tls,
                                 .log = log});
  nursery_.spawn(policies_->run());
  if (!parts.shared.reports || executor.index() != 0 || parts.queue == nullptr) return;
  reporter_ = std::make_unique<TlsReporter>(TlsReportParts{
      .executor = executor,
      .dns = parts.dns,
      .http = *http_,
      .files = parts.shared.reports,
      .hostname = parts.outbound.hostname,
      .organization = {},
      .from = parts.outbound.settings.tls_report_from,
      .contact = parts.outbound.settings.tls_report_contact,
      .submit = [&spool = parts.spool, queue = parts.queue](
                    OutgoingTlsReport report) { return submit_report(spool, *queue, std::move(report)); },
      .log = log});
  nursery_.spawn(reporter_->run());
}

Task<void> WorkerTls::drain(Deadline deadline) {
  nursery_.cancel();
  co_await nursery_.join_until(deadline);
  if (reports_) co_await reports_->flush();
}

}  // namespace postern::relay

#include "reporter.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>

#include "dsn.h"
#include "dsn_text.h"
#include "postern/executor.h"
#include "postern/mail_date.h"
#include "postern/random.h"
#include "postern/sync.h"
#include "postern/text.h"

namespace postern::queue {

namespace {

constexpr std::string_view kIntent = "report:";
constexpr std::string_view kOwed = "owed:";
constexpr std::size_t kIdLength = 13;
constexpr std::string_view kKinds = "fwdrx";  ///< of outcomes, in the order of Outcome::Kind
/// The ENVID of a report to the postmaster: what fails with it is told to nobody any more.
constexpr std::string_view kLastResort = "postern.double-bounce.";
constexpr std::size_t kMaxIntentHost = 40;

bool is_last_resort(const Envelope& envelope) {
  return envelope.sender.is_null() && envelope.envid.starts_with(kLastResort);
}

}  // namespace

/// One report on its way.
struct Reporter::Job {
  MessageId original;
  const Envelope* envelope = nullptr;
  Executor* executor = nullptr;
  Log log;
  std::vector<Outcome> outcomes;  ///< of one kind
  bool to_postmaster = false;
  Address to;
  AddressLookup lookup;
  bool local = false;  ///< `to` is at a domain with mailboxes here
  Envelope report;
};

// --- notes ----------------------------------------------------------------------------------------------------------

namespace {

/// What follows the prefix and, in an intent, the report's id: "KIND[!]@SECONDS CODE STATUS HOST TEXT".
std::string note_with(std::string note, const Outcome& outcome) {
  std::string host = clean_text(outcome.host, kMaxIntentHost, false);
  std::ranges::replace(host, ' ', '_');
  if (host.empty()) host = "-";
  const std::string enhanced = clean_text(outcome.reply.enhanced, 12, false);
  const auto time = std::chrono::duration_cast<std::chrono::seconds>(outcome.last_attempt.time_since_epoch()).count();
  note += fmt::format("{}{}@{} {} {} {} ", kKinds[static_cast<std::size_t>(outcome.kind)],
                      outcome.may_have_been_delivered ? "!" : "", time, outcome.reply.code,
                      enhanced.empty() ? "-" : enhanced, host);
  note += clean_text(outcome.reply.text, kNoteLimit - std::min(kNoteLimit, note.size()), true);
  return note.substr(0, kNoteLimit);
}

/// The same, read. Nothing when it is something else.
std::optional<Outcome> outcome_of(std::string_view rest) {
  Outcome out;
  std::string_view flags = take_until(rest, ' ');
  const std::size_t kind = flags.empty() ? kKinds.npos : kKinds.find(flags.front());
  if (kind == kKinds.npos) return std::nullopt;
  flags.remove_prefix(1);
  out.kind = static_cast<Outcome::Kind>(kind);
  out.may_have_been_delivered = flags.starts_with('!');
  if (out.may_have_been_delivered) flags.remove_prefix(1);
  if (!flags.starts_with('@')) return std::nullopt;
  const auto time = to_number<std::int64_t>(flags.substr(1));
  const auto code = to_number<int>(take_until(rest, ' '), 0, 599);
  if (!time || !code) return std::nullopt;
  out.last_attempt = WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::seconds(*time)));
  out.reply.code = *code;
  out.reply.enhanced = take_until(rest, ' ');
  if (out.reply.enhanced == "-") out.reply.enhanced.clear();
  out.host = take_until(rest, ' ');
  if (out.host == "-") out.host.clear();
  out.reply.text = rest;
  return out;
}

}  // namespace

std::string Reporter::note_of(const Outcome& outcome, MessageId report) {
  return note_with(std::string(kIntent) + report.to_string(), outcome);
}
std::string Reporter::owed_note(const Outcome& outcome) {
  return note_with(std::string(kOwed), outcome);
}

/// A `placed` mark's text is a token else, and no account's name has what outcome_of() wants.
bool Reporter::is_owed(const RecipientInfo& info) {
  return info.state == RecipientState::kPlaced && info.note.starts_with(kOwed) &&
         outcome_of(std::string_view(info.note).substr(kOwed.size()));
}

std::optional<Outcome> Reporter::from_note(std::uint32_t recipient, const RecipientInfo& info) {
  const bool owed = is_owed(info);
  if (!owed && (info.state != RecipientState::kWaiting || !info.note.starts_with(kIntent))) return std::nullopt;
  std::string_view rest = std::string_view(info.note).substr(owed ? kOwed.size() : kIntent.size());
  std::optional<MessageId> report;
  if (!owed) {
    report = MessageId::parse(rest.substr(0, kIdLength));
    if (!report) return std::nullopt;
    rest.remove_prefix(kIdLength);
  }
  auto out = outcome_of(rest);
  if (!out) return std::nullopt;
  out->recipient = recipient;
  out->attempts = info.attempts;
  out->noted = true;
  out->earlier = report.value_or(MessageId());
  return out;
}

// --- who is told ----------------------------------------------------------------------------------------------------

Reporter::Audience Reporter::audience(const Envelope& envelope, const Outcome& outcome) const {
  if (outcome.recipient >= envelope.recipients.size()) return Audience::kNobody;
  const Recipient& recipient = envelope.recipients[outcome.recipient];
  Notify event = kNotifySuccess;
  if (outcome.kind == Outcome::Kind::kFailed) event = kNotifyFailure;
  if (outcome.kind == Outcome::Kind::kDelayed) event = kNotifyDelay;
  if (!recipient.wants(event)) return Audience::kNobody;
  if (!envelope.sender.is_null()) return Audience::kSender;
  const bool told =
      outcome.kind == Outcome::Kind::kFailed && parts_.settings.double_bounces && !is_last_resort(envelope);
  return told ? Audience::kPostmaster : Audience::kNobody;
}

bool Reporter::wanted(const Envelope& envelope, const Outcome& outcome) const {
  return audience(envelope, outcome) != Audience::kNobody;
}

Address Reporter::postmaster() const {
  if (auto given = Address::parse(parts_.settings.postmaster)) return *given;
  const std::string domain = parts_.directory ? parts_.directory->default_domain() : std::string();
  auto parsed = Domain::parse(domain.empty() ? parts_.hostname : domain);
  if (!parsed) parsed = Domain::parse("localhost");
  return *Address::make("postmaster", *parsed);
}

// --- the way of a report --------------------------------------------------------------------------------------------

Task<Result<std::size_t>> Reporter::report(MessageId id, const Envelope& envelope, std::vector<Outcome> outcomes,
                                           Log log) {
  // Failures last: a delay that is told before them may be told again when this ends with a fault.
  std::map<Group, std::vector<Outcome>, std::greater<>> groups;
  std::map<MessageId, bool> asked;  // reports of an earlier try: there?
  for (Outcome& one : outcomes) {
    const Audience who = audience(envelope, one);
    if (who == Audience::kNobody) {
      if (is_last_resort(envelope) && one.kind == Outcome::Kind::kFailed)
        log.error("report.undeliverable", {{"id", id.to_string()}, {"why", reply_text(one.reply, true)}});
      continue;
    }
    if (one.earlier) {
      const auto [known, fresh] = asked.try_emplace(one.earlier, false);
      if (fresh) {
        auto there = co_await in_spool(one.earlier);
        if (!there) co_return std::unexpected(there.error());
        known->second = *there;
      }
      if (known->second) continue;  // it was committed; only the done marks were lost
    }
    groups[{who, one.kind, one.earlier}].push_back(std::move(one));
  }
  std::size_t sent = 0;
  for (auto& [group, all] : groups) {
    auto done = co_await send_group(id, envelope, group, std::move(all), log);
    if (!done) co_return std::unexpected(done.error());
    sent += *done;
  }
  co_return sent;
}

/// In as many reports as it takes. Done marks follow each at once: they have to come before any mark of the report, and
/// when the next one cannot be made, those that this one was about must not come again.
Task<Result<std::size_t>> Reporter::send_group(MessageId id, const Envelope& envelope, Group group,
                                               std::vector<Outcome> all, Log log) {
  std::size_t sent = 0;
  for (std::size_t at = 0; at < all.size(); at += parts_.settings.max_recipients) {
    auto job = std::make_unique<Job>();
    job->original = id;
    job->envelope = &envelope;
    job->executor = &co_await this_executor();
    job->log = log;
    job->to_postmaster = group.who == Audience::kPostmaster;
    const std::size_t count = std::min<std::size_t>(all.size() - at, parts_.settings.max_recipients);
    for (std::size_t i = at; i < at + count; ++i) job->outcomes.push_back(std::move(all[i]));
    auto done = co_await send(*job);
    if (!done) co_return std::unexpected(done.error());
    sent += *done;
    if (group.kind == Outcome::Kind::kDelayed) continue;
    for (const Outcome& one : job->outcomes) parts_.spool.done_lazily(*job->executor, id, one.recipient);
  }
  co_return sent;
}

Task<Result<bool>> Reporter::in_spool(MessageId id) {
  Executor& executor = co_await this_executor();
  auto reader = co_await parts_.spool.open(executor, id);
  if (reader) co_return true;
  if (reader.error().code == "spool.gone") co_return false;
  if (reader.error().code == "spool.damaged") co_return true;  // there was one
  co_return std::unexpected(reader.error());
}

/// Where the report goes; an unknown sender of ours is replaced by the postmaster.
Task<Result<void>> Reporter::address_it(Job& job) {
  job.to = job.to_postmaster ? postmaster() : job.envelope->sender;
  for (int round = 0; round < 2; ++round) {
    if (job.to.is_bare_postmaster()) job.to = postmaster();
    job.lookup = {};
    job.local = parts_.directory && parts_.directory->domain_kind(job.to.domain().ascii()) == DomainKind::kLocal;
    if (job.local) job.lookup = co_await parts_.directory->find(job.to);
    if (job.lookup.kind == AddressLookup::Kind::kTemporary)
      co_return fault("report.directory", "the directory does not answer for " + job.to.to_string());
    if (!job.local || job.lookup.kind != AddressLookup::Kind::kNoSuchUser || job.to_postmaster ||
        !parts_.settings.double_bounces)
      break;
    job.to_postmaster = true;
    job.to = postmaster();
  }
  job.report.sender = Address();
  job.report.recipients.emplace_back().address = job.to;
  if (job.to_postmaster) job.report.envid = std::string(kLastResort) + job.original.to_string();
  co_return Result<void>();
}

/// 1: sent; 0: there was nothing to send any more.
Task<Result<std::size_t>> Reporter::send(Job& job) {
  if (auto addressed = co_await address_it(job); !addressed) co_return std::unexpected(addressed.error());
  Draft draft = parts_.spool.begin(*job.executor);
  if (job.outcomes.front().kind != Outcome::Kind::kDelayed)
    if (auto marked = co_await mark_intent(job, draft.id()); !marked) co_return std::unexpected(marked.error());
  if (auto written = co_await write(job, draft); !written) {
    if (written.error().code == "spool.gone") co_return 0;  // recalled meanwhile
    co_return std::unexpected(written.error());
  }
  const MessageId report = draft.id();
  auto committed =
      co_await (parts_.policy ? commit_by_policy(job, std::move(draft)) : commit_directly(job, std::move(draft)));
  if (!committed) co_return std::unexpected(committed.error());
  if (!*committed) co_return 0;
  job.log.info("report.sent", {{"id", job.original.to_string()},
                               {"report", report.to_string()},
                               {"to", job.to.to_string()},
                               {"recipients", job.outcomes.size()},
                               {"double_bounce", job.to_postmaster}});
  co_return 1;
}

/// All marks are durable when the last one is: lazy ones go with the next batch at the latest.
Task<Result<void>> Reporter::mark_intent(Job& job, MessageId report) {
  const auto mark = [&](const Outcome& one) {
    const std::uint32_t attempts =
        std::max(one.attempts, 1U);  // notes of none are not kept when segments are compacted
    return parts_.spool.attempted(job.original, one.recipient, attempts, job.executor->wall(), note_of(one, report));
  };
  for (std::size_t i = 0; i + 1 < job.outcomes.size(); ++i)
    parts_.spool.change_lazily(*job.executor, mark(job.outcomes[i]));
  co_return co_await parts_.spool.change(*job.executor, mark(job.outcomes.back()));
}

bool Reporter::returns_all(const Job& job, std::uint64_t size) const {
  if (job.outcomes.front().kind != Outcome::Kind::kFailed) return false;  // RFC 3461 §6.2: RET is about failures
  switch (job.envelope->ret) {
    case DsnReturn::kFull:
      return size <= parts_.settings.return_limit.bytes;
    case DsnReturn::kHeaders:
      return false;
    case DsnReturn::kUnset:
      break;
  }
  return size <= parts_.settings.return_unasked.bytes;
}

Task<Result<void>> Reporter::write(Job& job, Draft& draft) {
  auto reader = co_await parts_.spool.open(*job.executor, job.original);
  if (!reader) co_return std::unexpected(reader.error());
  const std::string header = std::string(reader->prefix()) + std::string(reader->header());
  auto facts = std::make_unique<DsnFacts>();
  facts->original = job.original;
  facts->message_id = fmt::format("report.{}.{}{}", job.original.to_string(),
                                  kKinds[static_cast<std::size_t>(job.outcomes.front().kind)],
                                  std::ranges::min(job.outcomes, {}, &Outcome::recipient).recipient);
  facts->envelope = job.envelope;
  facts->outcomes = job.outcomes;
  facts->hostname = parts_.hostname;
  facts->from_name = parts_.settings.from_name;
  facts->from = postmaster();
  facts->to = job.to;
  facts->to_postmaster = job.to_postmaster;
  facts->now = job.executor->wall();
  facts->header = header;
  facts->full = returns_all(job, reader->info().size);
  facts->boundary = "report-" + random_base32(24);
  if (facts->full) {
    auto wide = co_await has_8bit(*reader);
    if (!wide) co_return std::unexpected(wide.error());
    facts->body_8bit = *wide;
    reader->rewind();
  }
  const Dsn dsn = compose_dsn(*facts);
  job.report.smtputf8 = dsn.smtputf8;
  job.report.body = dsn.body;
  if (auto ok = co_await draft.append(dsn.head); !ok) co_return ok;
  if (!facts->full) {
    if (auto ok = co_await draft.append(returned_header(header)); !ok) co_return ok;
    co_return co_await draft.append(dsn.tail);
  }
  while (true) {
    auto piece = co_await reader->next();
    if (!piece) co_return std::unexpected(piece.error());
    if (piece->empty()) break;
    if (auto ok = co_await draft.append(*piece); !ok) co_return ok;
  }
  co_return co_await draft.append(dsn.tail);
}

Task<Result<bool>> Reporter::has_8bit(MessageReader& reader) {
  while (true) {
    auto piece = co_await reader.next();
    if (!piece) co_return std::unexpected(piece.error());
    if (piece->empty()) co_return false;
    if (!is_ascii(*piece)) co_return true;
  }
}

// --- into the spool -------------------------------------------------------------------------------------------------

void Reporter::trace(const Job& job, Draft& draft) const {
  std::string received = fmt::format("Received: by {} (Postern) id {};\r\n\t", parts_.hostname, draft.id().to_string());
  append_mail_date(received, job.executor->wall());
  draft.prepend(received + "\r\n");
}

namespace {

/// In which ways recipients were given up, each once, for rules (match.delivery_failed).
std::string failures_of(const std::vector<Outcome>& outcomes) {
  constexpr std::size_t kMost = 20;
  std::vector<std::string> ways;
  for (const Outcome& one : outcomes) {
    std::string way = fmt::format("{} {}", one.reply.code, one.reply.enhanced);
    if (ways.size() < kMost && std::ranges::find(ways, way) == ways.end()) ways.push_back(std::move(way));
  }
  return fmt::format("{}", fmt::join(ways, "; "));
}

}  // namespace

/// False: the pipeline wants nothing of it, for good.
Task<Result<bool>> Reporter::commit_by_policy(Job& job, Draft draft) {
  // Its own: nobody's connection. It does not go through the gate, which is for clients; where it may go was decided
  // when the original was let in.
  auto session = std::make_unique<SessionState>("report-" + draft.id().to_string());
  session->client.role = SessionRole::kLocal;
  session->client.ip = session->client.local_ip = IpAddress::v4(0x7F000001);
  session->client.ehlo = parts_.hostname;
  session->client.listener = "report";
  session->made_here = true;
  session->executor = job.executor;
  auto transaction = std::make_unique<Transaction>(*session);
  transaction->envelope = job.report;
  transaction->lookups.push_back(job.lookup);
  transaction->relay.push_back(true);
  transaction->started = job.executor->now();
  transaction->trail.start(job.executor->wall(), session->id, 0);
  transaction->trail.fact(Stage::kMail, "report-about", job.original.to_string());
  if (job.outcomes.front().kind == Outcome::Kind::kFailed)
    transaction->notes.emplace("delivery-failed", failures_of(job.outcomes));
  transaction->draft = &draft;
  trace(job, draft);
  transaction->size = draft.size();
  transaction->received_count = 1;
  const Decision decision = co_await parts_.policy->message(*transaction);
  if (decision.refuses_all()) {
    const Reply reply = decision.reply();
    if (reply.temporary()) co_return fault("report.deferred", reply_text(reply, true));
    job.log.warn("report.refused", {{"id", job.original.to_string()},
                                    {"to", job.to.to_string()},
                                    {"rule", decision.whole.rule},
                                    {"reply", reply_text(reply, true)}});
    parts_.policy->refused(*session, transaction.get(), reply.text);
    co_return false;
  }
  transaction->draft = nullptr;
  auto id = co_await parts_.policy->commit(*transaction, std::move(draft), decision);
  if (!id) co_return std::unexpected(id.error());
  co_return true;
}

Task<Result<bool>> Reporter::commit_directly(Job& job, Draft draft) {
  trace(job, draft);
  Plan plan;
  PlanStep& step = plan.steps.emplace_back();
  step.recipients.push_back(0);
  if (job.local && job.lookup.kind == AddressLookup::Kind::kAlias && job.lookup.targets.size() == 1) {
    job.report.recipients.front().address = job.lookup.targets.front();
    job.lookup = co_await parts_.directory->find(job.lookup.targets.front());
  }
  if (job.lookup.kind == AddressLookup::Kind::kAccount) {
    step.account = job.lookup.account;
  } else if (job.lookup.kind == AddressLookup::Kind::kForeign) {
    step.kind = PlanStep::Kind::kRelay;
  } else {
    step.kind = PlanStep::Kind::kQuarantine;
    step.reason = "a report, and " + job.to.to_string() + " has no mailbox here";
  }
  AcceptMeta meta;
  job.report.encode(meta.envelope);
  plan.encode(meta.plan);
  const std::uint64_t size = draft.size();
  auto id = co_await draft.commit(std::move(meta));
  if (!id) co_return std::unexpected(id.error());
  if (parts_.queue) parts_.queue->accepted({*id, job.report, std::move(plan), size, job.executor->wall()});
  co_return true;
}

}  // namespace postern::queue

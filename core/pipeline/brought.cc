#include "core/pipeline/brought.h"

#include <fmt/format.h>

#include <utility>

#include "core/pipeline/policy.h"
#include "postern/mail_date.h"

namespace postern {
namespace {

/// Takes the steps of these recipients out of a plan.
std::vector<PlanStep> take_steps(std::vector<PlanStep>& steps, const RecipientSet& members) {
  std::vector<PlanStep> taken;
  std::vector<PlanStep> kept;
  for (PlanStep& step : steps) {
    std::vector<std::uint32_t> mine;
    std::vector<std::uint32_t> rest;
    for (const std::uint32_t one : step.recipients) (members.contains(one) ? mine : rest).push_back(one);
    if (!mine.empty()) {
      taken.push_back(step);
      taken.back().recipients = std::move(mine);
    }
    if (rest.empty()) continue;
    step.recipients = std::move(rest);
    kept.push_back(std::move(step));
  }
  steps = std::move(kept);
  return taken;
}

std::uint32_t count_received(const Draft& draft) {
  std::size_t count = 0;
  for (const std::string_view text : {draft.prefix(), draft.header()}) count += HeaderBlock(text).count("Received");
  return static_cast<std::uint32_t>(count);
}

std::string names_of(const Envelope& envelope) {
  constexpr std::size_t kMost = 10;
  std::string out;
  for (std::size_t i = 0; i < envelope.recipients.size() && i < kMost; ++i)
    out += (i ? ", " : "") + envelope.recipients[i].address.to_string();
  if (envelope.recipients.size() > kMost) out += fmt::format(" and {} more", envelope.recipients.size() - kMost);
  return out;
}

/// "copy_to" of "copy_to archive@example.org".
std::string_view first_word(std::string_view text) {
  return text.substr(0, text.find(' '));
}

/// Made here to be read by somebody. A bounce that is sent on has a null sender as well: it is mail of others.
bool is_notice(const BroughtMail& mail, const Transaction& parent) {
  return mail.envelope.sender.is_null() && !parent.envelope.sender.is_null();
}

Verdict refused_as(Verdict verdict, const BroughtMail& mail) {
  verdict.rule = mail.rule;
  return verdict;
}

}  // namespace

void settle_bodies(RootRun& run, Transaction& mail, Decision& decision) {
  std::vector<std::shared_ptr<SettledMail>> made;
  for (RootRun::Body& body : run.bodies()) {
    std::vector<PlanStep> steps = take_steps(decision.plan.steps, body.members);
    if (steps.empty()) continue;  // refused, each told
    auto one = std::make_shared<SettledMail>(SettledMail{.session = nullptr,
                                                         .transaction = std::make_unique<Transaction>(mail.session),
                                                         .draft = std::move(*body.draft),
                                                         .decision = {},
                                                         .rule = body.rule,
                                                         .why = "another body"});
    one->decision.plan.steps = std::move(steps);
    made.push_back(std::move(one));
  }
  auto first = made.begin();
  if (decision.plan.steps.empty() && first != made.end()) {  // nobody has the body that came
    *mail.draft = std::move((*first)->draft);
    decision.plan = std::move((*first)->decision.plan);
    made.erase(first);
  }
  for (auto& one : made)
    mail.trail.fact(Stage::kMessage, "beside",
                    fmt::format("{} {}: {}", one->draft.id().to_string(), one->why, one->rule));
  for (auto& one : made) {
    Transaction& other = *one->transaction;
    other.envelope = mail.envelope;  // commit() leaves those out who have no step
    other.edits = mail.edits;
    other.started = mail.started;
    other.brought_depth = mail.brought_depth;
    other.brought_by = mail.brought_by;
    other.trail = mail.trail;
    other.trail.fact(Stage::kMessage, "beside", fmt::format("{} the main mail", mail.draft->id().to_string()));
    other.draft = &one->draft;
    other.size = one->draft.size();
    mail.settled.push_back(std::move(one));
  }
}

Task<Verdict> PipelinePolicy::bring_in(PolicyWorker& worker, MessageRun& run, Transaction& parent) {
  std::vector<BroughtMail> mails = std::exchange(parent.brought, {});
  if (parent.draft) parent.trail.fact(Stage::kMessage, "draft", parent.draft->id().to_string());
  for (BroughtMail& mail : mails) {
    Verdict verdict;
    if (++run.brought > Transaction::kMaxBrought)  // of all together: each of them may bring in others
      verdict = refused_as(Verdict::reject(554, "5.4.6", "rules bring in too many mails"), mail);
    else
      verdict = co_await bring_one(worker, run, parent, mail);
    if (!verdict.refuses()) continue;
    parent.trail.verdict(Stage::kMessage, mail.rule, fmt::format("{} ({})", trail_text(verdict), mail.why));
    co_return verdict;
  }
  co_return Verdict{};
}

Task<Verdict> PipelinePolicy::bring_one(PolicyWorker& worker, MessageRun& run, Transaction& parent, BroughtMail& mail) {
  const bool notice = is_notice(mail, parent);
  Settled made = make_settled(worker, *run.epoch, parent, mail);
  Transaction& child = *made->transaction;
  const std::string name = fmt::format("{} {} to {}", made->draft.id().to_string(), mail.why, names_of(mail.envelope));
  const auto drop = [&](std::string_view why) {
    parent.trail.fact(Stage::kMessage, "brought", fmt::format("{}: dropped, {}", name, why));
    worker.log.info("brought.dropped", {{"session", parent.session.id}, {"rule", mail.rule}, {"why", why}});
  };
  for (Recipient& recipient : mail.envelope.recipients) {
    auto placed = co_await address_one(worker, run, parent, mail, child, std::move(recipient));
    if (placed) continue;
    const Fault& fault = placed.error();
    if (notice && fault.code != "brought.temporary") {
      drop(fault.detail);
      continue;
    }
    parent.trail.error(Stage::kMessage, mail.rule, fmt::format("{}: {}", fault.code, fault.detail));
    worker.log.error("brought.refused", {{"session", parent.session.id},
                                         {"rule", mail.rule},
                                         {"what", mail.why},
                                         {"code", fault.code},
                                         {"why", fault.detail}});
    refused(child.session, &child, fault.detail);
    co_return refused_as(failure_verdict(OnError::kDefer, mail.rule, Stage::kMessage), mail);
  }
  if (child.envelope.recipients.empty()) {
    refused(child.session, &child, "no recipient");  // a replay of the main mail asks the directory again
    co_return Verdict{};
  }

  made->decision = co_await decide_message(worker, run, child);
  if (made->decision.refuses_all()) {
    const Reply reply = made->decision.reply();
    refused(child.session, &child, reply.text);
    if (notice && reply.permanent()) {
      drop(said(reply));
      co_return Verdict{};
    }
    Verdict verdict = reply.temporary() ? Verdict::defer(reply.code, reply.enhanced, reply.text)
                                        : Verdict::reject(reply.code, reply.enhanced, reply.text);
    co_return refused_as(std::move(verdict), mail);
  }
  parent.trail.fact(Stage::kMessage, "brought", fmt::format("{}: {}", name, mail.rule));
  parent.settled.push_back(std::move(made));
  co_return Verdict{};
}

/// What was brought in with a mail that is refused goes with it, and leaves its records.
void PipelinePolicy::drop_settled(Transaction& parent, std::string_view why) {
  for (const Settled& one : parent.settled) drop_one(*one, why);
  parent.settled.clear();
}

void PipelinePolicy::drop_one(SettledMail& one, std::string_view why) {
  drop_settled(*one.transaction, why);
  if (one.session) refused(*one.session, one.transaction.get(), why);  // another body has the main mail's trail
}

PipelinePolicy::Settled PipelinePolicy::make_settled(PolicyWorker& worker, const RuleEpoch& epoch,
                                                     const Transaction& parent, BroughtMail& mail) {
  const std::string id = mail.draft.id().to_string();
  auto session = std::make_unique<SessionState>("brought-" + id);
  session->client.role = SessionRole::kLocal;
  session->client.ip = session->client.local_ip = IpAddress::v4(0x7F000001);
  session->client.ehlo = hostname_;
  session->client.listener = "rules";
  session->made_here = true;
  session->executor = worker.executor;
  auto child = std::make_unique<Transaction>(*session);
  child->envelope = mail.envelope;
  child->envelope.recipients.clear();  // until they have been asked about
  for (auto& [name, value] : mail.notes) child->notes.insert_or_assign(std::move(name), std::move(value));
  child->started = worker.executor->now();
  child->brought_depth = parent.brought_depth + 1;
  child->brought_by = parent.brought_by;
  child->brought_by.push_back(mail.why);
  child->trail.start(worker.executor->wall(), session->id, epoch.rules->hash);
  child->trail.fact(Stage::kMail, "sender", mail.envelope.sender.path());
  child->trail.fact(Stage::kMail, "brought-by",
                    fmt::format("{} {}: {}", parent.draft ? parent.draft->id().to_string() : "", mail.why, mail.rule));
  std::string received = fmt::format("Received: by {} (Postern, {}) id {};\r\n\t", hostname_, first_word(mail.why), id);
  append_mail_date(received, worker.executor->wall());
  mail.draft.prepend(received + "\r\n");
  auto made = std::make_shared<SettledMail>(SettledMail{.session = std::move(session),
                                                        .transaction = std::move(child),
                                                        .draft = std::move(mail.draft),
                                                        .decision = {},
                                                        .rule = mail.rule,
                                                        .why = mail.why,
                                                        .once = mail.once});
  made->transaction->draft = &made->draft;
  made->transaction->size = made->draft.size();
  made->transaction->received_count = count_received(made->draft);
  return made;
}

Task<Result<void>> PipelinePolicy::address_one(PolicyWorker& worker, const MessageRun& run, const Transaction& parent,
                                               const BroughtMail& mail, Transaction& child, Recipient recipient) {
  if (recipient.address.is_bare_postmaster())
    if (auto domain = Domain::parse(worker.directory->default_domain()))
      recipient.address = recipient.address.with_domain(std::move(*domain));
  const std::string name = recipient.address.to_string();
  const bool notice = is_notice(mail, parent);
  const bool forwards = run.epoch->gate->forward_aliases;
  const bool abroad =
      (mail.fixed_recipients && (forwards || notice)) || (notice && recipient.address == parent.envelope.sender);
  Classified found = co_await classify_recipient(worker, *run.epoch, child, recipient.address, run.until);
  bool relay = false;
  switch (found.kind) {
    case RecipientClass::kTemporary:
      co_return fault("brought.temporary", "the directory does not answer for " + name);
    case RecipientClass::kNoSuchUser:
    case RecipientClass::kLocalRouted:
    case RecipientClass::kReturnPathMail:
      co_return fault("brought.nobody", name + " does not exist");
    case RecipientClass::kLocalAccount:
    case RecipientClass::kAliasOurs:
      break;
    case RecipientClass::kPostmaster:
    case RecipientClass::kReturnPath:
      relay = found.lookup.kind == AddressLookup::Kind::kAlias;
      break;
    case RecipientClass::kAliasForeign:
      relay = forwards || notice;
      break;
    case RecipientClass::kAliasWild:
      relay = mail.fixed_recipients && forwards;
      break;
    case RecipientClass::kRelayDomain:
      relay = true;
      break;
    case RecipientClass::kRelayRouted:
      // The relay domain's own host may follow the route: that is as far open as the gate is at RCPT.
      relay = mail.fixed_recipients;
      if (!relay) co_return fault("brought.relay", name + " hides a route, and nobody wrote the address down");
      break;
    case RecipientClass::kForeign:
    case RecipientClass::kLiteral:
      relay = abroad;
      if (!abroad)
        co_return fault("brought.relay",
                        name + " is elsewhere, and [relay] forward_aliases is false or nobody wrote the address down");
      break;
  }
  child.trail.gate(Stage::kRcpt, name, to_string(found.kind), relay ? "relay" : "deliver");
  child.envelope.recipients.push_back(std::move(recipient));
  child.lookups.push_back(std::move(found.lookup));
  child.relay.push_back(relay);
  co_return Result<void>();
}

}  // namespace postern

// The whole message: its hook, the expansion of aliases, "root", and the commit of what came out.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "core/pipeline/archive.h"
#include "core/pipeline/brought.h"
#include "core/pipeline/described.h"
#include "core/pipeline/once.h"
#include "core/pipeline/policy.h"
#include "core/pipeline/root_run.h"

namespace postern {
namespace {

/// One verdict about the whole mail.
Decision whole_decision(std::size_t named, Verdict verdict) {
  Decision decision;
  decision.outcomes.assign(named, {verdict.reply, verdict.rule});
  decision.whole = std::move(verdict);
  return decision;
}

PlanStep bounce_step(std::uint32_t recipient, const RecipientOutcome& outcome) {
  PlanStep step;
  step.kind = PlanStep::Kind::kBounce;
  step.recipients.push_back(recipient);
  step.options = {
      {"code", std::to_string(outcome.reply.code)}, {"enhanced", outcome.reply.enhanced}, {"text", outcome.reply.text}};
  step.reason = outcome.rule;
  return step;
}

/// What the recipients that the client named are told, when an alias made several of one: 250 if any was accepted.
std::vector<RecipientOutcome> outcomes_as_named(const std::vector<RecipientOutcome>& outcomes,
                                                const std::vector<std::uint32_t>& named_by, std::size_t named) {
  std::vector<RecipientOutcome> out(outcomes.begin(), outcomes.begin() + static_cast<std::ptrdiff_t>(named));
  for (std::size_t i = named; i < outcomes.size(); ++i)
    if (outcomes[i].reply.positive() && !out[named_by[i]].reply.positive()) out[named_by[i]] = outcomes[i];
  return out;
}

/// Refusals that the client cannot be told any more become reports to the sender (architecture.md decision 6).
void add_bounces(Decision& decision, const std::vector<RecipientOutcome>& outcomes,
                 const std::vector<std::uint32_t>& named_by, bool answers_each) {
  if (decision.refuses_all()) return;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].reply.positive()) continue;
    const bool told = answers_each && !decision.outcomes[named_by[i]].reply.positive();
    if (!told) decision.plan.steps.push_back(bounce_step(static_cast<std::uint32_t>(i), outcomes[i]));
  }
}

void set_whole(Decision& decision) {
  if (decision.outcomes.empty() || !decision.refuses_all()) return;
  const RecipientOutcome& first = decision.outcomes.front();
  if (!std::ranges::all_of(decision.outcomes, [&](const auto& one) { return one.reply == first.reply; })) return;
  decision.whole.kind = first.reply.temporary() ? Verdict::Kind::kDefer : Verdict::Kind::kReject;
  decision.whole.reply = first.reply;
  decision.whole.rule = first.rule;
}

void apply_fates(RootRun& run, const Transaction& transaction) {
  const auto apply = [&](const RecipientSet& who, const Verdict& fate) {
    if (fate.kind == Verdict::Kind::kHold) return run.hold(who, fate.hold);
    run.settle_with(who, fate, fate.rule);
  };
  const std::size_t count = transaction.envelope.recipients.size();
  for (std::size_t i = 0; i < transaction.fates.size(); ++i) {
    if (!transaction.fates[i].decided()) continue;
    RecipientSet one = RecipientSet::none(count);
    one.insert(i);
    apply(one, transaction.fates[i]);
  }
  if (transaction.fate.decided()) apply(RecipientSet(run.unsettled()), transaction.fate);
}

/// Puts one target of an alias into the envelope: in the alias's place, or behind all others.
void put_target(Transaction& mail, const Recipient& alias, std::size_t number, AliasTarget target, bool relay,
                bool behind) {
  Recipient recipient = alias;
  recipient.address = std::move(target.address);
  if (recipient.orcpt.empty()) recipient.orcpt = format_orcpt("rfc822", alias.address.to_string());
  mail.trail.fact(Stage::kMessage, "alias",
                  fmt::format("{} -> {}", alias.address.to_string(), recipient.address.to_string()));
  if (!behind) {
    mail.envelope.recipients[number] = std::move(recipient);
    mail.lookups[number] = std::move(target.lookup);
    mail.relay[number] = relay;
    return;
  }
  mail.envelope.recipients.push_back(std::move(recipient));
  mail.lookups.push_back(std::move(target.lookup));
  mail.relay.push_back(relay);
  if (!mail.recipient_notes.empty()) mail.recipient_notes.emplace_back(mail.recipient_notes[number]);
  if (!mail.fates.empty()) mail.fates.push_back(number < mail.fates.size() ? Verdict(mail.fates[number]) : Verdict{});
}

Verdict discarded(std::string reason) {
  Verdict verdict;
  verdict.kind = Verdict::Kind::kDiscard;
  verdict.reason = std::move(reason);
  return verdict;
}

}  // namespace

Task<void> PipelinePolicy::expand_aliases(PolicyWorker& worker, Transaction& mail, Expansion& expansion,
                                          Instant until) {
  const std::size_t named = mail.envelope.recipients.size();
  std::set<Address> known;
  RecordedDirectory directory(worker, mail.trail, Stage::kMessage, until);
  for (std::size_t i = 0; i < named; ++i)
    if (mail.lookups[i].kind != AddressLookup::Kind::kAlias) known.insert(mail.envelope.recipients[i].address);
  for (std::size_t i = 0; i < named; ++i) {
    if (mail.lookups[i].kind != AddressLookup::Kind::kAlias) continue;
    const Recipient alias = mail.envelope.recipients[i];
    auto resolved = co_await resolve_alias(directory, alias.address, mail.lookups[i]);
    if (!resolved) {
      expansion.failed.emplace_back(static_cast<std::uint32_t>(i), resolved.error().detail);
      continue;
    }
    const bool may_leave = mail.relay[i];  // the gate saw where the alias leads; it may have changed since
    bool placed = false;
    for (AliasTarget& target : resolved->targets) {
      if (!known.insert(target.address).second) continue;
      if (mail.envelope.recipients.size() >= kMaxRecipients) {
        expansion.failed.emplace_back(static_cast<std::uint32_t>(i), "aliases lead to too many recipients");
        break;
      }
      const DomainKind domain = directory.peek(target.address.domain().ascii());
      const bool relay = domain == DomainKind::kRelay || (domain == DomainKind::kForeign && may_leave);
      put_target(mail, alias, i, std::move(target), relay, placed);
      expansion.by_alias[i] = true;
      if (placed) {
        expansion.named_by.push_back(static_cast<std::uint32_t>(i));
        expansion.by_alias.push_back(true);
      }
      placed = true;
    }
    if (placed) continue;
    mail.fates.resize(mail.envelope.recipients.size());
    mail.fates[i] = discarded("all its targets are recipients already");
    mail.fates[i].rule = "alias";
  }
}

/// Mail from elsewhere that an alias or a rule of ours sends on to elsewhere leaves with a sender of ours. A user's own
/// mail, and mail of our domains, has one already; what a relay network sends to foreign recipients that it named
/// itself is not forwarded, but on its way.
void PipelinePolicy::rewrite_sender(PolicyWorker& worker, Transaction& mail, const std::vector<bool>& by_alias,
                                    Plan& plan) const {
  const Address& sender = mail.envelope.sender;
  const RecordedDirectory directory(worker, mail.trail, Stage::kMessage);
  if (!return_paths_ || sender.is_null() || mail.session.client.authenticated() ||
      std::ranges::find(by_alias, true) == by_alias.end() ||
      directory.domain_kind(sender.domain().ascii()) != DomainKind::kForeign)
    return;
  const auto made = return_paths_->forward(sender, worker.executor->wall());
  if (!made) {
    mail.trail.fact(Stage::kMessage, "return-path", fmt::format("{}: {}", sender.to_string(), made.error().code));
    worker.log.warn("message.return-path", {{"session", mail.session.id},
                                            {"sender", sender.path()},
                                            {"code", made.error().code},
                                            {"why", made.error().detail}});
    return;
  }
  const auto forwarded = [&](std::uint32_t one) {
    const Address& address = mail.envelope.recipients[one].address;
    return by_alias[one] && directory.peek(address.domain().ascii()) == DomainKind::kForeign;
  };
  RecipientSet rewritten = RecipientSet::none(mail.envelope.recipients.size());
  for (std::size_t at = 0, count = plan.steps.size(); at < count; ++at) {
    PlanStep& step = plan.steps[at];
    // Also of mail in quarantine: a release sends it on by the same step.
    if (step.kind != PlanStep::Kind::kRelay && step.kind != PlanStep::Kind::kQuarantine) continue;
    std::vector<std::uint32_t> mine;
    std::vector<std::uint32_t> rest;
    for (const std::uint32_t one : step.recipients) (forwarded(one) ? mine : rest).push_back(one);
    if (mine.empty()) continue;
    step.recipients = std::move(mine);
    for (const std::uint32_t one : step.recipients) rewritten.insert(one);
    PlanStep apart;  // made before the step is changed; a reference does not outlive push_back
    if (!rest.empty()) apart = step;
    step.options.insert_or_assign(std::string(kSenderOption), made->to_string());
    if (rest.empty()) continue;
    apart.recipients = std::move(rest);
    plan.steps.push_back(std::move(apart));
  }
  if (rewritten.empty()) return;
  mail.trail.fact(Stage::kMessage, "return-path",
                  fmt::format("{} -> {} [{}]", sender.to_string(), made->to_string(), rewritten.to_string()));
}

Task<Decision> PipelinePolicy::message(Transaction& transaction) {
  PolicyWorker& worker = here(co_await this_executor());
  MessageRun run{.epoch = worker.epoch, .until = worker.executor->now() + worker.epoch->time_limit};
  co_return co_await decide_message(worker, run, transaction);
}

Task<Decision> PipelinePolicy::decide_message(PolicyWorker& worker, MessageRun& common, Transaction& transaction) {
  const std::shared_ptr<const RuleEpoch>& epoch = common.epoch;
  Executor& executor = *worker.executor;
  const Instant before = executor.now();
  // Before any rule has seen it: what a replay runs its scripts over.
  // Mails that rules bring in are made again by a replay of the one that brought them.
  if (options_.archive && transaction.brought_depth == 0 && options_.archive->wants(executor, transaction))
    co_await options_.archive->keep(executor, transaction);
  if (epoch->hooked(Stage::kMessage)) {
    Verdict verdict = co_await run_hooks(worker, epoch, Stage::kMessage, transaction.session, &transaction, nullptr,
                                         nullptr, common.until);
    if (verdict.refuses()) {
      transaction.trail.reply(Stage::kMessage, verdict.reply.code, said(verdict.reply));
      refused_messages_.add(executor.index());
      co_return whole_decision(transaction.envelope.recipients.size(), std::move(verdict));
    }
    if (verdict.decided()) transaction.fate = std::move(verdict);
  }
  const std::size_t named = transaction.envelope.recipients.size();
  // What rules bring in is sent on by us, as what an alias leads to is.
  Expansion expansion{std::vector<std::uint32_t>(named), std::vector<bool>(named, transaction.brought_depth > 0)};
  const std::vector<std::uint32_t>& named_by = expansion.named_by;
  std::iota(expansion.named_by.begin(), expansion.named_by.end(), 0U);
  if (std::ranges::any_of(transaction.lookups, [](const auto& one) { return one.kind == AddressLookup::Kind::kAlias; }))
    co_await expand_aliases(worker, transaction, expansion, common.until);

  LiveEffects effects(worker, *epoch, transaction.trail, transaction.session.id, Stage::kMessage, common.until);
  RootRun run(*epoch, worker, transaction, effects);
  for (const auto& [recipient, why] : expansion.failed) {
    RecipientSet one = RecipientSet::none(transaction.envelope.recipients.size());
    one.insert(recipient);
    transaction.trail.error(Stage::kMessage, "alias", why);
    worker.log.error("message.alias", {{"session", transaction.session.id}, {"why", why}});
    run.settle_with(one, failure_verdict(OnError::kDefer, "alias", Stage::kMessage), "alias");
  }
  apply_fates(run, transaction);
  co_await run.run();

  Decision decision;
  const bool expanded = run.outcomes().size() != named;  // else the outcomes are those of the named recipients already
  decision.outcomes = expanded ? outcomes_as_named(run.outcomes(), named_by, named) : std::move(run.outcomes());
  decision.plan.steps = std::move(run.steps());
  rewrite_sender(worker, transaction, expansion.by_alias, decision.plan);
  add_bounces(decision, expanded ? run.outcomes() : decision.outcomes, named_by, transaction.answers_each);
  set_whole(decision);
  if (decision.refuses_all()) {
    transaction.brought.clear();
  } else {
    settle_bodies(run, transaction, decision);
    if (!transaction.brought.empty()) {
      Verdict verdict = co_await bring_in(worker, common, transaction);
      if (verdict.refuses()) {
        drop_settled(transaction, verdict.reply.text);
        decision = whole_decision(named, std::move(verdict));
      }
    }
  }
  root_seconds_.observe(executor.index(), executor.now() - before);
  if (decision.refuses_all()) {
    const Reply reply = decision.reply();
    transaction.trail.reply(Stage::kMessage, reply.code, said(reply));
    refused_messages_.add(executor.index());
    worker.log.info("message.refused", {{"session", transaction.session.id},
                                        {"sender", transaction.envelope.sender.path()},
                                        {"rule", decision.outcomes.front().rule},
                                        {"code", reply.code},
                                        {"enhanced", reply.enhanced}});
  }
  co_return decision;
}

void compact(Envelope& envelope, Plan& plan) {
  std::vector<bool> used(envelope.recipients.size(), false);
  for (const PlanStep& step : plan.steps)
    for (const std::uint32_t number : step.recipients)
      if (number < used.size()) used[number] = true;
  if (std::ranges::find(used, false) == used.end()) return;
  std::vector<std::uint32_t> renumbered(used.size(), 0);
  std::vector<Recipient> kept;
  for (std::size_t i = 0; i < used.size(); ++i) {
    renumbered[i] = static_cast<std::uint32_t>(kept.size());
    if (used[i]) kept.push_back(std::move(envelope.recipients[i]));
  }
  envelope.recipients = std::move(kept);
  for (PlanStep& step : plan.steps)
    for (std::uint32_t& number : step.recipients) number = renumbered.at(number);
}

Task<Result<MessageId>> PipelinePolicy::commit(Transaction& transaction, Draft draft, const Decision& decision) {
  Executor& executor = co_await this_executor();
  PolicyWorker& worker = here(executor);
  Envelope envelope = transaction.envelope;
  Plan plan = decision.plan;
  compact(envelope, plan);
  if (envelope.recipients.empty()) co_return fault("pipeline.nothing", "no recipient was accepted");
  // Before this one, so that its 250 speaks for all. A fault keeps back what comes after it, this one too: the client
  // tries again, and what was written already may then come twice. Better that than a loss. What is written leaves the
  // list, so that the record of a later fault does not call it refused.
  for (auto& settled = transaction.settled; !settled.empty(); settled.erase(settled.begin())) {
    SettledMail& one = *settled.front();
    std::optional<OnceClaim> once;
    if (one.once) once.emplace(worker, *one.once, transaction.trail);
    if (once && !co_await once->take()) {
      drop_one(one, "not sent: once in a while is enough, or the store does not answer");
      continue;
    }
    auto written = co_await commit(*one.transaction, std::move(one.draft), one.decision);
    if (once) co_await once->end(written.has_value());
    if (!written) {
      drop_settled(transaction, written.error().code);
      co_return written;
    }
    brought_.add(executor.index());
  }
  if (!transaction.edits.empty()) draft.replace_header(transaction.edits.apply(HeaderBlock(draft.header())).join());
  transaction.draft = nullptr;  // the session's was moved into ours
  transaction.trail.reply(Stage::kMessage, 250, "accepted");

  if (queue_) queue_->before_commit(envelope, transaction.session.client, executor.wall());
  AcceptMeta meta;
  envelope.encode(meta.envelope);
  transaction.session.client.encode(meta.client);
  plan.encode(meta.plan);
  meta.trail = transaction.trail.bytes();
  meta.recipients = static_cast<std::uint32_t>(envelope.recipients.size());
  const std::uint64_t size = draft.size();
  Result<MessageId> id = co_await draft.commit(std::move(meta));
  if (!id) {
    commit_faults_.add(executor.index());
    transaction.trail.error(Stage::kMessage, "spool", id.error().code);
    worker.log.error("message.commit",
                     {{"session", transaction.session.id}, {"code", id.error().code}, {"why", id.error().detail}});
    co_return id;
  }
  accepted(worker, *id, transaction, std::move(envelope), std::move(plan), size);
  co_return id;
}

void PipelinePolicy::accepted(PolicyWorker& worker, MessageId id, const Transaction& transaction, Envelope envelope,
                              Plan plan, std::uint64_t size) {
  const unsigned index = worker.executor->index();
  accepted_.add(index);
  accepted_recipients_.add(index, envelope.recipients.size());
  const std::string name = id.to_string();
  worker.log.debug("message.accepted", {{"id", name},
                                        {"session", transaction.session.id},
                                        {"sender", envelope.sender.path()},
                                        {"recipients", envelope.recipients.size()},
                                        {"size", size}});
  if (options_.trails && options_.keep_accepted) {
    TrailRecord record;
    record.when = worker.executor->wall();
    record.accepted = true;
    record.message = name;
    record.session = transaction.session.id;
    record.client = transaction.session.client.ip.to_string();
    name_envelope(record, envelope);
    record.outcome = "accepted";
    record.trail = transaction.trail.bytes();
    options_.trails->append(*worker.executor, record);
  }
  if (queue_) queue_->accepted({id, std::move(envelope), std::move(plan), size, worker.executor->wall()});
}

}  // namespace postern

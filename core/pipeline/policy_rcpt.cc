// RCPT: what kind of recipient it is, whether the gate lets it pass, and what hooks say.
#include <fmt/format.h>

#include "core/pipeline/described.h"
#include "core/pipeline/policy.h"

namespace postern {
namespace {

AddressLookup of_kind(AddressLookup::Kind kind) {
  AddressLookup lookup;
  lookup.kind = kind;
  return lookup;
}

bool is_fate(const Verdict& verdict) {
  return verdict.kind == Verdict::Kind::kDiscard || verdict.kind == Verdict::Kind::kQuarantine ||
         verdict.kind == Verdict::Kind::kHold;
}

/// A bare <postmaster> belongs to the default domain (RFC 5321 §4.5.1).
void qualify(Address& address, const Directory& directory) {
  if (!address.is_bare_postmaster()) return;
  if (auto domain = Domain::parse(directory.default_domain())) address = address.with_domain(std::move(*domain));
}

}  // namespace

Task<PipelinePolicy::Classified> PipelinePolicy::classify_recipient(PolicyWorker& worker, const RuleEpoch& epoch,
                                                                    Transaction& mail, const Address& address,
                                                                    Instant until) {
  Classified out;
  out.lookup = of_kind(AddressLookup::Kind::kForeign);
  const RecordedDirectory directory(worker, mail.trail, Stage::kRcpt);
  const DomainKind domain = address.domain().empty() ? DomainKind::kLocal : directory.peek(address.domain().ascii());
  if (domain != DomainKind::kLocal) directory.write(address, domain, out.lookup, worker.executor->now());
  switch (domain) {
    case DomainKind::kForeign:
      out.kind = address.domain().is_literal() ? RecipientClass::kLiteral : RecipientClass::kForeign;
      return Task<Classified>::ready(std::move(out));
    case DomainKind::kRelay:
      out.kind = hides_route(address.local()) ? RecipientClass::kRelayRouted : RecipientClass::kRelayDomain;
      return Task<Classified>::ready(std::move(out));
    case DomainKind::kLocal:
      break;
  }
  if (return_paths_ && return_paths_->is_return_path(address))
    return classify_return_path(worker, epoch, mail, address, until);
  return classify_local(worker, epoch, mail, address, until);
}

/// A sender that we gave forwarded mail leads back to the true one, as an alias that only this address has. What was
/// not signed here, or too long ago, is nobody.
Task<PipelinePolicy::Classified> PipelinePolicy::classify_return_path(PolicyWorker& worker, const RuleEpoch& epoch,
                                                                      Transaction& mail, const Address& address,
                                                                      Instant until) {
  Classified out;
  const auto back = return_paths_->reverse(address, worker.executor->wall());
  mail.trail.fact(Stage::kRcpt, "return-path",
                  fmt::format("{} -> {}", address.to_string(), back ? back->to_string() : back.error().code));
  out.kind = RecipientClass::kNoSuchUser;
  out.lookup = of_kind(AddressLookup::Kind::kNoSuchUser);
  if (!back) {
    out.words = back.error().code == "srs.expired" ? "this return path has expired"
                                                   : "this return path was not made by this server";
    co_return out;
  }
  // Who wrote from elsewhere may have moved to us since.
  const RecordedDirectory directory(worker, mail.trail, Stage::kRcpt);
  if (directory.domain_kind(back->domain().ascii()) == DomainKind::kLocal) {
    if (return_paths_->is_return_path(*back)) co_return out;
    const Classified behind = co_await classify_local(worker, epoch, mail, *back, until);
    if (behind.kind == RecipientClass::kNoSuchUser || behind.kind == RecipientClass::kLocalRouted) co_return out;
    if (behind.kind == RecipientClass::kTemporary) co_return behind;
  }
  const bool report = return_paths_->takes_from(mail.envelope.sender);
  out.kind = report ? RecipientClass::kReturnPath : RecipientClass::kReturnPathMail;
  if (!report) out.words = "only reports about mail are taken for this address";
  out.lookup = of_kind(AddressLookup::Kind::kAlias);
  out.lookup.targets = {*back};
  co_return out;
}

Task<PipelinePolicy::Classified> PipelinePolicy::classify_local(PolicyWorker& worker, const RuleEpoch& epoch,
                                                                Transaction& mail, const Address& address,
                                                                Instant until) {
  Classified out;
  const bool postmaster = address.is_postmaster();
  RecordedDirectory directory(worker, mail.trail, Stage::kRcpt, until);
  out.lookup = of_kind(AddressLookup::Kind::kNoSuchUser);
  if (!address.domain().empty()) {
    const Instant since = worker.executor->now();
    out.lookup = co_await directory.look_up(address);
    directory.write(address, DomainKind::kLocal, out.lookup, since);
  }
  if (out.lookup.kind == AddressLookup::Kind::kNoSuchUser && postmaster && epoch.postmaster &&
      *epoch.postmaster != address) {
    out.lookup.kind = AddressLookup::Kind::kAlias;  // [pipeline] postmaster
    out.lookup.targets = {*epoch.postmaster};
  }
  switch (out.lookup.kind) {
    case AddressLookup::Kind::kAccount:
      out.kind = RecipientClass::kLocalAccount;
      break;
    case AddressLookup::Kind::kTemporary:
      out.kind = RecipientClass::kTemporary;
      break;
    case AddressLookup::Kind::kForeign:  // our domain, says domain_kind; the directory itself knows nobody there
    case AddressLookup::Kind::kNoSuchUser:
      out.lookup.kind = AddressLookup::Kind::kNoSuchUser;
      out.kind = hides_route(address.local()) ? RecipientClass::kLocalRouted : RecipientClass::kNoSuchUser;
      break;
    case AddressLookup::Kind::kAlias: {
      auto resolved = co_await resolve_alias(directory, address, out.lookup);
      if (!resolved) {
        out.problem = resolved.error().detail;
        out.kind = RecipientClass::kTemporary;
        break;
      }
      out.kind = resolved->wild      ? RecipientClass::kAliasWild
                 : resolved->foreign ? RecipientClass::kAliasForeign
                                     : RecipientClass::kAliasOurs;
      break;
    }
  }
  // Postmaster is always heard (RFC 5321 §4.5.1): who has no mailbox for it finds the mail in quarantine. An alias to
  // an address elsewhere is the administrator's own, and fixed.
  if (postmaster && out.kind != RecipientClass::kTemporary && out.kind != RecipientClass::kAliasWild)
    out.kind = RecipientClass::kPostmaster;
  co_return out;
}

Task<Verdict> PipelinePolicy::rcpt(Transaction& transaction, Recipient recipient) {
  Executor& executor = co_await this_executor();
  PolicyWorker& worker = here(executor);
  const auto epoch = worker.epoch;
  SessionState& session = transaction.session;
  const std::string asked = recipient.address.to_string();
  qualify(recipient.address, *worker.directory);
  const ClientFacts client{session.client.ip, session.client.role, session.client.authenticated(), session.proxy};
  Classified found;
  // Whether somebody exists here is told to nobody who must log in first.
  if (!wants_login(client.role) || client.authenticated)
    found = co_await classify_recipient(worker, *epoch, transaction, recipient.address);
  const GateDecision gate = decide(*epoch->gate, client, found.kind);
  note_recipient(transaction.trail, recipient);
  transaction.trail.gate(Stage::kRcpt, asked, gate.cell, to_string(gate.answer));
  if (!found.problem.empty()) {
    transaction.trail.error(Stage::kRcpt, "alias", found.problem);
    worker.log.error("rcpt.alias", {{"session", session.id}, {"rcpt", asked}, {"why", found.problem}});
  }
  if (!gate.accepts()) {
    Verdict verdict = refusal(gate.answer);
    const bool about_it = gate.answer == GateAnswer::kNoSuchUser || gate.answer == GateAnswer::kRefuse;
    if (about_it && !found.words.empty()) verdict.reply.text = found.words;
    verdict.rule = "gate";
    log_refusal(worker, transaction, recipient, verdict, gate.cell);
    co_return verdict;
  }
  Verdict fate;
  if (epoch->hooked(Stage::kRcpt)) {
    Verdict verdict = co_await run_hooks(worker, epoch, Stage::kRcpt, session, &transaction, &recipient);
    if (verdict.refuses()) {
      log_refusal(worker, transaction, recipient, verdict, gate.cell);
      co_return verdict;
    }
    if (is_fate(verdict)) fate = std::move(verdict);
  }
  // One owner of the arrays that stand beside the recipients: they grow here and nowhere else.
  const bool foreign_alias =
      found.kind == RecipientClass::kAliasForeign || found.kind == RecipientClass::kAliasWild ||
      (found.kind == RecipientClass::kPostmaster && found.lookup.kind == AddressLookup::Kind::kAlias);
  transaction.envelope.recipients.push_back(std::move(recipient));
  transaction.lookups.push_back(std::move(found.lookup));
  transaction.relay.push_back(gate.answer == GateAnswer::kRelay || foreign_alias);
  if (!transaction.recipient_notes.empty()) transaction.recipient_notes.resize(transaction.envelope.recipients.size());
  if (fate.decided() || !transaction.fates.empty()) {
    transaction.fates.resize(transaction.envelope.recipients.size());
    transaction.fates.back() = std::move(fate);
  }
  co_return Verdict{};
}

void PipelinePolicy::log_refusal(PolicyWorker& worker, Transaction& transaction, const Recipient& recipient,
                                 const Verdict& verdict, std::string_view cell) {
  transaction.trail.reply(Stage::kRcpt, verdict.reply.code, said(verdict.reply));
  refused_recipients_.add(worker.executor->index());
  worker.log.info("rcpt.refused", {{"session", transaction.session.id},
                                   {"ip", transaction.session.client.ip.to_string()},
                                   {"sender", transaction.envelope.sender.path()},
                                   {"rcpt", recipient.address.path()},
                                   {"rule", verdict.rule},
                                   {"cell", cell},
                                   {"code", verdict.reply.code},
                                   {"enhanced", verdict.reply.enhanced}});
}

}  // namespace postern

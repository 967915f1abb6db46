// After the final dot: the whole message goes to the pipeline, then to the spool, and only then is there a 250.
//
// One answer on SMTP; one for each recipient on LMTP (RFC 2033 §4.2) and, between 353 and a last word, with PRDR.
#include "received.h"
#include "replies.h"
#include "session.h"

namespace postern::smtp {

Task<void> Session::finish(std::unique_ptr<Mail> mail) {
  Intake& intake = *mail->intake;
  Transaction& transaction = mail->transaction;
  transaction.draft = &intake.draft;
  if (!intake.header_seen && !intake.refusal) co_await header_arrived(*mail);
  check_text(*mail);
  transaction.size = intake.draft.size();
  if (intake.refusal) {
    answer_refused(*mail);
    co_return;
  }
  if (lookup_) co_await take_name(Stage::kMessage, &transaction);
  const auto uid = listener().is_local() ? std::optional(stream_.peer_uid()) : std::nullopt;
  intake.draft.prepend(make_received({.client = state_.client,
                                      .envelope = transaction.envelope,
                                      .hostname = on_->hostname,
                                      .id = intake.draft.id(),
                                      .when = server_.executor().wall(),
                                      .name_asked = state_.reverse.has_value(),
                                      .uid = uid}));
  const std::size_t named = transaction.envelope.recipients.size();  // "root" may rewrite them
  const Decision decision = co_await policy().message(transaction);
  if (decision.refuses_all()) {
    answer_decision(*mail, decision, named, nullptr);
    co_return;
  }
  transaction.draft = nullptr;
  // The promise: a 250 means that the message is on disk. Nothing below this line answers it before that.
  const Result<MessageId> committed = co_await policy().commit(transaction, std::move(intake.draft), decision);
  answer_decision(*mail, decision, named, &committed);
}

/// What the scanner saw and only the end makes certain.
void Session::check_text(Mail& mail) const {
  Intake& intake = *mail.intake;
  if (intake.scanner.nul()) intake.refuse(550, "5.6.0", "The message has a NUL octet in it", "nul");
  if (intake.scanner.bare_newline() && settings().bare_newline == BareNewline::kRefuse)
    intake.refuse(550, "5.6.0", "The message has a bare CR or LF in it: lines end in CR LF (RFC 5321 2.3.8)",
                  "bare-newline");
  if (intake.scanner.longest_line() > settings().max_line.bytes)
    intake.refuse(550, "5.6.0",
                  "The message has a line of more than " + std::to_string(settings().max_line.bytes) + " octets",
                  "line-length");
}

/// The text itself was refused, for all recipients.
void Session::answer_refused(Mail& mail) {
  const Verdict& refusal = *mail.intake->refusal;
  note_refused(mail, refusal.reply, refusal.rule);
  const std::size_t answers = listener().is_lmtp() ? mail.transaction.envelope.recipients.size() : 1;
  const std::string wire = refusal.reply.wire();
  for (std::size_t at = 0; at < answers; ++at) say(wire);
  if (refusal.kind == Verdict::Kind::kDisconnect || refusal.reply.code == 421) closing_ = true;
}

/// `committed`: null when all were refused.
void Session::answer_decision(Mail& mail, const Decision& decision, std::size_t named,
                              const Result<MessageId>* committed) {
  std::string good;
  if (committed && *committed) {
    good = "250 2.0.0 queued as " + (*committed)->to_string() + "\r\n";
    note_accepted(mail, **committed);
  } else if (committed) {
    const Fault& fault = committed->error();
    good = fault.code == "spool.full" ? replies::kMailFull : replies::kMailFault;
    server_.log().error("smtp.commit-failed",
                        {{"session", state_.id}, {"fault", fault.code}, {"detail", fault.detail}});
    metrics().refused_temporary.add(server_.worker());
  } else {
    good = decision.reply().wire();
    note_refused(mail, decision.reply(), decision.whole.rule);
  }
  const bool lmtp = listener().is_lmtp();
  const bool prdr = mail.prdr && named > 1 && !decision.whole.refuses();
  if (prdr) stream_.put(replies::kAnalysing);
  for (std::size_t at = 0; (lmtp || prdr) && at < named; ++at) {
    const bool refused = at < decision.outcomes.size() && !decision.outcomes[at].reply.positive();
    if (refused && !decision.whole.refuses())
      say(decision.outcomes[at].reply);
    else
      say(good);
  }
  if (!lmtp) say(good);
  if (decision.whole.kind == Verdict::Kind::kDisconnect) closing_ = true;
}

void Session::note_accepted(Mail& mail, MessageId id) {
  const Transaction& transaction = mail.transaction;
  const Duration took = server_.executor().now() - transaction.started;
  ++messages_;
  commands_ = 0;
  metrics().accepted.add(server_.worker());
  metrics().accepted_bytes.add(server_.worker(), transaction.size);
  metrics().latency.observe(server_.worker(), took);
  if (!server_.log().enabled(LogLevel::kInfo)) return;
  server_.log().info("smtp.accepted",
                     {{"id", id.to_string()},
                      {"session", state_.id},
                      {"ip", state_.client.ip.to_string()},
                      {"from", transaction.envelope.sender.to_string()},
                      {"rcpts", transaction.envelope.recipients.size()},
                      {"size", transaction.size},
                      {"micros", std::chrono::duration_cast<std::chrono::microseconds>(took).count()}});
}

void Session::note_refused(Mail& mail, const Reply& reply, std::string_view rule) {
  (reply.temporary() ? metrics().refused_temporary : metrics().refused_permanent).add(server_.worker());
  metrics().latency.observe(server_.worker(), server_.executor().now() - mail.transaction.started);
  policy().refused(state_, &mail.transaction, reply.text);
  server_.log().info("smtp.refused", {{"session", state_.id},
                                      {"ip", state_.client.ip.to_string()},
                                      {"stage", "message"},
                                      {"from", mail.transaction.envelope.sender.to_string()},
                                      {"rcpts", mail.transaction.envelope.recipients.size()},
                                      {"code", reply.code},
                                      {"enhanced", reply.enhanced},
                                      {"text", reply.text},
                                      {"rule", rule}});
}

}  // namespace postern::smtp

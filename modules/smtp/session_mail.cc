// MAIL and RCPT: the envelope. RFC 5321 §4.1.1.2, §4.1.1.3, §3.6; 6409 §4.3; 9422.
#include "parameters.h"
#include "replies.h"
#include "session.h"

namespace postern::smtp {

Task<void> Session::on_mail(Command command) {
  if (listener().takes_first() && !state_.client.authenticated()) {
    say(replies::kNeedAuth);  // RFC 6409 §4.3
    co_return;
  }
  if (messages_ >= settings().max_messages) {
    say_last(replies::kTooManyMessages);
    co_return;
  }
  auto arguments = parse_mail(command.argument, {.esmtp = esmtp_,
                                                 .lenient = lenient(),
                                                 .smtputf8 = settings().smtputf8,
                                                 .dsn = settings().dsn,
                                                 .prdr = settings().prdr && !listener().is_lmtp(),
                                                 .auth = listener().offers_auth(),
                                                 .timing = listener().takes_first(),
                                                 .now = server_.executor().wall()});
  if (!arguments) {
    say(arguments.error());
    co_return;
  }
  if (arguments->size.value_or(0) > on_->max_message_size()) {  // RFC 1870 §6.1
    say(Reply{552, "5.3.4", "Message too big: the limit is " + std::to_string(on_->max_message_size()) + " octets"});
    co_return;
  }
  auto mail = std::make_unique<Mail>(state_);
  mail->prdr = arguments->prdr;
  Transaction& transaction = mail->transaction;
  transaction.started = server_.executor().now();
  transaction.answers_each = listener().is_lmtp() || arguments->prdr;
  Envelope& envelope = transaction.envelope;
  envelope.sender = std::move(arguments->sender);
  envelope.size = arguments->size;
  envelope.body = arguments->body;
  envelope.smtputf8 = arguments->smtputf8;
  envelope.ret = arguments->ret;
  envelope.envid = std::move(arguments->envid);
  envelope.priority = arguments->priority;
  envelope.deliver_by = arguments->deliver_by;
  envelope.hold_until = arguments->hold_until;
  co_await name_for(Stage::kMail);  // before the transaction's trail is begun from the session's
  const Verdict verdict = co_await policy().mail(transaction);
  if (verdict.refuses()) {
    refuse(verdict, "mail");
    policy().refused(state_, &transaction, verdict.reply.text);
    co_return;
  }
  mail_ = std::move(mail);
  say(replies::kSenderOk);
}

Task<void> Session::on_rcpt(Command command) {
  Transaction& transaction = mail_->transaction;
  if (transaction.envelope.recipients.size() >= settings().max_recipients) {
    say(replies::kTooManyRecipients);  // RFC 5321 §4.5.3.1.10
    co_return;
  }
  const ArgumentRules rules{
      .esmtp = esmtp_, .lenient = lenient(), .smtputf8 = transaction.envelope.smtputf8, .dsn = settings().dsn};
  auto recipient = parse_rcpt(command.argument, rules);
  if (!recipient) {
    say(recipient.error());
    co_return;
  }
  co_await name_for(Stage::kRcpt, &transaction);
  const Verdict verdict = co_await policy().rcpt(transaction, std::move(*recipient));
  if (verdict.refuses()) {
    mail_->some_refused = true;
    // The policy has the address now; the line is still in the buffer, since nobody else reads from the stream.
    recipient = parse_rcpt(command.argument, rules);
    refuse(verdict, "rcpt", recipient ? recipient->address.to_string() : std::string());
    co_return;
  }
  // 251: the directory knows where this user has gone, and we forward (RFC 5321 §3.4).
  if (verdict.reply.code == 251)
    say(verdict.reply);
  else
    say(replies::kRecipientOk);
}

/// The transaction comes to nothing. What refused its recipients is still worth knowing.
void Session::end_transaction(std::string_view why) {
  if (!mail_) return;
  const auto mail = std::move(mail_);
  if (mail->some_refused || mail->intake) {
    mail->transaction.draft = mail->intake ? &mail->intake->draft : nullptr;
    policy().refused(state_, &mail->transaction, why);
  }
}

}  // namespace postern::smtp

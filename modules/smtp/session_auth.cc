// STARTTLS (RFC 3207) and AUTH (RFC 4954).
#include <fmt/format.h>

#include "postern/text.h"
#include "replies.h"
#include "session.h"

namespace postern::smtp {

namespace {
constexpr int kMaxAuthSteps = 16;  // challenges of one exchange; no mechanism needs more than three
}

Task<void> Session::on_starttls(Command) {
  if (stream_.secure()) {
    say(replies::kAlreadyTls);
    co_return;
  }
  if (listener().tls_mode() == TlsMode::kNone) {
    say(replies::kNotImplemented);
    co_return;
  }
  if (!on_->tls) {
    say(replies::kNoTlsNow);
    co_return;
  }
  if (!stream_.buffered().empty()) {
    say_last(replies::kEarlyTls);  // would be taken for part of the protected session: command injection
    co_return;
  }
  end_transaction("STARTTLS");
  say(replies::kStartTls);
  co_await stream_.start_tls(*on_->tls, Deadline::after(settings().tls_timeout));
  forget_client();  // RFC 3207 §4.2: what the client said before counts for nothing
  note_tls();
  co_await name_for(Stage::kStarttls);
  const Verdict verdict = co_await policy().starttls(state_);
  if (verdict.refuses()) {
    refuse(verdict, "starttls");
    leave_trail(verdict.reply.text);
    closing_ = true;
  }
}

AuthFacts Session::auth_facts() const {
  return {.service = "smtp",
          .client = state_.client.ip,
          .secure = wire_is_safe(),
          .allow_plaintext = listener().allow_plaintext_auth,
          .session = state_.id};
}

/// " PLAIN LOGIN", strongest first; empty when none is to be announced.
std::string Session::auth_mechanisms() const {
  std::string out;
  if (!listener().offers_auth() || !server_.parts.auth || state_.client.authenticated()) return out;
  for (const std::string_view mechanism : server_.parts.auth->mechanisms(auth_facts())) {
    out += ' ';
    out += mechanism;
  }
  return out;
}

Task<void> Session::on_auth(Command command) {
  if (!listener().offers_auth() || !server_.parts.auth) {
    say(replies::kNotImplemented);
    co_return;
  }
  if (state_.client.authenticated()) {
    say(replies::kAlreadyAuth);
    co_return;
  }
  std::string_view initial = command.argument;
  const std::string mechanism(take_until(initial, ' '));
  initial = trim(initial);
  if (mechanism.empty()) {
    say(replies::kAuthSyntax);
    co_return;
  }
  if (!wire_is_safe() && !listener().allow_plaintext_auth && auth_mechanisms().empty()) {
    say(replies::kAuthNeedsTls);
    co_return;
  }
  std::optional<std::string> response;
  if (initial == "=")
    response.emplace();  // RFC 4954 §4: an empty initial response
  else if (!initial.empty() && !(response = base64_decode(initial))) {
    say(replies::kNotBase64);
    co_return;
  }
  std::unique_ptr<SaslExchange> sasl = server_.parts.auth->begin(mechanism, auth_facts());
  if (!sasl) {
    say(replies::kUnknownMechanism);
    co_return;
  }
  state_.client.auth_mechanism = to_upper(mechanism);
  co_await exchange(std::move(sasl), std::move(response));
  if (!state_.client.authenticated()) state_.client.auth_mechanism.clear();
}

Task<void> Session::exchange(std::unique_ptr<SaslExchange> sasl, std::optional<std::string> response) {
  for (int step = 0; step < kMaxAuthSteps; ++step) {
    SaslExchange::Step answer;
    try {
      answer = co_await sasl->step(std::move(response));
    } catch (const Overloaded& busy) {  // too many passwords are being hashed already
      answer.outcome = AuthOutcome{.kind = AuthOutcome::Kind::kUnavailable, .account = {}, .reason = busy.what()};
    }
    if (answer.outcome) co_return co_await auth_ended(std::move(*answer.outcome));
    response = co_await ask(std::move(answer.challenge));
    if (!response) co_return;  // ask() has said why
  }
  co_await auth_ended({.kind = AuthOutcome::Kind::kMalformed, .account = {}, .reason = "too many steps"});
}

/// Sends a challenge and reads the client's response; nothing when it gave none, which has been answered then.
Task<std::optional<std::string>> Session::ask(std::string challenge) {
  stream_.put("334 " + base64_encode(challenge) + "\r\n");
  co_await flush();
  Stream::Line line;
  bool too_long = false;
  try {
    line = co_await stream_.read_line(kAuthLine, Deadline::after(settings().auth_timeout));
  } catch (const LineTooLong&) {
    too_long = true;
  }
  if (too_long) {
    say(replies::kAuthLineTooLong);
    co_return std::nullopt;
  }
  if (line.bare_lf && settings().bare_newline == BareNewline::kRefuse) {
    say(replies::kBareLf);
    co_return std::nullopt;
  }
  if (line.text == "*") {
    say(replies::kAuthAborted);
    co_return std::nullopt;
  }
  auto decoded = base64_decode(line.text);
  if (!decoded) say(replies::kNotBase64);
  co_return decoded;
}

Task<void> Session::auth_ended(AuthOutcome outcome) {
  using Kind = AuthOutcome::Kind;
  const bool wrong = outcome.kind == Kind::kRefused || outcome.kind == Kind::kTooMany;
  (outcome.kind == Kind::kOk ? metrics().auth_ok : metrics().auth_failed).add(server_.worker());
  if (outcome.kind != Kind::kOk)
    server_.log().info("smtp.auth-failed", {{"session", state_.id},
                                            {"ip", state_.client.ip.to_string()},
                                            {"mechanism", state_.client.auth_mechanism},
                                            {"reason", outcome.reason}});
  if (wrong) {
    if (settings().auth_failure_delay > Duration::zero()) co_await sleep_for(settings().auth_failure_delay);
    // A throttled password was not looked at: the client must not make its user type another one (RFC 4954 §6).
    say(outcome.kind == Kind::kTooMany ? replies::kAuthThrottled : replies::kAuthRefused);
    if (++auth_failures_ >= settings().max_auth_failures) say_last(replies::kTooManyErrors);
    co_return;
  }
  switch (outcome.kind) {
    case Kind::kOk:
      break;
    case Kind::kUnavailable:
      co_return say(replies::kAuthUnavailable);
    case Kind::kInsecure:
      co_return say(replies::kAuthNeedsTls);
    case Kind::kAborted:
      co_return say(replies::kAuthAborted);
    default:
      co_return say(replies::kAuthMalformed);
  }
  state_.client.auth_user = std::move(outcome.account);
  co_await name_for(Stage::kAuth);
  const Verdict verdict = co_await policy().auth(state_);
  if (verdict.refuses()) {
    state_.client.auth_user.clear();
    leave_trail(verdict.reply.text);
    co_return refuse(verdict, "auth");
  }
  server_.log().info("smtp.authenticated", {{"session", state_.id},
                                            {"ip", state_.client.ip.to_string()},
                                            {"user", state_.client.auth_user},
                                            {"mechanism", state_.client.auth_mechanism}});
  say(replies::kAuthOk);
}

}  // namespace postern::smtp

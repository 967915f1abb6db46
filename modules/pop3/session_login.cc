// The AUTHORIZATION state: who is it, and the way into the maildrop.
//
// A log-in that is right asks the account's owner worker for the maildrop's lock, and moves the session there; the
// answer to it comes from there, once the maildrop is open.
#include <fmt/format.h>

#include <array>

#include "postern/sync.h"
#include "postern/text.h"
#include "session.h"

namespace postern::pop3 {

namespace {

constexpr int kMaxSaslSteps = 8;
constexpr std::string_view kNeedsTls = "passwords need TLS here: send STLS first";

}  // namespace

Session::Next Session::user(Command command) {
  if (!is_secure() && !listener().allow_plaintext) {
    err_counted(offers_stls() ? kNeedsTls : "passwords are not taken on this connection");
    return Next::kGoOn;
  }
  user_ = std::move(command.argument);
  ok("now PASS and your password");  // the same for any name: it does not tell who exists
  return Next::kGoOn;
}

Task<Session::Next> Session::pass(std::string password) {
  if (user_.empty()) {
    err_counted("USER and your name come before PASS");
    co_return Next::kGoOn;
  }
  std::string name = std::exchange(user_, {});
  Authenticator& auth = shard_->server().parts().auth;
  // Blanks at the end are part of the password as it came (RFC 1939 §7); when that is wrong, they were typed by
  // mistake.
  std::string trimmed(trim_right(password));
  bool has_blanks = trimmed.size() != password.size() && !trimmed.empty();
  AuthOutcome outcome = co_await auth.check_password(name, std::move(password), facts());
  if (has_blanks && outcome.kind == AuthOutcome::Kind::kRefused)
    outcome = co_await auth.check_password(std::move(name), std::move(trimmed), facts());
  co_return co_await enter(std::move(outcome));
}

Task<Session::Next> Session::apop(std::string name, std::string digest) {
  if (timestamp_.empty()) {
    err_counted("APOP is not offered; USER and PASS, or AUTH PLAIN");
    co_return Next::kGoOn;
  }
  user_.clear();
  Authenticator& auth = shard_->server().parts().auth;
  AuthOutcome outcome = co_await auth.check_apop(std::move(name), timestamp_, std::move(digest), facts());
  co_return co_await enter(std::move(outcome));
}

// RFC 5034 knows no AUTH alone; older clients ask so, and CAPA says the same.
Session::Next Session::auth_list() {
  auto mechanisms = shard_->server().parts().auth.mechanisms(facts());
  ok("mechanisms");
  for (std::string_view mechanism : mechanisms) {
    stream_->put(mechanism);
    stream_->put("\r\n");
  }
  stream_->put(".\r\n");
  return Next::kGoOn;
}

Task<Session::Next> Session::auth(std::string mechanism, std::optional<std::string> initial) {
  user_.clear();
  Authenticator& auth = shard_->server().parts().auth;
  auto exchange = auth.begin(mechanism, facts());
  if (!exchange) {
    err_counted("unknown mechanism; CAPA lists them");
    co_return Next::kGoOn;
  }
  if (auth.mechanisms(facts()).empty()) {  // before the client is asked for its password
    err_counted(offers_stls() ? kNeedsTls : "passwords are not taken on this connection");
    co_return Next::kGoOn;
  }
  std::optional<std::string> response;
  if (initial) {
    response = *initial == "=" ? std::string() : base64_decode(*initial);  // RFC 5034 §4: "=" is an empty one
    if (!response) {
      err_counted("that initial response is not base64");
      co_return Next::kGoOn;
    }
  }
  co_return co_await sasl(std::move(exchange), std::move(response));
}

Task<Session::Next> Session::sasl(std::unique_ptr<SaslExchange> exchange, std::optional<std::string> response) {
  for (int steps = 0; steps < kMaxSaslSteps; ++steps) {
    SaslExchange::Step step = co_await exchange->step(std::move(response));
    if (step.outcome) co_return co_await enter(std::move(*step.outcome));
    std::optional<std::string> line = co_await sasl_answer(std::move(step.challenge));
    if (!line) {
      err_counted("that answer is too long");
      co_return Next::kGoOn;
    }
    if (*line == "*") co_return refuse_login(AuthOutcome::Kind::kAborted);
    response = base64_decode(*line);
    if (!response) co_return refuse_login(AuthOutcome::Kind::kMalformed);
  }
  co_return refuse_login(AuthOutcome::Kind::kMalformed);
}

// The client's next line as it came; nothing when it was too long (and has been skipped).
Task<std::optional<std::string>> Session::sasl_answer(std::string challenge) {
  stream_->put("+ ");
  stream_->put(base64_encode(challenge));
  stream_->put("\r\n");
  co_await stream_->flush(write_deadline());
  co_await EnterContext(shard_->idle());
  try {
    Stream::Line line = co_await stream_->read_line(kMaxSaslLineBytes, idle_deadline());
    co_return std::string(trim_right(line.text));
  } catch (const LineTooLong&) {
    co_return std::nullopt;
  } catch (const Cancelled&) {
    if (!shard_->draining()) throw;
  }
  co_return "*";  // given up for the client: the server is ending, and the next reading says so
}

// RFC 2595 §4. What came before is forgotten; Stream refuses octets that were sent ahead of the handshake.
Task<Session::Next> Session::stls() {
  std::shared_ptr<TlsContext> context;
  if (offers_stls()) context = shard_->server().parts().tls->server(listener().certificate);
  if (!context) {
    err_counted(stream_->secure() ? "TLS is on already"
                : utf8_           ? "STLS must come before UTF8"
                                  : "TLS is not offered here");
    co_return Next::kGoOn;
  }
  if (!stream_->buffered().empty()) {
    err("nothing may follow STLS before TLS is on; goodbye");
    co_return Next::kEnd;
  }
  ok("begin TLS");
  co_await stream_->flush(write_deadline());
  co_await stream_->start_tls(*context, Deadline::after(settings_->tls_timeout));
  user_.clear();
  co_return Next::kGoOn;
}

// RFC 6856 §2: before log-in only. Messages are sent as they are stored either way: README.md says why.
Session::Next Session::utf8() {
  utf8_ = true;
  ok("UTF-8 it is");
  return Next::kGoOn;
}

Session::Next Session::refuse_login(AuthOutcome::Kind kind) {
  using Kind = AuthOutcome::Kind;
  ++errors_;
  shard_->server().metrics().failed_logins.add(shard_->index());
  switch (kind) {
    case Kind::kUnavailable:
      err("[SYS/TEMP] passwords cannot be checked now; try again later");
      return Next::kGoOn;
    case Kind::kInsecure:
      err(kNeedsTls);
      return Next::kGoOn;
    case Kind::kMalformed:
      err("that is not what the mechanism wants");
      return Next::kGoOn;
    case Kind::kAborted:
      err("AUTH was given up");
      return Next::kGoOn;
    default:
      break;
  }
  bool last_try = ++failed_logins_ >= settings_->max_login_attempts;
  // A throttled password was not looked at: [AUTH] would make the client ask its user for another one (RFC 3206 §4).
  if (kind == Kind::kTooMany)
    err(last_try ? "[SYS/TEMP] too many failed log-ins; goodbye"
                 : "[SYS/TEMP] too many failed log-ins; try again later");
  else
    err(last_try ? "[AUTH] wrong name or password; goodbye" : "[AUTH] wrong name or password; begin again with USER");
  return last_try ? Next::kEnd : Next::kGoOn;
}

Task<Session::Next> Session::enter(AuthOutcome outcome) {
  if (outcome.kind != AuthOutcome::Kind::kOk) co_return refuse_login(outcome.kind);
  Shard& owner = shard_->server().owner_of(outcome.account);
  bool locked = co_await run_on(owner.executor(), [&owner, &outcome] { return owner.try_lock(outcome.account); });
  if (!locked) {
    shard_->server().metrics().in_use.add(shard_->index());
    shard_->log().info("pop3.in_use", {{"session", id_}, {"account", outcome.account}});
    err("[IN-USE] another session has this maildrop open; try again when it has ended");
    co_return Next::kGoOn;
  }
  account_ = std::move(outcome.account);
  lock_owner_ = &owner;
  if (&owner != shard_) co_return Next::kMove;
  co_await open_maildrop();
  co_return Next::kGoOn;
}

// On the owner's worker, with the lock. Answers the log-in; when the maildrop does not open, it is AUTHORIZATION again.
Task<void> Session::open_maildrop() {
  ServerMetrics& metrics = shard_->server().metrics();
  auto opened = co_await shard_->server().parts().store.open(account_, "INBOX");
  if (opened) {
    maildrop_ = std::make_unique<Maildrop>(std::move(*opened));
    if (!co_await may_log_in_now()) {
      maildrop_.reset();
      unlock();
      co_return;
    }
    metrics.logins.add(shard_->index());
    shard_->log().info("pop3.login", {{"session", id_}, {"account", account_}, {"messages", maildrop_->total()}});
    ok(fmt::format("{} has {} message{} ({} octets)", account_, maildrop_->count(), maildrop_->count() == 1 ? "" : "s",
                   maildrop_->octets()));
    co_return;
  }
  metrics.failed_logins.add(shard_->index());
  shard_->log().error(
      "pop3.open_failed",
      {{"session", id_}, {"account", account_}, {"fault", opened.error().code}, {"detail", opened.error().detail}});
  bool for_good = opened.error().code == "store.no_account" || opened.error().code == "store.no_folder";
  unlock();
  err_counted(for_good ? "[SYS/PERM] this account has no maildrop"
                       : "[SYS/TEMP] the maildrop cannot be opened now; try again later");
}

// RFC 2449 §6.5: the time of the last log-in is kept with the maildrop. False when it is too early, and was answered.
Task<bool> Session::may_log_in_now() {
  if (settings_->login_delay <= Duration{}) co_return true;
  auto now = std::chrono::floor<std::chrono::seconds>(shard_->executor().wall()).time_since_epoch();
  auto kept = to_number<std::int64_t>(maildrop_->mailbox().attribute(Maildrop::kLoginAttribute));
  auto passed = now - std::chrono::seconds(kept.value_or(0));
  auto left = std::chrono::ceil<std::chrono::seconds>(settings_->login_delay) - passed;
  if (kept && passed >= 0s && left > 0s) {
    err(fmt::format("[LOGIN-DELAY] too soon after your last log-in; wait {} seconds", left.count()));
    co_return false;
  }
  auto written =
      co_await maildrop_->mailbox().set_attribute(std::string(Maildrop::kLoginAttribute), std::to_string(now.count()));
  if (!written)
    shard_->log().warn(
        "pop3.attribute_failed",
        {{"session", id_}, {"account", account_}, {"fault", written.error().code}, {"detail", written.error().detail}});
  co_return true;
}

void Session::unlock() {
  if (!lock_owner_) return;
  Shard* owner = std::exchange(lock_owner_, nullptr);
  std::string account = account_;  // stays for the log
  if (owner == shard_) return owner->unlock(account);
  owner->executor().post_remote_fn([owner, account = std::move(account)] { owner->unlock(account); });
}

}  // namespace postern::pop3

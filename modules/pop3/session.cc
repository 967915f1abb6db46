#include "session.h"

#include <fmt/format.h>

#include "postern/sync.h"
#include "postern/text.h"

namespace postern::pop3 {

namespace {

constexpr std::size_t kFlushBytes = 16 * 1024;
constexpr Duration kGoodbyeTime = 5s;  // for a last answer while the server ends

std::string address_key(const Stream& stream) {
  if (stream.peer().is_unix()) return {};  // not counted: the system's permissions say who may connect
  const IpAddress& ip = stream.peer().ip;
  return {reinterpret_cast<const char*>(ip.octets()), ip.is_v6() ? std::size_t{8} : std::size_t{4}};  // IPv6: the /64
}

}  // namespace

Task<void> serve(std::unique_ptr<Session> session) {
  Shard* next = co_await session->run();
  if (!next) co_return;
  session->detach();
  co_await run_on(next->executor(), [next, &session] { next->adopt(std::move(session)); });
}

Session::Session(Shard& shard, std::unique_ptr<Stream> stream, std::shared_ptr<const Pop3Settings> settings,
                 std::size_t listener)
    : shard_(&shard),
      stream_(std::move(stream)),
      settings_(std::move(settings)),
      id_(random_base32(8)),
      listener_(static_cast<std::uint32_t>(listener)) {}

Session::~Session() {
  maildrop_.reset();
  unlock();
  if (!counted_by_) return;
  std::string key = stream_ ? address_key(*stream_) : std::string();
  if (!stream_ && moving_) {
    const IpAddress& ip = moving_->peer.ip;
    key.assign(reinterpret_cast<const char*>(ip.octets()), ip.is_v6() ? 8 : 4);
  }
  counted_by_->executor().post_remote_fn([owner = counted_by_, key] { owner->uncount(key); });
}

void Session::detach() {
  moving_ = std::make_unique<DetachedStream>(stream_->detach());
  stream_.reset();
}

void Session::attach(Shard& shard) {
  shard_ = &shard;
  stream_ = std::make_unique<Stream>(shard.executor(), std::move(*moving_));
  moving_.reset();
}

Task<Shard*> Session::run() {
  Gauge& gauge = shard_->server().metrics().sessions;
  gauge.add(shard_->index());
  std::string how = "quit";
  Next next = Next::kDrop;
  try {
    next = co_await converse();
    if (next == Next::kDrop) how = "cut";
  } catch (const TimedOut&) {
    how = "timeout";  // RFC 1939 §3: without a word, and without UPDATE
  } catch (const Closed&) {
    how = "lost";
  } catch (const Cancelled&) {
    how = "cancelled";
  } catch (const ProtocolError& error) {
    how = error.what();
  }
  gauge.sub(shard_->index());
  if (next == Next::kMove) co_return lock_owner_;
  log_end(how);
  if (next == Next::kEnd)
    stream_->close();
  else
    stream_->abort();
  co_return nullptr;
}

void Session::log_end(std::string_view how) const {
  shard_->log().info("pop3.end", {{"session", id_},
                                  {"ip", stream_->peer().ip.to_string()},
                                  {"account", account_},
                                  {"how", how},
                                  {"commands", commands_},
                                  {"errors", errors_}});
}

Task<Session::Next> Session::converse() {
  if (!began_ && !co_await begin()) {
    co_await stream_->flush(write_deadline());
    co_return Next::kEnd;
  }
  began_ = true;
  if (lock_owner_ && !maildrop_) co_await open_maildrop();
  Next next = Next::kGoOn;
  while (next == Next::kGoOn) {
    Command command;
    Input input = co_await next_command(&command);
    if (input == Input::kDraining) {
      co_await say_goodbye();
      co_return Next::kEnd;
    }
    if (++commands_ > settings_->max_commands) command.error = "too many commands in one session";
    if (input == Input::kTooLong) command.error = fmt::format("line too long; {} octets are allowed", kMaxCommandBytes);
    next = command.error.empty() ? co_await dispatch(std::move(command)) : co_await refuse(std::move(command));
    // Asked after the command as well: a client that guesses fast would else see its limits late.
    if (next == Next::kGoOn && (errors_ > settings_->max_errors || commands_ > settings_->max_commands)) {
      err("too many errors; goodbye");
      next = Next::kEnd;
    }
    if (next == Next::kGoOn && stream_->unflushed() > kFlushBytes) co_await stream_->flush(write_deadline());
  }
  // Before a move as well: what is queued does not travel with the stream.
  if (next == Next::kEnd || next == Next::kMove) co_await stream_->flush(write_deadline());
  co_return next;
}

// The address's count, TLS, and the greeting. False when the client has to go; it has been told, if it could be.
Task<bool> Session::begin() {
  shard_->log().info("pop3.begin",
                     {{"session", id_}, {"ip", stream_->peer().ip.to_string()}, {"listener", listener().name}});
  bool implicit = listener().tls == TlsMode::kImplicit;
  std::string key = address_key(*stream_);
  if (!key.empty()) {
    Shard& owner = shard_->server().owner_of(key);
    std::size_t limit = settings_->max_connections_per_ip;
    bool counted = co_await run_on(owner.executor(), [&owner, &key, limit] { return owner.try_count(key, limit); });
    if (!counted) {
      shard_->server().metrics().refused.add(shard_->index());
      if (!implicit) err("[SYS/TEMP] too many connections from your address");
      co_return false;
    }
    counted_by_ = &owner;
  }
  if (implicit) {
    TlsService* tls = shard_->server().parts().tls;
    auto context = tls ? tls->server(listener().certificate) : nullptr;
    if (!context) co_return false;
    co_await stream_->start_implicit_tls(*context, Deadline::after(settings_->tls_timeout));
  }
  if (settings_->apop)
    timestamp_ = fmt::format("<{}.{}@{}>", random_base32(16), id_, shard_->server().parts().hostname);
  ok(fmt::format("{} Postern POP3 ready{}{}", shard_->server().parts().hostname, settings_->apop ? " " : "",
                 timestamp_));
  co_return true;
}

Task<void> Session::say_goodbye() {
  err(maildrop_ ? "[SYS/TEMP] the server is shutting down; nothing was deleted"
                : "[SYS/TEMP] the server is shutting down");
  co_await stream_->flush(Deadline::after(kGoodbyeTime));
}

Task<Session::Input> Session::next_command(Command* command) {
  if (shard_->draining()) co_return Input::kDraining;
  if (stream_->unflushed() && stream_->buffered().find('\n') == std::string_view::npos)
    co_await stream_->flush(write_deadline());
  co_await EnterContext(shard_->idle());
  try {
    Stream::Line line = co_await stream_->read_line(kMaxCommandBytes - 2, idle_deadline());
    *command = parse_command(line.text, state());
    co_return Input::kCommand;
  } catch (const LineTooLong&) {
    co_return Input::kTooLong;
  } catch (const Cancelled&) {
    if (!shard_->draining()) throw;
  }
  co_return Input::kDraining;
}

Task<Session::Next> Session::dispatch(Command command) {
  using Ready = Task<Next>;
  switch (command.verb) {
    case Verb::kApop:
      return apop(std::move(command.argument), std::move(command.second));
    case Verb::kAuth: {
      if (command.argument.empty()) return Ready::ready(auth_list());
      std::optional<std::string> initial;
      if (!command.second.empty()) initial = std::move(command.second);
      return auth(std::move(command.argument), std::move(initial));
    }
    case Verb::kCapa:
      return Ready::ready(capa());
    case Verb::kDele:
      return Ready::ready(dele(command));
    case Verb::kLang:
      return Ready::ready(lang(command.argument));
    case Verb::kLast:
      return Ready::ready(last());
    case Verb::kList:
      return list(std::move(command), false);
    case Verb::kNoop:
      ok("still here");
      return Ready::ready(Next::kGoOn);
    case Verb::kPass:
      return pass(std::move(command.argument));
    case Verb::kQuit:
      return maildrop_ ? quit() : Ready::ready(quit_before_login());
    case Verb::kRetr:
      return retr(std::move(command));
    case Verb::kRset:
      return Ready::ready(rset());
    case Verb::kStat:
      return Ready::ready(stat());
    case Verb::kStls:
      return stls();
    case Verb::kTop:
      return top(std::move(command));
    case Verb::kUidl:
      return list(std::move(command), true);
    case Verb::kUser:
      return Ready::ready(user(std::move(command)));
    case Verb::kUtf8:
      return Ready::ready(utf8());
    case Verb::kUnknown:
      break;
  }
  return refuse(std::move(command));
}

Task<Session::Next> Session::refuse(Command command) {
  err_counted(command.error);
  return Task<Next>::ready(Next::kGoOn);
}

void Session::ok(std::string_view text) {
  stream_->put(text.empty() ? "+OK" : "+OK ");
  stream_->put(text);
  stream_->put("\r\n");
}

void Session::err(std::string_view text) {
  stream_->put("-ERR ");
  stream_->put(text);
  stream_->put("\r\n");
}

void Session::err_counted(std::string_view text) {
  ++errors_;
  err(text);
}

Task<void> Session::make_room() {
  if (stream_->unflushed() > kFlushBytes) co_await stream_->flush(write_deadline());
}

AuthFacts Session::facts() const {
  AuthFacts facts;
  facts.service = "pop3";
  facts.client = stream_->peer().ip;
  facts.secure = is_secure();
  facts.allow_plaintext = listener().allow_plaintext;
  facts.session = id_;
  return facts;
}

bool Session::offers_stls() const {
  return listener().tls == TlsMode::kStartTls && !stream_->secure() && !utf8_ && shard_->server().parts().tls;
}

// RFC 2449 §5: what is listed may differ before and after log-in and TLS.
Session::Next Session::capa() {
  auto mechanisms = shard_->server().parts().auth.mechanisms(facts());
  ok("what this server can do");
  stream_->put("TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
  if (is_secure() || listener().allow_plaintext) stream_->put("USER\r\n");
  if (!mechanisms.empty()) {
    stream_->put("SASL");
    for (std::string_view mechanism : mechanisms) stream_->put(" "), stream_->put(mechanism);
    stream_->put("\r\n");
  }
  if (offers_stls() && !maildrop_) stream_->put("STLS\r\n");
  if (settings_->login_delay > Duration{}) {
    auto seconds = std::chrono::ceil<std::chrono::seconds>(settings_->login_delay).count();
    stream_->put(fmt::format("LOGIN-DELAY {}\r\n", seconds));
  }
  stream_->put(settings_->expire_days ? fmt::format("EXPIRE {}\r\n", *settings_->expire_days) : "EXPIRE NEVER\r\n");
  stream_->put("UTF8\r\nLANG\r\nIMPLEMENTATION Postern\r\n.\r\n");
  return Next::kGoOn;
}

// RFC 6856 §3. There is one language, under its two names.
Session::Next Session::lang(std::string_view tag) {
  if (tag.empty()) {
    ok("languages");
    stream_->put("i-default Default\r\nen English\r\n.\r\n");
  } else if (tag == "*" || equal_folded(tag, "i-default")) {
    ok("i-default English it is");
  } else if (equal_folded(tag, "en") || starts_with_folded(tag, "en-")) {
    ok("en English it is");
  } else {
    err_counted("no such language; LANG lists them");
  }
  return Next::kGoOn;
}

}  // namespace postern::pop3

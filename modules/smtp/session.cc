#include "session.h"

#include <fmt/format.h>

#include <array>
#include <cstring>

#include "postern/error.h"
#include "postern/text.h"
#include "replies.h"

namespace postern::smtp {

namespace {

constexpr Duration kPartingTime = 1s;          // for the last words to leave
constexpr Duration kLingerTime = 2s;           // for a refused client to read why
constexpr std::size_t kLingerBytes = 1 << 20;  // of what it still sends meanwhile

/// Makes the present coroutine, and all that it awaits, cancellable by the session alone.
struct Enter {
  Context& context;
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    handle.promise().context = &context;
    return false;
  }
  void await_resume() const noexcept {}
};

}  // namespace

Session::Session(Server& server, std::shared_ptr<const Listening> on, std::unique_ptr<Socket> socket,
                 CancelToken parent)
    : server_(server),
      on_(std::move(on)),
      parent_(parent),
      cancel_(parent.state()),
      context_{&server.executor(), &cancel_},
      stream_(server.executor(), std::move(socket)),
      state_(server.next_session_id()) {
  state_.executor = &server.executor();
  server_.joined(*this);
}

Session::~Session() {
  if (is_counted_) server_.parts.limiter.leave(server_.executor(), counted_);
  server_.left(*this);
}

Task<void> Session::run(std::unique_ptr<Session> self) {
  Session& session = *self;
  co_await Enter{session.context_};
  End end = End::kInternal;
  std::string why;
  try {
    co_await session.serve();
    end = session.quit_ ? End::kQuit : End::kRefused;
  } catch (const Closed& lost) {
    end = End::kLost, why = lost.what();
  } catch (const TimedOut&) {
    end = End::kTimedOut;
  } catch (const Cancelled&) {
    end = End::kCancelled;
  } catch (const ProtocolError& broken) {
    end = End::kProtocol, why = broken.what();
  } catch (const Overloaded& busy) {
    end = End::kOverloaded, why = busy.what();
  } catch (const std::exception& bug) {
    end = End::kInternal, why = bug.what();
  }
  session.end_with(end, why);
  // The last words leave even when all else is cancelled; each wait from here on is short.
  Context parting{session.context_.executor, nullptr};
  co_await Enter{end == End::kCancelled ? parting : session.context_};
  co_await session.part(end);
  co_await session.farewell(end);
}

Task<void> Session::serve() {
  if (!co_await open()) co_return;
  while (true) {
    if (!line_waits()) {
      if (stream_.unflushed() != 0) co_await flush();
      if (server_.draining() && !mail_) break;
    }
    Stream::Line line;
    bool too_long = false;
    waiting_ = true;
    try {
      line = co_await stream_.read_line(kLongestLine, Deadline::after(settings().command_timeout));
    } catch (const LineTooLong&) {
      too_long = true;
    }
    waiting_ = false;
    answer_now_ = too_long;
    if (too_long)  // within a transaction its text may follow (BDAT); nobody can tell any more where that ends
      mail_ ? say_last(replies::kLineTooLong) : say(replies::kLineTooLong);
    else
      co_await dispatch(line);
    if (errors_ > settings().max_errors && !closing_) say_last(replies::kTooManyErrors);
    if (commands_ > settings().max_commands && !closing_) say_last(replies::kTooManyCommands);
    if (closing_) co_return co_await flush();
    if (answer_now_ && stream_.unflushed() != 0) co_await flush();
  }
  say_last(replies::kDraining);
  co_await flush();
}

Task<void> Session::flush() {
  co_await stream_.flush(Deadline::after(settings().write_timeout));
}

bool Session::line_waits() const {
  const std::string_view octets = stream_.buffered();
  return !octets.empty() && std::memchr(octets.data(), '\n', octets.size()) != nullptr;
}

Task<void> Session::dispatch(Stream::Line line) {
  ++commands_;
  metrics().commands.add(server_.worker());
  if (line.bare_lf && settings().bare_newline == BareNewline::kRefuse) return refuse_line(line.text, replies::kBareLf);
  if (has_control(line.text)) return refuse_line(line.text, replies::kBadOctets);
  const Command command = parse_command(line.text);
  answer_now_ = (command.info->rules & kAnswersNow) != 0;
  std::string_view wrong;
  if (line.text.size() + 2 > command.info->max_line)
    return refuse_line(line.text,
                       command.info->verb == Verb::kAuth ? replies::kAuthLineTooLong : replies::kLineTooLong);
  wrong = out_of_order(*command.info);
  if (wrong.empty() && (command.info->rules & kNoArgument) && !command.argument.empty()) wrong = replies::kNoArgument;
  if (!wrong.empty()) {
    say(wrong);
    return Task<void>::ready();
  }
  return (this->*handler(command.info->verb))(command);
}

/// A line that cannot be understood as a command. Behind a BDAT its chunk is on the way, which must not be taken for
/// commands (RFC 3030 §2); without a trusted size only the end of the session prevents that.
Task<void> Session::refuse_line(std::string_view text, std::string_view wire) {
  starts_with_folded(text, "BDAT") ? say_last(wire) : say(wire);
  return Task<void>::ready();
}

std::string_view Session::out_of_order(const CommandInfo& command) const {
  if ((command.rules & kAfterHello) && !hello_)
    return listener().is_lmtp() ? replies::kAfterLhlo : replies::kAfterHello;
  if ((command.rules & kNeedsTls) && needs_tls()) return replies::kNeedTls;
  if ((command.rules & kNotWithinChunks) && mail_ && mail_->within_chunks()) return replies::kWithinChunks;
  if ((command.rules & kOutsideMail) && mail_) return replies::kOutsideMail;
  if ((command.rules & kInsideMail) && !mail_) return replies::kInsideMail;
  return {};
}

Session::Handler Session::handler(Verb verb) {
  static constexpr std::array<Handler, kVerbs> kHandlers = {
      &Session::on_unknown, &Session::on_ehlo,    &Session::on_helo, &Session::on_lhlo,     &Session::on_mail,
      &Session::on_rcpt,    &Session::on_data,    &Session::on_bdat, &Session::on_rset,     &Session::on_noop,
      &Session::on_quit,    &Session::on_vrfy,    &Session::on_vrfy, &Session::on_help,     &Session::on_starttls,
      &Session::on_auth,    &Session::on_xclient, &Session::on_etrn, &Session::on_obsolete, &Session::on_foreign,
  };
  return kHandlers[static_cast<std::size_t>(verb)];
}

bool Session::offers_tls() const {
  const TlsMode mode = listener().tls_mode();
  return (mode == TlsMode::kStartTls || mode == TlsMode::kRequired) && on_->tls && !stream_.secure();
}

bool Session::needs_tls() const {
  return listener().tls_mode() == TlsMode::kRequired && !stream_.secure();
}

void Session::say(std::string_view wire) {
  const unsigned digit = static_cast<unsigned>(wire.front() - '0');
  if (digit >= 2 && digit <= 5) metrics().replies[digit]->add(server_.worker());
  if (digit == 5) ++errors_;
  stream_.put(wire);
}

void Session::say_last(std::string_view wire) {
  say(wire);
  closing_ = true;
}

void Session::refuse(const Verdict& verdict, std::string_view stage, std::string_view recipient) {
  Reply reply = verdict.reply;
  if (reply.positive())  // a rule's slip must not become a promise
    reply =
        verdict.kind == Verdict::Kind::kDefer ? Reply{451, "4.7.1", "Try again later"} : Reply{550, "5.7.1", "Refused"};
  say(reply);
  if (verdict.kind == Verdict::Kind::kDisconnect || reply.code == 421) closing_ = true;
  server_.log().info("smtp.refused", {{"session", state_.id},
                                      {"ip", state_.client.ip.to_string()},
                                      {"stage", stage},
                                      {"rcpt", recipient},
                                      {"code", reply.code},
                                      {"enhanced", reply.enhanced},
                                      {"text", reply.text},
                                      {"rule", verdict.rule}});
}

/// The last words, as far as the client can still hear them, and the record of the session.
void Session::end_with(End end, std::string_view why) {
  end_transaction(why.empty() ? "session ended" : why);
  const bool tls_half_open = end == End::kProtocol;
  if (tls_half_open) metrics().tls_failures.add(server_.worker());
  if (end == End::kTimedOut) say(replies::kTimeout);
  if (end == End::kCancelled) say(replies::kDraining);
  if (end == End::kOverloaded) say(replies::kServerBusy);
  if (end == End::kInternal) say(replies::kInternal);
  log_end(end, why);
}

void Session::log_end(End end, std::string_view why) const {
  static constexpr std::array<std::string_view, 8> kNames = {"quit",      "refused",  "lost",       "timeout",
                                                             "cancelled", "protocol", "overloaded", "internal"};
  const LogLevel level = end == End::kInternal ? LogLevel::kError : LogLevel::kDebug;
  server_.log().at(level, "smtp.ended",
                   {{"session", state_.id},
                    {"ip", state_.client.ip.to_string()},
                    {"how", kNames[static_cast<std::size_t>(end)]},
                    {"why", why},
                    {"messages", messages_},
                    {"errors", errors_}});
}

/// Lets the last words leave and closes. A client that is refused while it sends would lose them to a reset: it may
/// finish its packet.
Task<void> Session::part(End end) {
  if (end == End::kLost || end == End::kProtocol) {
    stream_.abort();
    co_return;
  }
  waiting_ = true;
  try {
    co_await stream_.flush(Deadline::after(kPartingTime));
    stream_.close();
    if (end == End::kRefused) co_await linger();
  } catch (const Error&) {
    // Nothing is left to be said to this client.
  }
}

Task<void> Session::linger() {
  const Deadline until = Deadline::after(kLingerTime).fixed(server_.executor().now());
  std::size_t seen = 0;
  while (seen < kLingerBytes && co_await stream_.readable(until)) {
    seen += stream_.buffered().size();
    stream_.consume(stream_.buffered().size());
  }
}

/// Of a session that was refused something before it came to a mail: `postern why` finds it by its client's address.
void Session::leave_trail(std::string_view why) {
  state_.executor = &server_.executor();
  policy().refused(state_, nullptr, why);
}

/// Hooks hear of the end once the client has gone: what they wait for keeps nobody waiting.
Task<void> Session::farewell(End end) {
  if (!state_.told && end == End::kProtocol)
    leave_trail("TLS failed");
  else if (!state_.told && errors_ != 0)
    leave_trail(fmt::format("left before MAIL; {} of {} commands were refused", errors_, commands_));
  if (!greeted_ || !policy().has_hooks(Stage::kDisconnect)) return Task<void>::ready();
  return last_hooks();
}

Task<void> Session::last_hooks() {
  CancelState cancel(parent_.state());  // a session that was cancelled because it was idle still has its last hooks
  Context context{context_.executor, &cancel};
  co_await Enter{context};
  co_await name_for(Stage::kDisconnect);
  co_await policy().disconnect(state_);
}

void Session::drain() {
  if (waiting_ && !mail_) cancel_.cancel();
}

}  // namespace postern::smtp

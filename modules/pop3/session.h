// One POP3 session: reads a command, answers it, until it ends or moves to another worker.
//
//   session.cc           the loop: reading, batching of answers, limits, drain, the end
//   session_login.cc     AUTHORIZATION: USER, PASS, APOP, AUTH, STLS, UTF8, and the way into a maildrop
//   session_maildrop.cc  TRANSACTION and UPDATE
//
// Answers are queued and leave when no whole command waits in the input, so that a pipelining client costs one write
// for many answers (RFC 2449 §6.6). A waiting session keeps its coroutines' frames and this object, no buffers.
//
// Owner:  the coroutine serve(), on one worker at a time. Errors: a lost peer, a timeout or a drain end the session in
// run(); nothing is deleted then. RFC: README.md has the table.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "commands.h"
#include "maildrop.h"
#include "server.h"
#include "wire.h"

namespace postern::pop3 {

/// Puts the rest of the awaiting coroutine under another context: its waits end when that one is cancelled.
class EnterContext {
 public:
  explicit EnterContext(Context& context) : context_(context) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    handle.promise().context = &context_;
    return false;
  }
  void await_resume() const noexcept {}

 private:
  Context& context_;
};

class Session {
 public:
  /// What to do after a command.
  enum class Next : std::uint8_t {
    kGoOn,
    kEnd,   ///< the answers are flushed, then the connection ends
    kDrop,  ///< the connection ends at once: a message was cut off, and must not look whole
    kMove,  ///< logged in: the session goes on at its account's owner
  };

  Session(Shard& shard, std::unique_ptr<Stream> stream, std::shared_ptr<const Pop3Settings> settings,
          std::size_t listener);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// Runs until the session ends (nothing is returned) or wants to move (where to).
  Task<Shard*> run();
  void detach();
  void attach(Shard& shard);

 private:
  enum class Input : std::uint8_t { kCommand, kTooLong, kDraining };

  // session.cc
  Task<Next> converse();
  Task<bool> begin();
  Task<Input> next_command(Command* command);
  Task<Next> dispatch(Command command);
  Task<Next> refuse(Command command);
  Task<void> say_goodbye();
  void ok(std::string_view text = {});
  void err(std::string_view text);
  void err_counted(std::string_view text);
  Task<void> make_room();
  Next capa();
  Next lang(std::string_view tag);
  Deadline write_deadline() const { return Deadline::after(settings_->write_timeout); }
  Deadline idle_deadline() const { return Deadline::after(settings_->idle_timeout); }
  bool is_secure() const { return stream_->secure() || stream_->peer().is_unix(); }
  const ListenerSettings& listener() const { return settings_->listeners[listener_]; }
  AuthFacts facts() const;
  bool offers_stls() const;
  State state() const { return maildrop_ ? State::kTransaction : State::kAuthorization; }
  void log_end(std::string_view how) const;

  // session_login.cc
  Next user(Command command);
  Task<Next> pass(std::string password);
  Task<Next> apop(std::string name, std::string digest);
  Task<Next> auth(std::string mechanism, std::optional<std::string> initial);
  Next auth_list();
  Task<std::optional<std::string>> sasl_answer(std::string challenge);
  Task<Next> sasl(std::unique_ptr<SaslExchange> exchange, std::optional<std::string> response);
  Task<Next> stls();
  Next utf8();
  Task<Next> enter(AuthOutcome outcome);
  Next refuse_login(AuthOutcome::Kind kind);
  Task<void> open_maildrop();
  Task<bool> may_log_in_now();
  void unlock();

  // session_maildrop.cc
  Next stat();
  Next last();
  Next dele(const Command& command);
  Next rset();
  Next quit_before_login();
  Task<Next> quit();
  Task<Next> list(Command command, bool ids);
  std::string listing(std::size_t index, bool ids) const;
  Task<Next> retr(Command command);
  Task<Next> top(Command command);
  Task<bool> send_message(std::size_t index, std::optional<TopLimit> limit);
  Task<void> send_text(std::string_view text, DotStuffer* stuffer);

  Shard* shard_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<DetachedStream> moving_;
  std::shared_ptr<const Pop3Settings> settings_;
  std::unique_ptr<Maildrop> maildrop_;  // from log-in to UPDATE
  Shard* lock_owner_ = nullptr;         // who holds the lock of account_
  Shard* counted_by_ = nullptr;         // who counts the client's address
  std::string id_;
  std::string user_;       // after USER
  std::string account_;    // after log-in
  std::string timestamp_;  // of APOP
  std::uint32_t listener_;
  std::uint32_t commands_ = 0;
  std::uint32_t errors_ = 0;
  std::uint16_t failed_logins_ = 0;
  bool began_ = false;
  bool utf8_ = false;
};

/// Runs a session to its end, or hands it to the worker where it goes on.
Task<void> serve(std::unique_ptr<Session> session);

}  // namespace postern::pop3

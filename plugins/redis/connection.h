// One connection to a Redis server, driven by a worker's loop through hiredis.
//
// It connects when it is first used and again after it was lost, the sooner the fewer tries have failed (kFirstPause,
// doubled up to kLongestPause, with jitter); in between questions are refused at once. Questions are sent in order and
// may be on their way together. One that is not answered in time is given up by its asker; when the server owed an
// answer for as long as a question may take, and nothing at all came, the connection is given up as well.
//
// Owner:  a worker's store. Thread: that worker. Destroyed after all who wait.
#pragma once

#include <hiredis/async.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "postern/log.h"
#include "postern/wait.h"

namespace postern::redis {

struct ConnectionOptions {
  std::string name;  ///< for the log
  Endpoint address;
  std::string user;
  std::string password;
  unsigned database = 0;
  std::size_t pending = 1000;
};

/// A reply, as values.
struct Answer {
  enum class Kind : std::uint8_t { kLost, kNil, kText, kNumber, kError, kList };
  Kind kind = Kind::kLost;
  std::string text;
  std::int64_t number = 0;
  std::vector<Answer> list;
};
using Command = std::vector<std::string>;

class ReplyWait;

class Connection {
 public:
  static constexpr Duration kFirstPause = std::chrono::milliseconds(100);
  static constexpr Duration kLongestPause = std::chrono::seconds(10);

  Connection(Executor& executor, Log log, ConnectionOptions options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Whether questions can be sent; connects when that is due.
  bool ready();
  bool full() const { return pending_ >= options_.pending; }

  struct Pending {
    Connection* connection;
    ReplyWait* waiter = nullptr;
  };
  /// Sends the commands; the answer is that of the last one. Null when the connection takes none. To be awaited at once
  /// by a ReplyWait.
  Pending* send(const std::vector<Command>& commands);
  /// A question was not answered in time, be it that its asker was in a hurry. `patience`: of one that is not.
  void missed(Duration patience);

 private:
  void connect();
  void greet();
  void give_up(std::string why);
  void update();
  void cleaned();
  Instant now() const { return executor_.now(); }
  bool put(const Command& command, redisCallbackFn* callback, void* data);
  static void on_reply(redisAsyncContext* context, void* reply, void* data);
  static void on_greeted(redisAsyncContext* context, void* reply, void* data);
  static void on_connected(const redisAsyncContext* context, int status);
  static void on_lost(const redisAsyncContext* context, int status);

  Executor& executor_;
  Log log_;
  ConnectionOptions options_;
  redisAsyncContext* context_ = nullptr;  ///< hiredis frees it; cleaned() hears of it
  std::unique_ptr<FdWatch> watch_;
  bool wants_read_ = false;
  bool wants_write_ = false;
  bool ending_ = false;
  std::size_t pending_ = 0;
  unsigned failures_ = 0;
  Instant retry_at_{};
  Instant owed_since_{};  ///< with pending_ > 0: when the last answer came, or the first question was sent
};

/// `Answer answer = co_await ReplyWait(*pending, deadline);` Throws TimedOut, Cancelled; the reply is dropped then.
class ReplyWait final : public Wait {
 public:
  ReplyWait(Connection::Pending& pending, Deadline deadline) : pending_(&pending), deadline_(deadline) {}
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) {
    if (!begin(handle, deadline_)) return false;
    pending_->waiter = this;
    return true;
  }
  Answer await_resume() {
    check();
    return std::move(answer_);
  }
  void tell(Answer answer) {
    pending_ = nullptr;
    answer_ = std::move(answer);
    settle();
  }

 private:
  void on_abandoned() override {
    if (pending_) pending_->waiter = nullptr;
    pending_ = nullptr;
  }
  Connection::Pending* pending_;
  Deadline deadline_;
  Answer answer_;
};

}  // namespace postern::redis

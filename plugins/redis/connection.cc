#include "connection.h"

#include <algorithm>

namespace postern::redis {
namespace {

constexpr std::size_t kMaxDepth = 4;  // of lists in lists; what we ask has one

Answer answer_of(const redisReply* reply, std::size_t depth = 0) {
  Answer out;
  if (!reply) return out;
  switch (reply->type) {
    case REDIS_REPLY_NIL:
      out.kind = Answer::Kind::kNil;
      break;
    case REDIS_REPLY_INTEGER:
      out.kind = Answer::Kind::kNumber;
      out.number = reply->integer;
      break;
    case REDIS_REPLY_ERROR:
      out.kind = Answer::Kind::kError;
      out.text.assign(reply->str, reply->len);
      break;
    case REDIS_REPLY_ARRAY:
      out.kind = Answer::Kind::kList;
      if (depth < kMaxDepth)
        for (std::size_t i = 0; i < reply->elements; ++i) out.list.push_back(answer_of(reply->element[i], depth + 1));
      break;
    default:
      out.kind = Answer::Kind::kText;
      out.text.assign(reply->str, reply->len);
  }
  return out;
}

Connection& owner(const redisAsyncContext* context) {
  return *static_cast<Connection*>(context->data);
}

}  // namespace

Connection::Connection(Executor& executor, Log log, ConnectionOptions options)
    : executor_(executor), log_(std::move(log)), options_(std::move(options)) {}

Connection::~Connection() {
  ending_ = true;
  if (context_) redisAsyncFree(context_);
}

bool Connection::ready() {
  if (!context_ && now() >= retry_at_) connect();
  return context_ != nullptr;
}

void Connection::connect() {
  const Endpoint& to = options_.address;
  redisAsyncContext* made =
      to.is_unix() ? redisAsyncConnectUnix(to.path.c_str()) : redisAsyncConnect(to.ip.to_string().c_str(), to.port);
  if (!made || made->err) {
    const std::string why = made ? made->errstr : "no memory";
    if (made) redisAsyncFree(made);
    return give_up(why);
  }
  context_ = made;
  made->data = this;
  made->ev.data = this;
  // The flags are hiredis's wishes; they are carried out together by update().
  made->ev.addRead = [](void* self) {
    static_cast<Connection*>(self)->wants_read_ = true, static_cast<Connection*>(self)->update();
  };
  made->ev.delRead = [](void* self) {
    static_cast<Connection*>(self)->wants_read_ = false, static_cast<Connection*>(self)->update();
  };
  made->ev.addWrite = [](void* self) {
    static_cast<Connection*>(self)->wants_write_ = true, static_cast<Connection*>(self)->update();
  };
  made->ev.delWrite = [](void* self) {
    static_cast<Connection*>(self)->wants_write_ = false, static_cast<Connection*>(self)->update();
  };
  made->ev.cleanup = [](void* self) { static_cast<Connection*>(self)->cleaned(); };
  watch_ = executor_.watch(made->c.fd, [this](bool readable, bool writable) {
    if (context_ && readable) redisAsyncHandleRead(context_);
    if (context_ && writable) redisAsyncHandleWrite(context_);
  });
  redisAsyncSetConnectCallback(made, on_connected);
  redisAsyncSetDisconnectCallback(made, on_lost);
  greet();
}

void Connection::greet() {
  if (!options_.password.empty()) {
    Command login{"AUTH"};
    if (!options_.user.empty()) login.push_back(options_.user);
    login.push_back(options_.password);
    put(login, on_greeted, nullptr);
  }
  if (options_.database) put({"SELECT", std::to_string(options_.database)}, on_greeted, nullptr);
}

void Connection::update() {
  if (watch_) watch_->update(wants_read_, wants_write_);
}

/// hiredis frees its context: the descriptor is closed next.
void Connection::cleaned() {
  context_ = nullptr;
  wants_read_ = wants_write_ = false;
  watch_.reset();
}

void Connection::give_up(std::string why) {
  const unsigned doublings = std::min(failures_++, 10U);
  const Duration pause = std::min<Duration>(kFirstPause * (1 << doublings), kLongestPause);
  retry_at_ = now() + pause / 2 + Duration(static_cast<std::int64_t>(executor_.random() % (pause.count() / 2 + 1)));
  log_.warn("redis.lost", {{"name", options_.name}, {"address", options_.address.to_string()}, {"why", why}});
}

void Connection::on_connected(const redisAsyncContext* context, int status) {
  Connection& self = owner(context);
  if (status != REDIS_OK && !self.ending_) self.give_up(context->errstr ? context->errstr : "no connection");
}

void Connection::on_lost(const redisAsyncContext* context, int status) {
  Connection& self = owner(context);
  if (self.ending_) return;
  if (status != REDIS_OK) self.give_up(context->errstr ? context->errstr : "connection lost");
}

void Connection::on_greeted(redisAsyncContext* context, void* reply, void*) {
  Connection& self = owner(context);
  const auto* said = static_cast<const redisReply*>(reply);
  if (!said || said->type != REDIS_REPLY_ERROR || self.ending_) return;
  self.give_up(std::string(said->str, said->len));
  redisAsyncFree(context);  // put off by hiredis until this callback has ended
}

void Connection::on_reply(redisAsyncContext*, void* reply, void* data) {
  const std::unique_ptr<Pending> pending(static_cast<Pending*>(data));
  Connection& self = *pending->connection;
  --self.pending_;
  if (reply) {
    self.owed_since_ = self.now();
    self.failures_ = 0;
  }
  if (pending->waiter) pending->waiter->tell(answer_of(static_cast<const redisReply*>(reply)));
}

bool Connection::put(const Command& command, redisCallbackFn* callback, void* data) {
  std::vector<const char*> texts;
  std::vector<std::size_t> sizes;
  for (const std::string& word : command) {
    texts.push_back(word.data());
    sizes.push_back(word.size());
  }
  return redisAsyncCommandArgv(context_, callback, data, static_cast<int>(texts.size()), texts.data(), sizes.data()) ==
         REDIS_OK;
}

Connection::Pending* Connection::send(const std::vector<Command>& commands) {
  if (!context_) return nullptr;
  for (std::size_t i = 0; i + 1 < commands.size(); ++i)
    if (!put(commands[i], nullptr, nullptr)) return nullptr;
  auto pending = std::make_unique<Pending>(this);
  if (!put(commands.back(), on_reply, pending.get())) return nullptr;
  if (pending_++ == 0) owed_since_ = now();
  return pending.release();
}

void Connection::missed(Duration patience) {
  if (!context_ || pending_ == 0 || now() - owed_since_ < patience) return;
  give_up("no answer");
  redisAsyncFree(context_);  // who still waits hears that the connection is lost
}

}  // namespace postern::redis

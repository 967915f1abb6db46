#include "store.h"

#include <algorithm>

#include "postern/text.h"

namespace postern::redis {
namespace {

std::string milliseconds(Duration duration) {
  return std::to_string(std::max<std::int64_t>(std::chrono::ceil<std::chrono::milliseconds>(duration).count(), 1));
}

std::unexpected<Fault> refusal(const std::string& text) {
  if (text.starts_with("WRONGTYPE") || text.find("not an integer") != std::string::npos ||
      text.find("overflow") != std::string::npos)
    return fault("kv.type", text);
  if (text.starts_with("OOM")) return fault("kv.limit", text);
  return fault("kv.connect", text);
}

}  // namespace

std::vector<Command> commands_of(const KeyValueRequest& request, const std::string& prefix) {
  const std::string key = prefix + request.key;
  switch (request.kind) {
    case KeyValueRequest::Kind::kGet:
      return {{"GET", key}};
    case KeyValueRequest::Kind::kSet:
      if (!request.expiry) return {{"SET", key, request.value}};
      return {{"SET", key, request.value, "PX", milliseconds(*request.expiry)}};
    case KeyValueRequest::Kind::kRemove:
      return {{"DEL", key}};
    case KeyValueRequest::Kind::kIncrement:
      break;
  }
  const Command increment{"INCRBY", key, std::to_string(request.by)};
  if (!request.expiry) return {increment};
  return {{"MULTI"}, {"SET", key, "0", "PX", milliseconds(*request.expiry), "NX"}, increment, {"EXEC"}};
}

Result<KeyValueReply> reply_of(const KeyValueRequest& request, const Answer& answer) {
  using Kind = Answer::Kind;
  if (answer.kind == Kind::kLost) return fault("kv.connect", "the connection was lost");
  if (answer.kind == Kind::kError) return refusal(answer.text);
  KeyValueReply reply;
  switch (request.kind) {
    case KeyValueRequest::Kind::kGet:
      if (answer.kind == Kind::kNil) return reply;
      if (answer.kind != Kind::kText) break;
      if (answer.text.size() > KeyValueStore::kMaxValue) return fault("kv.limit", "the value there is too large");
      reply.value = answer.text;
      return reply;
    case KeyValueRequest::Kind::kSet:
      if (answer.kind == Kind::kText) return reply;
      break;
    case KeyValueRequest::Kind::kIncrement:
      if (answer.kind == Kind::kList) {  // of EXEC: what SET said, what INCRBY said
        if (answer.list.size() != 2) break;
        KeyValueRequest plain{.kind = KeyValueRequest::Kind::kIncrement, .key = {}};
        const Answer& number = answer.list[1];
        return number.kind == Kind::kList ? fault("kv.connect", "an odd reply") : reply_of(plain, number);
      }
      [[fallthrough]];
    case KeyValueRequest::Kind::kRemove:
      if (answer.kind != Kind::kNumber) break;
      reply.number = answer.number;
      return reply;
  }
  return fault("kv.connect", "an odd reply");
}

void RedisStore::start(Executor& executor, const Log& log) {
  auto& mine = workers_[executor.index()];
  mine = std::make_unique<PerWorker>();
  for (unsigned i = 0; i < options_.connections; ++i)
    mine->connections.push_back(std::make_unique<Connection>(executor, log, options_.connection));
}

Connection* RedisStore::pick(PerWorker& worker, bool& full) {
  for (std::size_t tries = 0; tries < worker.connections.size(); ++tries) {
    Connection& one = *worker.connections[worker.next++ % worker.connections.size()];
    if (!one.ready()) continue;
    if (!one.full()) return &one;
    full = true;
  }
  return nullptr;
}

Task<Result<KeyValueReply>> RedisStore::ask(KeyValueRequest request, Deadline deadline) {
  Executor& executor = co_await this_executor();
  if (executor.index() >= workers_.size() || !workers_[executor.index()]) co_return fault("kv.connect", "not started");
  bool full = false;
  Connection* connection = pick(*workers_[executor.index()], full);
  if (!connection)
    co_return full ? fault("kv.busy", "too many questions are on their way") : fault("kv.connect", "no connection");
  const Instant sent = executor.now();
  Instant end = sent + options_.timeout;
  if (!deadline.is_never()) end = std::min(end, deadline.resolve(sent));
  Connection::Pending* pending = connection->send(commands_of(request, options_.prefix));
  if (!pending) co_return fault("kv.connect", "the connection is closing");
  Answer answer;
  bool late = false;
  try {
    answer = co_await ReplyWait(*pending, Deadline::at(end));
  } catch (const TimedOut&) {
    late = true;
  }
  if (late) {
    connection->missed(options_.timeout);
    co_return fault("kv.timeout", "no answer in time");
  }
  co_return reply_of(request, answer);
}

}  // namespace postern::redis

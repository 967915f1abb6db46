// The TRANSACTION state, and UPDATE at QUIT (RFC 1939 §5, §6, §7).
#include <fmt/format.h>

#include "postern/text.h"
#include "session.h"

namespace postern::pop3 {

namespace {

// Smaller pieces are gathered; larger ones go to the system without being copied.
constexpr std::size_t kCopyBytes = 4096;

std::string_view plural(std::size_t n) {
  return n == 1 ? "" : "s";
}

std::string not_removed_text(const Update& update) {
  std::string text =
      fmt::format("[SYS/TEMP] {} of {} deleted messages not removed:", update.not_removed.size(), update.wanted);
  for (std::size_t number : update.not_removed) {
    if (text.size() > kMaxResponseBytes - 40) return text + " and more";
    text += fmt::format(" {}", number);
  }
  return text;
}

}  // namespace

Session::Next Session::stat() {
  ok(fmt::format("{} {}", maildrop_->count(), maildrop_->octets()));  // RFC 1939 §5: nothing else on the line
  return Next::kGoOn;
}

Session::Next Session::last() {
  ok(std::to_string(maildrop_->last()));
  return Next::kGoOn;
}

Session::Next Session::dele(const Command& command) {
  auto index = maildrop_->find(command.argument);
  if (!index) {
    err_counted(index.error());
    return Next::kGoOn;
  }
  maildrop_->remove(*index);
  ok(fmt::format("message {} will be deleted at QUIT", *index + 1));
  return Next::kGoOn;
}

Session::Next Session::rset() {
  maildrop_->reset();
  ok(fmt::format("maildrop has {} message{} ({} octets)", maildrop_->count(), plural(maildrop_->count()),
                 maildrop_->octets()));
  return Next::kGoOn;
}

Session::Next Session::quit_before_login() {
  ok("goodbye");
  return Next::kEnd;
}

Task<Session::Next> Session::quit() {
  if (settings_->expire_days) maildrop_->expire(shard_->executor().wall() - std::chrono::days(*settings_->expire_days));
  Update update = co_await maildrop_->commit();
  std::size_t left = maildrop_->count() + update.not_removed.size();
  ServerMetrics& metrics = shard_->server().metrics();
  metrics.deleted.add(shard_->index(), update.wanted - update.not_removed.size());
  metrics.delete_failures.add(shard_->index(), update.not_removed.size());
  shard_->log().info("pop3.update", {{"session", id_},
                                     {"account", account_},
                                     {"deleted", update.wanted - update.not_removed.size()},
                                     {"left", left}});
  if (!update.fault.empty())
    shard_->log().error(
        "pop3.update_failed",
        {{"session", id_}, {"account", account_}, {"fault", update.fault}, {"not_removed", update.not_removed.size()}});
  // The lock is given back before the answer: who has read it may log in again at once.
  maildrop_.reset();
  unlock();
  if (!update.not_removed.empty())
    err(not_removed_text(update));
  else if (left == 0)
    ok("goodbye; the maildrop is empty");
  else
    ok(fmt::format("goodbye; {} message{} left", left, plural(left)));
  co_return Next::kEnd;
}

std::string Session::listing(std::size_t index, bool ids) const {
  const MailboxMessage& message = maildrop_->at(index);
  return ids ? fmt::format("{} {}", index + 1, message.unique_id) : fmt::format("{} {}", index + 1, message.size);
}

Task<Session::Next> Session::list(Command command, bool ids) {
  if (!command.argument.empty()) {
    auto index = maildrop_->find(command.argument);
    if (index)
      ok(listing(*index, ids));
    else
      err_counted(index.error());
    co_return Next::kGoOn;
  }
  if (ids)
    ok("message numbers and unique ids");
  else
    ok(fmt::format("{} message{} ({} octets)", maildrop_->count(), plural(maildrop_->count()), maildrop_->octets()));
  for (std::size_t i = 0; i < maildrop_->total(); ++i) {
    if (maildrop_->is_deleted(i)) continue;
    stream_->put(listing(i, ids));
    stream_->put("\r\n");
    co_await make_room();
  }
  stream_->put(".\r\n");
  co_return Next::kGoOn;
}

Task<Session::Next> Session::retr(Command command) {
  auto index = maildrop_->find(command.argument);
  if (!index) {
    err_counted(index.error());
    co_return Next::kGoOn;
  }
  if (!co_await send_message(*index, std::nullopt)) co_return Next::kDrop;
  co_return Next::kGoOn;
}

Task<Session::Next> Session::top(Command command) {
  auto index = maildrop_->find(command.argument);
  auto lines = to_number<std::uint64_t>(command.second);
  if (!index || !lines) {
    err_counted(!index ? index.error() : "usage: TOP number lines, for instance: TOP 1 10");
    co_return Next::kGoOn;
  }
  if (!co_await send_message(*index, TopLimit(*lines))) co_return Next::kDrop;
  co_return Next::kGoOn;
}

// False when the message broke off after it had begun: it must not end as if it were whole.
Task<bool> Session::send_message(std::size_t index, std::optional<TopLimit> limit) {
  auto body = co_await maildrop_->mailbox().read(index);
  auto chunk = Result<std::string_view>();
  if (body) chunk = co_await (*body)->next();  // the first one too, since after +OK there is no way to refuse
  if (!body || !chunk) {
    const Fault& why = body ? chunk.error() : body.error();
    shard_->log().error("pop3.read_failed", {{"session", id_},
                                             {"account", account_},
                                             {"uid", maildrop_->at(index).uid},
                                             {"fault", why.code},
                                             {"detail", why.detail}});
    err(fmt::format("[SYS/TEMP] message {} cannot be read now", index + 1));
    co_return true;
  }
  if (limit)
    ok("top of the message");
  else
    ok(fmt::format("{} octets", maildrop_->at(index).size));
  DotStuffer stuffer;
  std::uint64_t sent = 0;
  while (!chunk->empty() && !(limit && limit->done())) {
    std::string_view text = limit ? limit->take(*chunk) : *chunk;
    sent += text.size();
    co_await send_text(text, &stuffer);
    if (limit && limit->done()) break;
    chunk = co_await (*body)->next();
    if (!chunk) {
      shard_->log().error("pop3.read_broke_off", {{"session", id_},
                                                  {"account", account_},
                                                  {"uid", maildrop_->at(index).uid},
                                                  {"octets", sent},
                                                  {"fault", chunk.error().code},
                                                  {"detail", chunk.error().detail}});
      co_return false;
    }
  }
  stream_->put(stuffer.terminator());
  ServerMetrics& metrics = shard_->server().metrics();
  metrics.retrieved_bytes.add(shard_->index(), sent);
  if (limit) {
    maildrop_->touch(index);
  } else {
    metrics.retrieved.add(shard_->index());
    maildrop_->retrieved(index);
  }
  co_return true;
}

Task<void> Session::send_text(std::string_view text, DotStuffer* stuffer) {
  while (!text.empty()) {
    DotStuffer::Piece piece = stuffer->next(text);
    if (piece.send >= kCopyBytes) {
      co_await stream_->write(text.substr(0, piece.send), write_deadline());
    } else {
      stream_->put(text.substr(0, piece.send));
      co_await make_room();
    }
    text.remove_prefix(piece.consume);
  }
}

}  // namespace postern::pop3

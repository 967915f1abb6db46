#include "server.h"

#include "session.h"

namespace postern::pop3 {

ServerMetrics::ServerMetrics(Metrics& m)
    : connections(m.counter("postern_pop3_connections_total", "POP3 connections.")),
      refused(m.counter("postern_pop3_refused_total", "POP3 connections refused because there were too many.")),
      logins(m.counter("postern_pop3_logins_total", "POP3 log-ins that opened a maildrop.")),
      failed_logins(m.counter("postern_pop3_failed_logins_total", "POP3 log-ins that did not.")),
      in_use(m.counter("postern_pop3_in_use_total", "POP3 log-ins refused because another session had the maildrop.")),
      retrieved(m.counter("postern_pop3_retrieved_total", "Messages sent by RETR.")),
      retrieved_bytes(m.counter("postern_pop3_retrieved_bytes_total", "Octets of messages sent by RETR and TOP.")),
      deleted(m.counter("postern_pop3_deleted_total", "Messages removed at QUIT.")),
      delete_failures(m.counter("postern_pop3_delete_failures_total", "Messages that could not be removed at QUIT.")),
      sessions(m.gauge("postern_pop3_sessions", "POP3 sessions now.")) {}

Shard::Shard(Server& server, Executor& executor, Log log, std::shared_ptr<const Pop3Settings> settings)
    : server_(server),
      executor_(executor),
      log_(std::move(log)),
      settings_(std::move(settings)),
      sessions_(executor),
      idle_cancel_(sessions_.token().state()),
      idle_context_{&executor, &idle_cancel_} {
  // Sessions catch what they expect; anything else ends that one session and is told, not the server.
  sessions_.on_error = [this](std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      log_.error("pop3.session_failed", {{"what", e.what()}});
    }
  };
}

Shard::~Shard() = default;

void Shard::listen(BoundEndpoint& bound, std::size_t listener) {
  listeners_.push_back(std::make_unique<Listener>(
      executor_, bound, [this, listener](std::unique_ptr<Socket> socket) { accepted(std::move(socket), listener); }));
}

void Shard::accepted(std::unique_ptr<Socket> socket, std::size_t listener) {
  server_.metrics().connections.add(index());
  auto stream = std::make_unique<Stream>(executor_, std::move(socket));
  std::size_t share = std::max<std::size_t>(1, settings_->max_connections / server_.parts().runtime.workers());
  if (draining_ || listener >= settings_->listeners.size() || sessions_.size() >= share) {
    server_.metrics().refused.add(index());
    if (listener < settings_->listeners.size() && settings_->listeners[listener].tls != TlsMode::kImplicit)
      stream->put("-ERR [SYS/TEMP] too many connections; try again later\r\n");
    stream->close();
    return;
  }
  sessions_.spawn(serve(std::make_unique<Session>(*this, std::move(stream), settings_, listener)));
}

void Shard::adopt(std::unique_ptr<Session> session) {
  if (drained_) return;  // its end closes the connection; nothing was changed
  session->attach(*this);
  sessions_.spawn(serve(std::move(session)));
}

bool Shard::try_count(const std::string& address, std::size_t limit) {
  std::size_t& count = counts_[address];
  if (count >= limit) return false;
  ++count;
  return true;
}

void Shard::uncount(const std::string& address) {
  auto found = counts_.find(address);
  if (found != counts_.end() && --found->second == 0) counts_.erase(found);
}

Task<void> Shard::drain(Deadline deadline) {
  listeners_.clear();
  draining_ = true;
  idle_cancel_.cancel();
  if (!co_await sessions_.join_until(deadline)) {
    sessions_.cancel();
    co_await sessions_.join();
  }
  drained_ = true;
}

Shard& Server::start(Executor& executor, Log log, std::shared_ptr<const Pop3Settings> settings) {
  auto& slot = shards_[executor.index()];
  slot = std::make_unique<Shard>(*this, executor, std::move(log), std::move(settings));
  return *slot;
}

}  // namespace postern::pop3

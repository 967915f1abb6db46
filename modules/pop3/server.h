// The POP3 server: what all sessions share, and per worker a Shard with its listeners, sessions, maildrop locks and
// counts of connections by address.
//
// A connection begins on the worker that accepted it. Its address is counted by that address's owner worker; at log-in
// it takes the lock of the maildrop from the account's owner worker and moves there, so that a lock never crosses
// threads while it is held.
//
// Owner:  Pop3Module (or a test). Thread: a Shard's members on its worker only; Server's own are set before start.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "postern/auth.h"
#include "postern/cancel.h"
#include "postern/hash.h"
#include "postern/log.h"
#include "postern/mailstore.h"
#include "postern/metrics.h"
#include "postern/module.h"
#include "postern/nursery.h"
#include "postern/random.h"
#include "postern/stream.h"
#include "postern/tls.h"
#include "settings.h"

namespace postern::pop3 {

class Server;
class Session;

class Shard {
 public:
  Shard(Server& server, Executor& executor, Log log, std::shared_ptr<const Pop3Settings> settings);
  ~Shard();

  Server& server() { return server_; }
  Executor& executor() { return executor_; }
  unsigned index() const { return executor_.index(); }
  const Log& log() const { return log_; }
  void set_log(Log log) { log_ = std::move(log); }
  const std::shared_ptr<const Pop3Settings>& settings() const { return settings_; }
  void set_settings(std::shared_ptr<const Pop3Settings> settings) { settings_ = std::move(settings); }

  void listen(BoundEndpoint& bound, std::size_t listener);
  /// Takes over a session that another worker detached.
  void adopt(std::unique_ptr<Session> session);
  bool draining() const { return draining_; }
  Task<void> drain(Deadline deadline);

  /// Waits for a client's next command stand under this context, so that drain() can end them and nothing else.
  Context& idle() { return idle_context_; }

  // Of accounts and addresses that this worker owns.
  bool try_lock(const std::string& account) { return locked_.insert(account).second; }
  void unlock(const std::string& account) { locked_.erase(account); }
  bool try_count(const std::string& address, std::size_t limit);
  void uncount(const std::string& address);
  std::size_t locks() const { return locked_.size(); }
  std::size_t sessions() const { return sessions_.size(); }

 private:
  void accepted(std::unique_ptr<Socket> socket, std::size_t listener);

  Server& server_;
  Executor& executor_;
  Log log_;
  std::shared_ptr<const Pop3Settings> settings_;
  std::unordered_set<std::string, BytesHash, std::equal_to<>> locked_{0, BytesHash{random_u64()}};
  std::unordered_map<std::string, std::size_t, BytesHash, std::equal_to<>> counts_{0, BytesHash{random_u64()}};
  Nursery sessions_;
  CancelState idle_cancel_;
  Context idle_context_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  bool draining_ = false;
  bool drained_ = false;
};

struct ServerMetrics {
  explicit ServerMetrics(Metrics& metrics);
  Counter& connections;
  Counter& refused;  ///< over a limit
  Counter& logins;
  Counter& failed_logins;
  Counter& in_use;
  Counter& retrieved;
  Counter& retrieved_bytes;
  Counter& deleted;
  Counter& delete_failures;
  Gauge& sessions;
};

/// What a server stands on.
struct ServerParts {
  Runtime& runtime;
  MailStore& store;
  Authenticator& auth;
  TlsService* tls = nullptr;  ///< none: STLS is not offered
  Metrics& metrics;
  std::string hostname;
};

class Server {
 public:
  explicit Server(ServerParts parts)
      : parts_(std::move(parts)), metrics_(parts_.metrics), shards_(parts_.runtime.workers()) {}

  /// Makes a worker's shard; all of them stand before any accepts, for a session may ask any of them.
  Shard& start(Executor& executor, Log log, std::shared_ptr<const Pop3Settings> settings);
  Shard* shard(unsigned worker) { return shards_[worker].get(); }
  Shard& owner_of(std::string_view key) { return *shards_[parts_.runtime.owner_of(hash_bytes(key)).index()]; }
  /// Ends all shards; after their loops.
  void clear() { shards_.clear(); }

  const ServerParts& parts() const { return parts_; }
  ServerMetrics& metrics() { return metrics_; }

 private:
  ServerParts parts_;
  ServerMetrics metrics_;
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace postern::pop3

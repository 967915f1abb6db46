// A Redis server as a KeyValueStore: a few connections for each worker.
//
// An increment with an expiry is one transaction (MULTI: SET NX PX, INCRBY), so that no key is left without its end,
// and every worker and server counts in the same window.
//
// Owner:  the module; outlives all who ask. Thread: any worker, once start() was called there.
// Errors: "kv.connect" (no connection, or the server refuses us), "kv.busy", "kv.timeout", "kv.type", "kv.limit".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "connection.h"
#include "postern/key_value.h"

namespace postern::redis {

struct StoreOptions {
  ConnectionOptions connection;
  std::string prefix;
  Duration timeout = std::chrono::seconds(2);
  unsigned connections = 1;
};

class RedisStore final : public KeyValueStore {
 public:
  RedisStore(unsigned workers, StoreOptions options) : options_(std::move(options)), workers_(workers) {}
  /// Before start(): the password was read.
  void set_password(std::string password) { options_.connection.password = std::move(password); }
  void start(Executor& executor, const Log& log);
  void stop() { workers_.clear(); }  ///< after the loops
  Task<Result<KeyValueReply>> ask(KeyValueRequest request, Deadline deadline) override;

 private:
  struct PerWorker {
    std::vector<std::unique_ptr<Connection>> connections;
    std::size_t next = 0;
  };
  Connection* pick(PerWorker& worker, bool& full);

  StoreOptions options_;
  std::vector<std::unique_ptr<PerWorker>> workers_;
};

/// What is sent for a request, and what the reply to the last of it means. For RedisStore and its tests.
std::vector<Command> commands_of(const KeyValueRequest& request, const std::string& prefix);
Result<KeyValueReply> reply_of(const KeyValueRequest& request, const Answer& answer);

}  // namespace postern::redis

// A PostgreSQL server as a Database: a few connections for each worker, and a bounded queue for them.
//
// Owner:  the module; outlives all who ask. Thread: any worker, once start() was called there.
// Errors: those of connection.h, and "sql.busy" (too many wait).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "connection.h"

namespace postern::postgresql {

struct DatabaseOptions {
  ConnectionOptions connection;
  Duration timeout = std::chrono::seconds(5);
  unsigned connections = 2;
  unsigned waiting = 1000;
};

class PostgresqlDatabase final : public Database {
 public:
  PostgresqlDatabase(unsigned workers, DatabaseOptions options) : options_(std::move(options)), workers_(workers) {}
  /// Before start(): the password was read.
  void set_password(std::string password) { options_.connection.parameters["password"] = std::move(password); }
  void start(Executor& executor, Resolver* resolver);
  void stop() { workers_.clear(); }  ///< after the loops
  Task<Result<SqlRows>> query(std::string statement, std::vector<SqlArgument> arguments, Deadline deadline) override;

 private:
  struct PerWorker {
    explicit PerWorker(std::size_t connections) : permits(connections) {}
    Semaphore permits;
    std::vector<std::unique_ptr<Connection>> idle;
    unsigned waiting = 0;
  };
  class Loan;

  DatabaseOptions options_;
  std::vector<std::unique_ptr<PerWorker>> workers_;
};

}  // namespace postern::postgresql

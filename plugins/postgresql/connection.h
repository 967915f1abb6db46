// One connection to a PostgreSQL server, driven by a worker's loop: libpq without its blocking calls.
//
// A statement is sent as one question of the extended protocol, so that it cannot be two. Rows come one at a time and
// are counted as they come. After an error that leaves the connection's state in doubt it is closed; the next question
// makes a new one.
//
// Owner:  a worker's pool; one question at a time. Thread: that worker.
// Errors: "sql.connect", "sql.statement", "sql.timeout", "sql.limit"; Cancelled is thrown, and closes the connection.
#pragma once

#include <libpq-fe.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "postern/database.h"
#include "postern/dns.h"
#include "postern/sync.h"

namespace postern::postgresql {

struct ConnectionOptions {
  std::map<std::string, std::string> parameters;  ///< of libpq, by keyword
  Duration connect_timeout = std::chrono::seconds(5);
};

class Connection {
 public:
  Connection(Executor& executor, Resolver* resolver, const ConnectionOptions& options)
      : executor_(executor), resolver_(resolver), options_(options) {}
  ~Connection() { close(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// `statement` has $n already. `statement` and `arguments` outlive it.
  Task<Result<SqlRows>> query(const std::string& statement, const std::vector<SqlArgument>& arguments, Instant end);
  void close();

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  using ResultPtr = std::unique_ptr<PGresult, Clear>;
  class CloseUnlessDone;

  Task<Result<void>> connect(Instant end);
  Task<Result<std::map<std::string, std::string>>> parameters(Instant end);
  Task<Result<void>> poll_connect(Instant end);
  bool alive();
  /// Throws TimedOut, Cancelled.
  Task<void> wait(bool readable, bool writable, Instant end);
  Result<void> send(const std::string& statement, const std::vector<SqlArgument>& arguments);
  Task<Result<void>> flush(Instant end);
  Task<Result<SqlRows>> collect(Instant end);
  Result<void> add(const PGresult* result, SqlRows& rows, std::size_t& octets);
  std::unexpected<Fault> fault_of(const PGresult* result) const;
  std::unexpected<Fault> lost() const;

  Executor& executor_;
  Resolver* resolver_;
  const ConnectionOptions& options_;
  std::unique_ptr<PGconn, Finish> connection_;
  std::unique_ptr<FdWatch> watch_;  ///< of its socket; ends before it
  int watched_ = -1;
  Event ready_;
};

}  // namespace postern::postgresql

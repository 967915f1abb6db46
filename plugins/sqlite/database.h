// An SQLite file as a Database: a few handles for each worker, each statement a job of the disk pool.
//
// Owner:  the module; outlives all who ask. Thread: any worker; each has handles and a queue of its own.
// Errors: those of handle.h, and "sql.busy" (too many wait for a handle, or for the disk pool).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "handle.h"
#include "postern/database.h"
#include "postern/sync.h"

namespace postern::sqlite {

struct DatabaseOptions {
  HandleOptions handle;
  Duration timeout = std::chrono::seconds(5);
  unsigned handles = 1;
  unsigned waiting = 1000;
};

class SqliteDatabase final : public Database {
 public:
  SqliteDatabase(unsigned workers, DatabaseOptions options);
  Task<Result<SqlRows>> query(std::string statement, std::vector<SqlArgument> arguments, Deadline deadline) override;

 private:
  struct PerWorker {
    explicit PerWorker(std::size_t handles) : permits(handles) {}
    Semaphore permits;
    std::vector<std::unique_ptr<Handle>> idle;
    unsigned waiting = 0;
  };
  /// A handle on loan; goes back when it ends.
  class Loan;

  DatabaseOptions options_;
  std::vector<std::unique_ptr<PerWorker>> workers_;
};

}  // namespace postern::sqlite

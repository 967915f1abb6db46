// One connection to an SQLite file: statements of rules, each bounded in time, rows and octets.
//
// A rule may ask and, where the settings let it, change rows. What reaches beyond the file or outlives the statement is
// refused by an authorizer: ATTACH, VACUUM, PRAGMAs that set something, load_extension, transactions, temporary tables.
//
// Owner:  a worker's pool; used by one thread at a time, that of a disk job. Everything here blocks.
// Errors: "sql.connect" (the file cannot be opened or read), "sql.statement" (SQLite refuses it), "sql.busy" (another
//         program keeps it locked), "sql.timeout", "sql.limit".
#pragma once

#include <sqlite3.h>

#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "postern/database.h"

namespace postern::sqlite {

struct HandleOptions {
  std::string file;
  bool read_only = true;
  Duration busy = std::chrono::seconds(2);
  std::size_t statements = 32;
};

class Handle {
 public:
  static constexpr int kStepsBetweenLooks = 1000;  ///< instructions of SQLite between two looks at the clock

  explicit Handle(HandleOptions options) : options_(std::move(options)) {}
  Handle(const Handle&) = delete;  // SQLite keeps the address of end_
  Handle& operator=(const Handle&) = delete;

  /// Opens the file when it is not open yet. One statement; `?` for arguments.
  Result<SqlRows> run(const std::string& statement, const std::vector<SqlArgument>& arguments, Duration time);

 private:
  struct CloseDatabase {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;
  struct Prepared {
    std::string text;
    Statement statement;
  };

  Result<void> open();
  Result<Prepared> prepare(const std::string& text);
  void keep(Prepared prepared);
  Result<void> bind(sqlite3_stmt* statement, const std::vector<SqlArgument>& arguments);
  Result<SqlRows> step(sqlite3_stmt* statement);
  std::unexpected<Fault> fault_of(int code);

  HandleOptions options_;
  std::unique_ptr<sqlite3, CloseDatabase> database_;
  std::list<Prepared> kept_;  ///< used last first; after database_, so that it goes before
  std::chrono::steady_clock::time_point end_{};
};

}  // namespace postern::sqlite

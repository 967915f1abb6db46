// A database that rules may ask (postern.sql): an SQLite file, a PostgreSQL server, or what a plugin provides.
//
//   Result<SqlRows> rows = co_await database.query("SELECT name FROM users WHERE mail = ?", {{"bob@example.org"}},
//   until);
//
// Each [[sqlite]] or [[postgresql]] of the configuration is one service of this type, under its name. Statements have
// `?` for arguments in every database; a plugin translates. Each query is a transaction of its own.
//
// Thread: any worker; the answer comes on the asking one. Nothing of it blocks a worker.
// Errors: values; only Cancelled is thrown. "sql.statement" (the database refuses it), "sql.busy" (too many wait),
//         "sql.timeout", "sql.connect", "sql.limit" (more rows or octets than SqlLimits).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "postern/error.h"
#include "postern/task.h"
#include "postern/time.h"

namespace postern {

/// NULL, a truth value, a whole or a real number, a text or octets.
using SqlValue = std::variant<std::monostate, bool, std::int64_t, double, std::string>;

struct SqlArgument {
  SqlValue value;
  bool secret = false;  ///< never written to a trail
};

struct SqlRows {
  std::vector<std::string> columns;
  std::vector<std::vector<SqlValue>> rows;
  std::uint64_t changed = 0;  ///< rows that the statement changed
};

/// Service "database", one for each name.
class Database {
 public:
  static constexpr std::string_view kService = "database";
  static constexpr std::size_t kMaxRows = 10'000;         ///< of one answer
  static constexpr std::size_t kMaxOctets = 4 << 20;      ///< of one answer
  static constexpr std::size_t kMaxStatement = 64 << 10;  ///< octets
  static constexpr std::size_t kMaxArguments = 100;
  virtual ~Database();
  virtual Task<Result<SqlRows>> query(std::string statement, std::vector<SqlArgument> arguments, Deadline deadline) = 0;
};

}  // namespace postern

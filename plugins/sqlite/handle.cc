#include "handle.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "postern/address.h"
#include "postern/text.h"

namespace postern::sqlite {
namespace {

/// PRAGMAs that only tell something.
constexpr std::array<std::string_view, 9> kHarmless = {"table_info",       "table_xinfo",   "table_list",
                                                       "index_list",       "index_info",    "index_xinfo",
                                                       "foreign_key_list", "database_list", "compile_options"};

int authorize(void*, int action, const char* first, const char* second, const char* database, const char*) {
  switch (action) {
    case SQLITE_ATTACH:  // also VACUUM, which works by it
    case SQLITE_DETACH:
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_CREATE_TEMP_TABLE:  // these stay with the handle, unseen by others and without a bound
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
      return SQLITE_DENY;
    case SQLITE_CREATE_TABLE:  // "CREATE TABLE temp.t" is one of these
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_TRIGGER:
    case SQLITE_CREATE_VIEW:
    case SQLITE_CREATE_VTABLE:
      return database && equal_folded(database, "temp") ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_PRAGMA: {
      const bool harmless = first && std::ranges::any_of(kHarmless, [&](auto one) { return equal_folded(one, first); });
      return harmless ? SQLITE_OK : SQLITE_DENY;
    }
    case SQLITE_FUNCTION:
      return second && equal_folded(second, "load_extension") ? SQLITE_DENY : SQLITE_OK;
    default:
      return SQLITE_OK;
  }
}

int is_late(void* end) {
  return std::chrono::steady_clock::now() >= *static_cast<std::chrono::steady_clock::time_point*>(end);
}

SqlValue column(sqlite3_stmt* statement, int index) {
  switch (sqlite3_column_type(statement, index)) {
    case SQLITE_INTEGER:
      return static_cast<std::int64_t>(sqlite3_column_int64(statement, index));
    case SQLITE_FLOAT:
      return sqlite3_column_double(statement, index);
    case SQLITE_NULL:
      return {};
    default: {
      const void* octets = sqlite3_column_blob(statement, index);  // of a text: as it is stored
      const int size = sqlite3_column_bytes(statement, index);
      return octets ? std::string(static_cast<const char*>(octets), static_cast<std::size_t>(size)) : std::string();
    }
  }
}

struct Bind {
  sqlite3_stmt* statement;
  int index;
  int operator()(std::monostate) const { return sqlite3_bind_null(statement, index); }
  int operator()(bool yes) const { return sqlite3_bind_int(statement, index, yes); }
  int operator()(std::int64_t number) const { return sqlite3_bind_int64(statement, index, number); }
  int operator()(double number) const { return sqlite3_bind_double(statement, index, number); }
  int operator()(const std::string& text) const {  // the arguments outlive the run
    if (is_valid_utf8(text) && text.find('\0') == std::string::npos)
      return sqlite3_bind_text64(statement, index, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
    return sqlite3_bind_blob64(statement, index, text.data(), text.size(), SQLITE_STATIC);
  }
};

/// Whether nothing but blanks, semicolons and comments is left. SQLite finds no statement in those.
bool only_blanks(sqlite3* database, const char* tail) {
  while (tail && *tail) {
    sqlite3_stmt* more = nullptr;
    const char* next = nullptr;
    const int code = sqlite3_prepare_v2(database, tail, -1, &more, &next);
    sqlite3_finalize(more);
    if (code != SQLITE_OK || more || next == tail) return false;
    tail = next;
  }
  return true;
}

}  // namespace

std::unexpected<Fault> Handle::fault_of(int code) {
  std::string text = database_ ? sqlite3_errmsg(database_.get()) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return fault("sql.busy", std::move(text));
    case SQLITE_INTERRUPT:
      return fault("sql.timeout", "the statement ran too long");
    case SQLITE_CANTOPEN:
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
    case SQLITE_IOERR:
    case SQLITE_PERM:
    case SQLITE_FULL:
    case SQLITE_PROTOCOL:
      kept_.clear();
      database_.reset();  // the file may have been replaced: the next question looks again
      return fault("sql.connect", options_.file + ": " + text);
    case SQLITE_TOOBIG:
    case SQLITE_NOMEM:
      return fault("sql.limit", std::move(text));
    default:
      return fault("sql.statement", std::move(text));
  }
}

Result<void> Handle::open() {
  if (database_) return {};
  sqlite3* made = nullptr;
  const int flags = (options_.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(options_.file.c_str(), &made, flags, nullptr);
  database_.reset(made);
  if (code != SQLITE_OK) {
    const Fault why{"sql.connect", options_.file + ": " + (made ? sqlite3_errmsg(made) : sqlite3_errstr(code))};
    database_.reset();
    return std::unexpected(why);
  }
  sqlite3_extended_result_codes(made, 1);
  sqlite3_db_config(made, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(made, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(made, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, nullptr);
  sqlite3_limit(made, SQLITE_LIMIT_LENGTH, static_cast<int>(Database::kMaxOctets));
  sqlite3_limit(made, SQLITE_LIMIT_SQL_LENGTH, static_cast<int>(Database::kMaxStatement));
  sqlite3_limit(made, SQLITE_LIMIT_ATTACHED, 0);
  sqlite3_set_authorizer(made, authorize, nullptr);
  sqlite3_progress_handler(made, kStepsBetweenLooks, is_late, &end_);
  return {};
}

Result<Handle::Prepared> Handle::prepare(const std::string& text) {
  const auto known = std::ranges::find(kept_, text, &Prepared::text);
  if (known != kept_.end()) {
    Prepared prepared = std::move(*known);
    kept_.erase(known);
    return prepared;
  }
  sqlite3_stmt* made = nullptr;
  const char* tail = nullptr;
  const int code = sqlite3_prepare_v2(database_.get(), text.c_str(), static_cast<int>(text.size()) + 1, &made, &tail);
  Statement statement(made);
  if (code != SQLITE_OK) return fault_of(code);
  if (!statement) return fault("sql.statement", "there is no statement");
  if (!only_blanks(database_.get(), tail)) return fault("sql.statement", "more than one statement");
  return Prepared{text, std::move(statement)};
}

void Handle::keep(Prepared prepared) {
  sqlite3_reset(prepared.statement.get());
  sqlite3_clear_bindings(prepared.statement.get());
  kept_.push_front(std::move(prepared));
  if (kept_.size() > options_.statements) kept_.pop_back();
}

Result<void> Handle::bind(sqlite3_stmt* statement, const std::vector<SqlArgument>& arguments) {
  const int wanted = sqlite3_bind_parameter_count(statement);
  if (static_cast<std::size_t>(wanted) != arguments.size())
    return fault("sql.statement", "the statement takes " + std::to_string(wanted) + " arguments, not " +
                                      std::to_string(arguments.size()));
  for (int i = 0; i < wanted; ++i)
    if (const int code = std::visit(Bind{statement, i + 1}, arguments[static_cast<std::size_t>(i)].value))
      return fault_of(code);
  return {};
}

Result<SqlRows> Handle::step(sqlite3_stmt* statement) {
  SqlRows out;
  const int columns = sqlite3_column_count(statement);
  for (int i = 0; i < columns; ++i) out.columns.emplace_back(sqlite3_column_name(statement, i));
  const int changes_before = sqlite3_total_changes(database_.get());
  std::size_t octets = 0;
  int code = 0;
  while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
    if (out.rows.size() == Database::kMaxRows) return fault("sql.limit", "more rows than an answer may have");
    auto& row = out.rows.emplace_back();
    for (int i = 0; i < columns; ++i) {
      row.push_back(column(statement, i));
      const auto* text = std::get_if<std::string>(&row.back());
      octets += sizeof(SqlValue) + (text ? text->size() : 0);
    }
    if (octets > Database::kMaxOctets) return fault("sql.limit", "more octets than an answer may have");
  }
  if (code != SQLITE_DONE) return fault_of(code);
  out.changed = static_cast<std::uint64_t>(sqlite3_total_changes(database_.get()) - changes_before);
  return out;
}

Result<SqlRows> Handle::run(const std::string& statement, const std::vector<SqlArgument>& arguments, Duration time) {
  end_ = std::chrono::steady_clock::now() + time;
  if (auto opened = open(); !opened) return std::unexpected(std::move(opened).error());
  const Duration wait = std::clamp<Duration>(time, Duration(0), options_.busy);
  sqlite3_busy_timeout(database_.get(),
                       static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(wait).count()));
  auto prepared = prepare(statement);
  if (!prepared) return std::unexpected(std::move(prepared).error());
  auto bound = bind(prepared->statement.get(), arguments);
  Result<SqlRows> rows = bound ? step(prepared->statement.get()) : std::unexpected(std::move(bound).error());
  if (database_) keep(std::move(*prepared));
  return rows;
}

}  // namespace postern::sqlite

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "database.h"
#include "postern/nursery.h"
#include "postern/sim.h"

namespace postern::sqlite {
namespace {

struct Folder {
  std::filesystem::path path;
  Folder() {
    char name[] = "/tmp/postern-sqlite-XXXXXX";
    path = mkdtemp(name);
    sqlite3* made = nullptr;
    REQUIRE(sqlite3_open((path / "a.db").c_str(), &made) == SQLITE_OK);
    const char* text =
        "CREATE TABLE users (name TEXT, mails INTEGER, score REAL, photo BLOB);"
        "INSERT INTO users VALUES ('bob', 3, 1.5, x'00ff'), ('eve', NULL, 2.0, NULL);";
    REQUIRE(sqlite3_exec(made, text, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(made);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Handle handle(bool read_only = true) {
    return Handle({.file = (path / "a.db").string(), .read_only = read_only, .busy = std::chrono::milliseconds(50)});
  }
};

std::string code_of(const Result<SqlRows>& rows) {
  return rows ? "ok" : rows.error().code;
}

}  // namespace

TEST_CASE("rows come with their types, and arguments in their places") {
  Folder folder;
  Handle handle = folder.handle();
  for (int i = 0; i < 3; ++i) {  // the second time the statement is a kept one
    const auto rows = handle.run("SELECT * FROM users WHERE name = ? OR mails IS ? ORDER BY name",
                                 {{std::string("bob")}, {std::monostate()}}, 5s);
    REQUIRE_MESSAGE(rows, rows.error().detail);
    CHECK(rows->columns == std::vector<std::string>{"name", "mails", "score", "photo"});
    REQUIRE(rows->rows.size() == 2);
    CHECK(rows->rows[0] == std::vector<SqlValue>{"bob", std::int64_t{3}, 1.5, std::string("\0\xff", 2)});
    CHECK(rows->rows[1] == std::vector<SqlValue>{"eve", SqlValue(), 2.0, SqlValue()});
  }
  const auto types = handle.run("SELECT typeof(?), typeof(?), typeof(?), typeof(?); -- nothing more",
                                {{std::string("a")}, {std::string("\xff")}, {true}, {0.5}}, 5s);
  REQUIRE(types);
  CHECK(types->rows[0] == std::vector<SqlValue>{"text", "blob", "integer", "real"});
}

TEST_CASE("changes are counted, and a database that is read only has none") {
  Folder folder;
  Handle writer = folder.handle(false);
  const auto changed = writer.run("UPDATE users SET mails = 7", {}, 5s);
  REQUIRE_MESSAGE(changed, changed.error().detail);
  CHECK(changed->changed == 2);
  CHECK(writer.run("SELECT 1", {}, 5s)->changed == 0);
  Handle reader = folder.handle();
  CHECK(code_of(reader.run("DELETE FROM users", {}, 5s)) == "sql.statement");
  CHECK(std::get<std::int64_t>(reader.run("SELECT sum(mails) FROM users", {}, 5s)->rows[0][0]) == 14);
}

TEST_CASE("what reaches beyond the file, or outlives the statement, is refused") {
  Folder folder;
  Handle handle = folder.handle(false);
  const std::string other = (folder.path / "other.db").string();
  for (const std::string& bad :
       {"ATTACH '" + other + "' AS o", "VACUUM INTO '" + other + "'", std::string("VACUUM"),
        std::string("PRAGMA journal_mode = WAL"), std::string("PRAGMA writable_schema = 1"),
        std::string("PRAGMA temp_store_directory = '/tmp'"), std::string("SELECT load_extension('x.so')"),
        std::string("CREATE TEMP TABLE t (a)"), std::string("CREATE TABLE temp.t (a)"),
        std::string("CREATE TEMP VIEW v AS SELECT 1"), std::string("CREATE VIRTUAL TABLE temp.f USING fts5(a)"),
        std::string("CREATE TEMP TRIGGER g AFTER UPDATE ON users BEGIN SELECT 1; END"), std::string("BEGIN"),
        std::string("SAVEPOINT a"), std::string("SELECT 1; DELETE FROM users"), std::string(""),
        std::string("-- nothing"), std::string("SELEC 1"), std::string("SELECT * FROM nothing")})
    CHECK_MESSAGE(code_of(handle.run(bad, {}, 5s)) == "sql.statement", bad);
  CHECK_FALSE(std::filesystem::exists(other));
  CHECK(code_of(handle.run("SELECT ?", {}, 5s)) == "sql.statement");
  CHECK(code_of(handle.run("SELECT 1", {{true}}, 5s)) == "sql.statement");
  CHECK(code_of(handle.run("PRAGMA table_info(users)", {}, 5s)) == "ok");
  CHECK(std::get<std::int64_t>(handle.run("SELECT count(*) FROM users", {}, 5s)->rows[0][0]) == 2);
}

TEST_CASE("a statement ends with its time, its rows and its octets") {
  Folder folder;
  Handle handle = folder.handle();
  const std::string endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT ";
  const auto before = std::chrono::steady_clock::now();
  CHECK(code_of(handle.run(endless + "count(*) FROM n", {}, 100ms)) == "sql.timeout");
  CHECK(std::chrono::steady_clock::now() - before < 10s);
  CHECK(code_of(handle.run(endless + "i FROM n", {}, 5s)) == "sql.limit");
  CHECK(code_of(handle.run(endless + "hex(zeroblob(100000)) FROM n", {}, 5s)) == "sql.limit");
  CHECK(code_of(handle.run("SELECT zeroblob(100000000)", {}, 5s)) == "sql.limit");
  CHECK(code_of(handle.run("SELECT 1", {}, 5s)) == "ok");
}

TEST_CASE("a file that another program has locked is busy, and one that is not there is a fault that may pass") {
  Folder folder;
  sqlite3* other = nullptr;
  REQUIRE(sqlite3_open((folder.path / "a.db").c_str(), &other) == SQLITE_OK);
  REQUIRE(sqlite3_exec(other, "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr) == SQLITE_OK);
  Handle handle = folder.handle(false);
  CHECK(code_of(handle.run("DELETE FROM users", {}, 5s)) == "sql.busy");
  sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  CHECK(code_of(handle.run("DELETE FROM users", {}, 5s)) == "ok");

  Handle missing({.file = (folder.path / "none.db").string()});
  CHECK(code_of(missing.run("SELECT 1", {}, 5s)) == "sql.connect");
  CHECK_FALSE(std::filesystem::exists(folder.path / "none.db"));
  std::filesystem::copy_file(folder.path / "a.db", folder.path / "none.db");
  CHECK(code_of(missing.run("SELECT 1", {}, 5s)) == "ok");
  std::ofstream(folder.path / "text.db") << std::string(5000, 'x');
  Handle text({.file = (folder.path / "text.db").string()});
  CHECK(code_of(text.run("SELECT * FROM users", {}, 5s)) == "sql.connect");
}

namespace {
Task<void> ask(SqliteDatabase* database, std::string statement, Deadline deadline, std::vector<std::string>* codes) {
  codes->push_back(code_of(co_await database->query(std::move(statement), {}, deadline)));
}
}  // namespace

TEST_CASE("questions wait for a handle, so many of them and so long") {
  Folder folder;
  auto runtime = make_uv_runtime({.workers = 1, .pin_workers = false});
  SqliteDatabase database(1, {.handle = {.file = (folder.path / "a.db").string()}, .timeout = 300ms, .waiting = 2});
  const std::string endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
  std::vector<std::string> codes;
  {
    Nursery nursery(runtime->worker(0));
    runtime->worker(0).post_fn([&] {
      nursery.spawn(ask(&database, endless, Deadline::never(), &codes));
      nursery.spawn(ask(&database, "SELECT 1", Deadline::after(50ms), &codes));
      nursery.spawn(ask(&database, "SELECT 1", Deadline::after(200ms), &codes));
      nursery.spawn(ask(&database, "SELECT 1", Deadline::after(5s), &codes));
    });
    struct End {
      static Task<void> when_done(Nursery* asked, Runtime* all) {
        while (asked->size() > 0) co_await sleep_for(5ms);
        all->stop();
      }
    };
    Nursery waiter(runtime->worker(0));
    runtime->worker(0).post_fn([&] { waiter.spawn(End::when_done(&nursery, runtime.get())); });
    runtime->run();
  }
  REQUIRE(codes.size() == 4);
  CHECK(codes[0] == "sql.busy");
  CHECK(codes[1] == "sql.timeout");
  CHECK(codes[2] == "sql.timeout");
  CHECK(codes[3] == "sql.timeout");
}

}  // namespace postern::sqlite

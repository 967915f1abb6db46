#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "database.h"
#include "postern/dns_fake.h"
#include "postern/nursery.h"
#include "postern/sim.h"
#include "statement.h"

namespace postern::postgresql {
namespace {

std::string text_of(std::string_view statement) {
  return translate(statement).text;
}

}  // namespace

TEST_CASE("question marks become numbers, outside of quotes and comments") {
  CHECK(text_of("SELECT ? + ?") == "SELECT $1 + $2");
  CHECK(text_of("SELECT '?', \"?\", 'it''s ?', ?") == "SELECT '?', \"?\", 'it''s ?', $1");
  CHECK(text_of("SELECT E'\\'?', ?") == "SELECT E'\\'?', $1");
  CHECK(text_of("SELECT 'a\\', ?") == "SELECT 'a\\', $1");
  CHECK(text_of("SELECT name'?' , ?") == "SELECT name'?' , $1");
  CHECK(text_of("-- what?\nSELECT ? /* ? /* ? */ ? */, ?") == "-- what?\nSELECT $1 /* ? /* ? */ ? */, $2");
  CHECK(text_of("SELECT $$ ? $$, $a$ ? $$ $a$, ?") == "SELECT $$ ? $$, $a$ ? $$ $a$, $1");
  CHECK(text_of("SELECT a$b, $1x$?") == "SELECT a$b, $1x$$1");
  CHECK(text_of("SELECT data ?? 'key' AND a = ?") == "SELECT data ? 'key' AND a = $1");
  CHECK(translate("SELECT '?").arguments == 0);
  CHECK(translate("SELECT /* ?").arguments == 0);
  CHECK(translate("SELECT $x$ ?").arguments == 0);
  CHECK(translate("?").arguments == 1);
  CHECK(text_of("") == "");
}

namespace {

/// A socket on loopback that takes connections and says nothing.
struct Silent {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string port;
  Silent() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd, 16) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = std::to_string(ntohs(address.sin_port));
  }
  ~Silent() { close(); }
  void close() {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

Task<void> ask(Database* database, std::vector<SqlArgument> arguments, Deadline deadline,
               std::vector<std::string>* codes) {
  auto rows = co_await database->query("SELECT ?", std::move(arguments), deadline);
  codes->push_back(rows ? "ok" : rows.error().code);
}

Task<void> end_of(Nursery* asked, Runtime* runtime) {
  while (asked->size() > 0) co_await sleep_for(5ms);
  runtime->stop();
}

/// What `times` questions at once are told.
std::vector<std::string> told(std::map<std::string, std::string> parameters, int times, unsigned waiting,
                              std::vector<SqlArgument> arguments = {{true}}) {
  auto runtime = make_uv_runtime({.workers = 1, .pin_workers = false});
  FakeResolver dns(runtime->worker(0));
  dns.a("db.example", "127.0.0.1");
  parameters["user"] = "nobody";
  PostgresqlDatabase database(1, {.connection = {.parameters = std::move(parameters), .connect_timeout = 1s},
                                  .timeout = 300ms,
                                  .connections = 1,
                                  .waiting = waiting});
  std::vector<std::string> codes;
  {
    Nursery nursery(runtime->worker(0)), waiter(runtime->worker(0));
    runtime->worker(0).post_fn([&] {
      database.start(runtime->worker(0), &dns);
      for (int i = 0; i < times; ++i) nursery.spawn(ask(&database, arguments, Deadline::after(200ms), &codes));
      waiter.spawn(end_of(&nursery, runtime.get()));
    });
    runtime->run();
  }
  database.stop();
  return codes;
}

}  // namespace

TEST_CASE("a server that is not there, or has no name, is a fault") {
  Silent gone;
  gone.close();
  CHECK(told({{"host", "127.0.0.1"}, {"port", gone.port}}, 1, 10) == std::vector<std::string>{"sql.connect"});
  CHECK(told({{"host", "db.example"}, {"port", gone.port}}, 1, 10) == std::vector<std::string>{"sql.connect"});
  CHECK(told({{"host", "nowhere.example"}, {"port", gone.port}}, 1, 10) == std::vector<std::string>{"sql.connect"});
  CHECK(told({{"host", "/nonexistent"}, {"port", gone.port}}, 1, 10) == std::vector<std::string>{"sql.connect"});
}

TEST_CASE("a server that says nothing is given up in time, and so are those who wait behind") {
  Silent silent;
  const auto codes = told({{"host", "db.example"}, {"port", silent.port}}, 4, 2);
  REQUIRE(codes.size() == 4);
  CHECK(codes[0] == "sql.busy");
  for (std::size_t i = 1; i < 4; ++i) CHECK(codes[i] == "sql.timeout");
}

TEST_CASE("a wrong number of arguments is told before anybody is asked") {
  CHECK(told({{"host", "127.0.0.1"}, {"port", "1"}}, 1, 10, {}) == std::vector<std::string>{"sql.statement"});
}

}  // namespace postern::postgresql

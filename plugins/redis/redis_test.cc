#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>

#include "postern/nursery.h"
#include "postern/sim.h"
#include "store.h"

namespace postern::redis {
namespace {

using Kind = KeyValueRequest::Kind;

Answer text(std::string value) {
  return {.kind = Answer::Kind::kText, .text = std::move(value)};
}
Answer number(std::int64_t value) {
  return {.kind = Answer::Kind::kNumber, .number = value};
}
Answer error(std::string value) {
  return {.kind = Answer::Kind::kError, .text = std::move(value)};
}

/// A socket on loopback that takes connections, and says what it is told to.
struct Listener {
  int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Endpoint at;
  Listener() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd, 16) == 0);
    socklen_t size = sizeof address;
    REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    at = *Endpoint::parse("127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  }
  ~Listener() { close(); }
  void close() {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

/// A store on a real loop; `body` runs there, and everything ends when it does.
struct Loop {
  std::unique_ptr<Runtime> runtime = make_uv_runtime({.workers = 1, .pin_workers = false});
  CaptureLog log;
  using Body = Task<void> (*)(RedisStore*, std::vector<std::string>*);
  std::vector<std::string> run(const Endpoint& address, Body body, Duration timeout = 200ms,
                               std::size_t pending = 1000) {
    RedisStore store(1, {.connection = {.name = "test", .address = address, .pending = pending},
                         .prefix = "p:",
                         .timeout = timeout,
                         .connections = 1});
    std::vector<std::string> out;
    Nursery nursery(runtime->worker(0));
    struct All {
      static Task<void> run(Runtime* all, RedisStore* asked, Body what, std::vector<std::string>* said) {
        co_await what(asked, said);
        all->stop();
      }
    };
    runtime->worker(0).post_fn([&] {
      store.start(runtime->worker(0), log.log());
      nursery.spawn(All::run(runtime.get(), &store, body, &out));
    });
    runtime->run();
    store.stop();
    return out;
  }
};

Task<void> get(RedisStore* store, std::vector<std::string>* said) {
  auto reply = co_await store->ask({.key = "k"}, Deadline::after(5s));
  said->push_back(reply ? reply->value.value_or("nothing") : reply.error().code);
}

}  // namespace

TEST_CASE("an increment with an expiry is one transaction, so that no key is left without its end") {
  const auto commands = commands_of({.kind = Kind::kIncrement, .key = "n", .by = 3, .expiry = 1500ms}, "p:");
  REQUIRE(commands.size() == 4);
  CHECK(commands[0] == Command{"MULTI"});
  CHECK(commands[1] == Command{"SET", "p:n", "0", "PX", "1500", "NX"});
  CHECK(commands[2] == Command{"INCRBY", "p:n", "3"});
  CHECK(commands[3] == Command{"EXEC"});
  CHECK(commands_of({.kind = Kind::kIncrement, .key = "n"}, "") == std::vector<Command>{{"INCRBY", "n", "1"}});
  CHECK(commands_of({.kind = Kind::kSet, .key = "k", .value = "v", .expiry = 1us}, "").at(0) ==
        Command{"SET", "k", "v", "PX", "1"});
  CHECK(commands_of({.kind = Kind::kRemove, .key = "k"}, "p:") == std::vector<Command>{{"DEL", "p:k"}});
}

TEST_CASE("replies mean what the request asked for") {
  const KeyValueRequest get_one{.key = "k"}, more{.kind = Kind::kIncrement, .key = "k"},
      set{.kind = Kind::kSet, .key = "k"};
  CHECK(reply_of(get_one, text("v"))->value == "v");
  CHECK_FALSE(reply_of(get_one, {.kind = Answer::Kind::kNil})->value);
  CHECK(reply_of(more, number(5))->number == 5);
  CHECK(reply_of(more, {.kind = Answer::Kind::kList, .list = {{.kind = Answer::Kind::kNil}, number(6)}})->number == 6);
  CHECK(reply_of(more, {.kind = Answer::Kind::kList, .list = {text("OK"), error("ERR value is not an integer")}})
            .error()
            .code == "kv.type");
  CHECK(reply_of(more, error("ERR increment or decrement would overflow")).error().code == "kv.type");
  CHECK(reply_of(more, {.kind = Answer::Kind::kList, .list = {number(1)}}).error().code == "kv.connect");
  CHECK(reply_of(get_one, error("WRONGTYPE Operation")).error().code == "kv.type");
  CHECK(reply_of(set, error("OOM command not allowed")).error().code == "kv.limit");
  CHECK(reply_of(set, error("NOAUTH Authentication required.")).error().code == "kv.connect");
  CHECK(reply_of(set, number(1)).error().code == "kv.connect");
  CHECK(reply_of(get_one, {}).error().code == "kv.connect");
  CHECK(reply_of(get_one, text(std::string(KeyValueStore::kMaxValue + 1, 'x'))).error().code == "kv.limit");
}

TEST_CASE("a server that is not there is a fault, at once while a pause lasts") {
  Listener listener;
  const Endpoint nobody = listener.at;
  listener.close();
  Loop loop;
  const auto said = loop.run(nobody, [](RedisStore* store, std::vector<std::string>* out) -> Task<void> {
    co_await get(store, out);
    Executor& executor = co_await this_executor();
    const Instant before = executor.now();
    co_await get(store, out);
    out->push_back(executor.now() - before < 50ms ? "at once" : "after a while");
  });
  CHECK(said == std::vector<std::string>{"kv.connect", "kv.connect", "at once"});
}

TEST_CASE("a server that says nothing is given up in time, for all who wait") {
  Listener silent;
  Loop loop;
  const auto said = loop.run(silent.at, [](RedisStore* store, std::vector<std::string>* out) -> Task<void> {
    Context& context = co_await this_context();
    Nursery nursery(*context.executor);
    for (int i = 0; i < 3; ++i) nursery.spawn(get(store, out));
    co_await nursery.join();
  });
  REQUIRE(said.size() == 3);
  for (const std::string& one : said) CHECK((one == "kv.timeout" || one == "kv.connect"));
  CHECK(said[0] == "kv.timeout");
}

TEST_CASE("a server that says nothing is given up even if all who ask are in a hurry") {
  Listener silent;
  Loop loop;
  const auto said = loop.run(silent.at, [](RedisStore* store, std::vector<std::string>* out) -> Task<void> {
    for (int i = 0; i < 20 && (out->empty() || out->back() == "kv.timeout"); ++i) {
      auto reply = co_await store->ask({.key = "k"}, Deadline::after(50ms));
      out->push_back(reply ? "an answer" : reply.error().code);
    }
  });
  REQUIRE(said.size() > 1);
  CHECK(said.front() == "kv.timeout");
  CHECK(said.back() == "kv.connect");
}

TEST_CASE("so many questions are on their way and no more") {
  Listener silent;
  Loop loop;
  const auto said = loop.run(
      silent.at,
      [](RedisStore* store, std::vector<std::string>* out) -> Task<void> {
        Context& context = co_await this_context();
        Nursery nursery(*context.executor);
        for (int i = 0; i < 3; ++i) nursery.spawn(get(store, out));
        co_await nursery.join();
      },
      200ms, 2);
  REQUIRE(said.size() == 3);
  CHECK(said[0] == "kv.busy");
}

}  // namespace postern::redis

// What both runtimes promise, by the same tests: libuv over loopback, and the simulation under several seeds.
#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "core/net/transport_test.h"
#include "postern/random.h"
#include "postern/sim.h"

using namespace postern;
using namespace postern::test;

namespace {

constexpr unsigned kPoolQueue = 64;

struct OnUv {
  static std::unique_ptr<Runtime> make(unsigned workers) {
    RuntimeOptions options;
    options.workers = workers;
    options.disk_threads = 2;
    options.cpu_threads = 1;
    options.pool_queue = kPoolQueue;
    return make_uv_runtime(options);
  }
};

template <std::uint64_t kSeed>
struct OnSim {
  static std::unique_ptr<Runtime> make(unsigned workers) {
    SimOptions options;
    options.seed = kSeed;
    options.workers = workers;
    options.pool_queue = kPoolQueue;
    return std::make_unique<SimRuntime>(options);
  }
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

}  // namespace

#define ON_BOTH(name) TEST_CASE_TEMPLATE(name, World, OnUv, OnSim<1>, OnSim<2>, OnSim<99>)

ON_BOTH("what a client sends comes back whole, however large") {
  auto runtime = World::make(1);
  Executor& executor = runtime->worker(0);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  CHECK((*bound)->endpoint().port != 0);
  EchoServer server(executor, **bound);
  const std::string sent = pattern(1'000'000);
  Client client(executor, {(*bound)->endpoint(), {}}, sent, [&](Client&) { runtime->stop(); });
  runtime->run();
  CHECK(client.error == 0);
  CHECK((client.received == sent));
  CHECK(client.peer == (*bound)->endpoint());
  CHECK(client.local.ip.is_loopback());
}

ON_BOTH("many clients at once are served on all workers, each by one") {
  auto runtime = World::make(3);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  std::vector<std::unique_ptr<EchoServer>> servers;
  for (unsigned i = 0; i < 3; ++i) servers.push_back(std::make_unique<EchoServer>(runtime->worker(i), **bound));
  constexpr int kClients = 60;
  int open = kClients;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kClients; ++i)
    clients.push_back(std::make_unique<Client>(runtime->worker(0), Executor::ConnectOptions{(*bound)->endpoint(), {}},
                                               "hello " + std::to_string(i), [&](Client&) {
                                                 if (--open == 0) runtime->stop();
                                               }));
  runtime->run();
  for (int i = 0; i < kClients; ++i)
    CHECK(clients[static_cast<std::size_t>(i)]->received == "hello " + std::to_string(i));
  int accepted = 0;
  for (const auto& server : servers) {
    CHECK(server->accepted > 0);
    accepted += server->accepted;
  }
  CHECK(accepted == kClients);
}

ON_BOTH("a connect to nobody is refused, and tells so from the loop") {
  auto runtime = World::make(1);
  Endpoint nobody;
  {
    auto bound = runtime->bind(loopback());
    REQUIRE(bound);
    nobody = (*bound)->endpoint();
  }
  bool inside = true;
  Client client(runtime->worker(0), {nobody, {}}, "x", [&](Client&) {
    CHECK(!inside);
    runtime->stop();
  });
  inside = false;
  runtime->run();
  CHECK(client.error == ECONNREFUSED);
}

ON_BOTH("an abandoned connect says nothing") {
  auto runtime = World::make(1);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  EchoServer server(runtime->worker(0), **bound);
  bool told = false;
  Client client(runtime->worker(0), {(*bound)->endpoint(), {}}, "x", [&](Client&) { told = true; });
  client.abandon();
  Timer timer([&] { runtime->stop(); });
  runtime->worker(0).arm(timer, runtime->worker(0).now() + 50ms);
  runtime->run();
  CHECK(!told);
}

ON_BOTH("a connect leaves from the source address that was asked for") {
  auto runtime = World::make(1);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  EchoServer server(runtime->worker(0), **bound);
  Client client(runtime->worker(0), {(*bound)->endpoint(), IpAddress::parse("127.0.0.2")}, "x",
                [&](Client&) { runtime->stop(); });
  runtime->run();
  CHECK(client.received == "x");
  CHECK(client.local.ip.to_string() == "127.0.0.2");
}

namespace {

/// Resets its connection as soon as it stands.
class Resetter final : public ConnectEvents {
 public:
  Resetter(Executor& executor, const Endpoint& to) : connecting_(executor.connect({to, {}}, *this)) {}
  void on_connected(std::unique_ptr<Socket> socket, int error) override {
    CHECK(error == 0);
    socket->reset();
    CHECK(socket->try_write(std::array{std::string_view("x")}) < 0);
  }

 private:
  std::unique_ptr<Connecting> connecting_;
};

/// Accepts, detaches, and hands connections to another worker, which echoes.
class Mover final : public AcceptEvents {
 public:
  Mover(Executor& from, Executor& to, BoundEndpoint& bound) : to_(to), acceptor_(from.accept(bound, *this)) {}
  void on_connection(std::unique_ptr<Socket> socket) override {
    auto shared = std::make_shared<std::unique_ptr<DetachedSocket>>(socket->detach());
    to_.post_remote_fn([this, shared] {
      peer_ = std::make_unique<EchoPeer>(to_.adopt(std::move(*shared)),
                                         [this](EchoPeer&) { to_.post_fn([this] { peer_.reset(); }); });
    });
  }

 private:
  Executor& to_;
  std::unique_ptr<EchoPeer> peer_;
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace

ON_BOTH("a reset reaches the other side as an error") {
  auto runtime = World::make(1);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  Executor& executor = runtime->worker(0);
  EchoServer server(executor, **bound);
  Resetter resetter(executor, (*bound)->endpoint());
  Timer timer([&] {
    if (server.last_error != 0) return runtime->stop();
    executor.arm(timer, executor.now() + 2ms);
  });
  executor.arm(timer, executor.now() + 2ms);
  runtime->run();
  CHECK(server.last_error == ECONNRESET);
  CHECK(server.peers() == 0);
}

ON_BOTH("a connection moves to another worker with what has arrived") {
  auto runtime = World::make(2);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  Mover mover(runtime->worker(0), runtime->worker(1), **bound);
  const std::string sent = pattern(200'000);
  Client client(runtime->worker(0), {(*bound)->endpoint(), {}}, sent, [&](Client&) { runtime->stop(); });
  runtime->run();
  CHECK(client.error == 0);
  CHECK((client.received == sent));
}

ON_BOTH("a paused acceptor leaves connections waiting until it resumes") {
  auto runtime = World::make(1);
  Executor& executor = runtime->worker(0);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  EchoServer server(executor, **bound);
  server.acceptor().pause();
  Client client(executor, {(*bound)->endpoint(), {}}, "late", [&](Client&) { runtime->stop(); });
  int accepted_while_paused = -1;
  Timer timer([&] {
    accepted_while_paused = server.accepted;
    server.acceptor().resume();
  });
  executor.arm(timer, executor.now() + 50ms);
  runtime->run();
  CHECK(accepted_while_paused == 0);
  CHECK(client.received == "late");
}

ON_BOTH("timers fire in order and not before their time") {
  auto runtime = World::make(1);
  Executor& executor = runtime->worker(0);
  const Instant start = executor.now();
  std::vector<int> order;
  std::vector<Duration> after;
  const auto note = [&](int which) {
    order.push_back(which);
    after.push_back(executor.now() - start);
  };
  Timer first([&] { note(10); });
  Timer second([&] { note(30); });
  Timer never([&] { note(-1); });
  Timer last([&] {
    note(60);
    runtime->stop();
  });
  executor.arm(last, start + 60ms);
  executor.arm(second, start + 30ms);
  executor.arm(never, start + 40ms);
  executor.arm(first, start + 10ms);
  executor.disarm(never);
  runtime->run();
  CHECK(order == std::vector<int>{10, 30, 60});
  for (std::size_t i = 0; i < order.size(); ++i) CHECK(after[i] >= std::chrono::milliseconds(order[i]));
}

ON_BOTH("posted work runs in order: this turn before the next") {
  auto runtime = World::make(1);
  Executor& executor = runtime->worker(0);
  std::string order;
  Job now_two([&] { order += "2"; });
  Job later([&] {
    order += "L";
    runtime->stop();
  });
  Job now_one([&] {
    order += "1";
    executor.post(now_two);  // still before what waits for the next turn
  });
  executor.post_later(later);
  executor.post(now_one);
  CHECK(order.empty());
  runtime->run();
  CHECK(order == "12L");
}

ON_BOTH("messages from worker to worker keep their order") {
  auto runtime = World::make(2);
  std::vector<int> seen;
  runtime->worker(0).post_fn([&] {
    for (int i = 0; i < 500; ++i)
      runtime->worker(1).post_remote_fn([&, i] {
        seen.push_back(i);
        if (i == 499) runtime->stop();
      });
  });
  runtime->run();
  CHECK(seen.size() == 500);
  CHECK(std::ranges::is_sorted(seen));
}

ON_BOTH("pools run jobs and their ends come back to the loop") {
  auto runtime = World::make(1);
  Executor& executor = runtime->worker(0);
  const auto loop_thread = std::this_thread::get_id();
  std::atomic<int> ran{0};
  int back = 0;
  std::vector<std::unique_ptr<Job>> ends;
  std::vector<std::unique_ptr<Job>> jobs;
  for (int i = 0; i < 50; ++i) {
    ends.push_back(std::make_unique<Job>([&] {
      CHECK(std::this_thread::get_id() == loop_thread);
      if (++back == 50) runtime->stop();
    }));
    jobs.push_back(std::make_unique<Job>([&, end = ends.back().get()] {
      ++ran;
      executor.post_remote(*end);
    }));
  }
  executor.post_fn([&] {
    for (std::size_t i = 0; i < jobs.size(); ++i) executor.submit(i % 2 == 0 ? Pool::kDisk : Pool::kCpu, *jobs[i]);
  });
  runtime->run();
  CHECK(ran == 50);
  CHECK(back == 50);
}

ON_BOTH("a full pool refuses instead of growing") {
  auto runtime = World::make(1);
  Executor& executor = runtime->worker(0);
  std::atomic<bool> release{false};
  std::atomic<int> ran{0};
  std::vector<std::unique_ptr<Job>> jobs;
  int refused = 0;
  for (unsigned i = 0; i < 2 * kPoolQueue; ++i)
    jobs.push_back(std::make_unique<Job>([&] {
      while (!release) std::this_thread::yield();
      ++ran;
    }));
  for (auto& job : jobs) try {
      executor.submit(Pool::kCpu, *job);
    } catch (const Overloaded&) {
      ++refused;
    }
  CHECK(refused >= static_cast<int>(kPoolQueue) - 1);  // a thread may have taken one out of the queue
  CHECK(refused <= static_cast<int>(kPoolQueue));
  release = true;
  Timer timer([&] {
    if (ran == static_cast<int>(jobs.size()) - refused) return runtime->stop();
    executor.arm(timer, executor.now() + 2ms);
  });
  executor.arm(timer, executor.now() + 2ms);
  runtime->run();
  CHECK(ran == static_cast<int>(jobs.size()) - refused);
}

ON_BOTH("a lane runs one job after the other, in the order posted, and all before its end") {
  auto runtime = World::make(1);
  std::vector<int> order;
  std::vector<std::unique_ptr<Job>> jobs;
  for (int i = 0; i < 300; ++i) jobs.push_back(std::make_unique<Job>([&order, i] { order.push_back(i); }));
  {
    auto lane = runtime->make_lane("test");
    for (auto& job : jobs) lane->post(*job);
  }
  CHECK(order.size() == 300);
  CHECK(std::ranges::is_sorted(order));
}

ON_BOTH("an address in use by a Unix socket or none at all is told as a fault") {
  auto runtime = World::make(1);
  const Endpoint path = *Endpoint::parse("unix:/tmp/postern-runtime-test-" + random_base32(12));
  auto first = runtime->bind(path);
  REQUIRE(first);
  std::unique_ptr<EchoServer> server = std::make_unique<EchoServer>(runtime->worker(0), **first);
  auto second = runtime->bind(path);
  REQUIRE(!second);
  CHECK(second.error().code == "listen.in_use");
  server.reset();
  first->reset();
  CHECK(runtime->bind(path));
}

ON_BOTH("a Unix socket spreads connections over workers and knows its peer's user") {
  auto runtime = World::make(2);
  const Endpoint path = *Endpoint::parse("unix:/tmp/postern-runtime-test-" + random_base32(12));
  auto bound = runtime->bind(path);
  REQUIRE(bound);
  EchoServer first(runtime->worker(0), **bound);
  EchoServer second(runtime->worker(1), **bound);
  const std::string sent = pattern(100'000);
  int open = 16;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 16; ++i)
    clients.push_back(
        std::make_unique<Client>(runtime->worker(0), Executor::ConnectOptions{path, {}}, sent, [&](Client& client) {
          CHECK(client.socket().peer_uid() != ~0U);
          CHECK(client.peer.is_unix());
          if (--open == 0) runtime->stop();
        }));
  runtime->run();
  for (auto& client : clients) CHECK((client->received == sent));
  CHECK(first.accepted + second.accepted == 16);
  CHECK(first.accepted > 0);
  CHECK(second.accepted > 0);
}

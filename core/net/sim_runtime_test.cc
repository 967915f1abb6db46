// What the simulation promises beyond the Executor: repeatable runs, virtual time, faults on request.
#include <doctest/doctest.h>

#include <cerrno>

#include "core/net/transport_test.h"
#include "postern/random.h"
#include "postern/sim.h"

using namespace postern;
using namespace postern::test;

namespace {

SimOptions seeded(std::uint64_t seed) {
  SimOptions options;
  options.seed = seed;
  return options;
}

const Endpoint kAddress = *Endpoint::parse("192.0.2.1:25");

/// One run with clients, jobs and faults; its trace tells two runs apart.
std::string trace(std::uint64_t seed) {
  SimOptions options = seeded(seed);
  options.workers = 3;
  options.reset_chance = 0.01;
  SimRuntime sim(options);
  auto bound = sim.bind(kAddress);
  REQUIRE(bound);
  std::vector<std::unique_ptr<EchoServer>> servers;
  for (unsigned i = 0; i < 3; ++i) servers.push_back(std::make_unique<EchoServer>(sim.worker(i), **bound));
  std::vector<std::unique_ptr<SimClient>> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(sim.connect(kAddress));
    clients.back()->send("hello " + std::to_string(i) + std::string(200, 'x'));
  }
  sim.run_until_idle();
  std::string out = std::to_string(sim.events()) + "@" + std::to_string(sim.now().time_since_epoch().count());
  for (const auto& client : clients)
    out += " " + std::to_string(client->received().size()) + "/" + std::to_string(client->error());
  for (const auto& server : servers) out += " " + std::to_string(server->accepted);
  return out;
}

}  // namespace

TEST_CASE("one seed is one run, and another seed another") {
  CHECK(trace(1) == trace(1));
  CHECK(trace(2) == trace(2));
  CHECK(trace(1) != trace(2));
}

TEST_CASE("a test's client talks with a server in the simulation") {
  SimRuntime sim(seeded(5));
  auto bound = sim.bind(kAddress);
  REQUIRE(bound);
  EchoServer server(sim.worker(0), **bound);
  auto client = sim.connect(kAddress, *Endpoint::parse("198.51.100.7:1234"));
  CHECK(!client->connected());
  client->send("hello");
  sim.run_until_idle();
  CHECK(client->connected());
  CHECK(client->take() == "hello");
  client->send("again");
  client->finish();
  sim.run_until_idle();
  CHECK(client->received() == "again");
  CHECK(client->ended());
  CHECK(client->error() == 0);
  CHECK(server.peers() == 0);
}

TEST_CASE("a server sees the address that its client claims") {
  SimRuntime sim;
  auto bound = sim.bind(*Endpoint::parse("0.0.0.0:25"));
  REQUIRE(bound);
  struct Keep final : AcceptEvents {
    void on_connection(std::unique_ptr<Socket> taken) override { socket = std::move(taken); }
    std::unique_ptr<Socket> socket;
  } keep;
  auto acceptor = sim.worker(0).accept(**bound, keep);
  auto client = sim.connect(kAddress, *Endpoint::parse("198.51.100.7:1234"));
  sim.run_until_idle();
  REQUIRE(keep.socket);
  CHECK(keep.socket->peer().to_string() == "198.51.100.7:1234");
  CHECK(keep.socket->local() == kAddress);
}

TEST_CASE("a test's listener answers a client in the simulation") {
  SimRuntime sim(seeded(6));
  auto smarthost = sim.listen(*Endpoint::parse("203.0.113.5:25"));
  Client client(sim.worker(0), {smarthost->endpoint(), {}}, "EHLO x\r\n", [](Client&) {});
  sim.run_until_idle();
  auto peer = smarthost->accept();
  REQUIRE(peer);
  CHECK(!smarthost->accept());
  CHECK(peer->received() == "EHLO x\r\n");
  peer->send("250 y\r\n");
  peer->close();
  sim.run_until_idle();
  CHECK(client.received == "250 y\r\n");
  CHECK(client.error == 0);
}

TEST_CASE("hours pass at once, and idle does not wait for timers") {
  SimRuntime sim;
  Executor& executor = sim.worker(0);
  const Instant start = executor.now();
  const WallTime wall = executor.wall();
  int fired = 0;
  Timer timer([&] { ++fired; });
  executor.arm(timer, start + 5h);
  sim.run_until_idle();
  CHECK(fired == 0);
  sim.run_for(4h + 59min);
  CHECK(fired == 0);
  CHECK(executor.now() == start + 4h + 59min);
  sim.run_for(1min);
  CHECK(fired == 1);
  CHECK(executor.wall() == wall + 5h);
}

TEST_CASE("run_until stops with its condition or its limit") {
  SimRuntime sim;
  Executor& executor = sim.worker(0);
  const Instant start = executor.now();
  bool done = false;
  Timer timer([&] { done = true; });
  executor.arm(timer, start + 2s);
  CHECK(!sim.run_until([&] { return done; }, 1s));
  CHECK(executor.now() == start + 1s);
  CHECK(sim.run_until([&] { return done; }, 1h));
  CHECK(executor.now() < start + 3s);
}

TEST_CASE("run() ends when nothing can happen any more") {
  SimRuntime sim;
  int fired = 0;
  Timer timer([&] { ++fired; });
  sim.worker(0).arm(timer, sim.now() + 24h);
  sim.run();
  CHECK(fired == 1);
}

TEST_CASE("behind a black hole a connect gets no answer") {
  SimRuntime sim;
  auto listener = sim.listen(kAddress);
  sim.black_hole(kAddress);
  bool told = false;
  Client client(sim.worker(0), {kAddress, {}}, "x", [&](Client&) { told = true; });
  sim.run_for(1h);
  CHECK(!told);
  CHECK(!listener->accept());
  sim.black_hole(kAddress, false);
  auto second = sim.connect(kAddress);
  sim.run_until_idle();
  CHECK(second->connected());
}

TEST_CASE("faults come when asked for") {
  SimOptions options;
  options.refuse_chance = 1;
  SimRuntime sim(options);
  auto listener = sim.listen(kAddress);
  auto refused = sim.connect(kAddress);
  sim.run_until_idle();
  CHECK(refused->error() == ECONNREFUSED);
  sim.options().refuse_chance = 0;
  auto client = sim.connect(kAddress);
  sim.run_until_idle();
  auto peer = listener->accept();
  REQUIRE(peer);
  sim.options().reset_chance = 1;
  client->send("x");
  sim.run_until_idle();
  CHECK(client->error() == ECONNRESET);
  CHECK(peer->error() == ECONNRESET);
  CHECK(peer->received().empty());
}

TEST_CASE("a peer that does not read stops the writer at the window") {
  SimOptions options;
  options.window = 1000;
  SimRuntime sim(options);
  auto listener = sim.listen(kAddress);
  auto client = sim.connect(kAddress);
  sim.run_until_idle();
  auto peer = listener->accept();
  REQUIRE(peer);
  peer->pause_reading(true);
  client->send(std::string(5000, 'x'));
  client->finish();
  sim.run_until_idle();
  CHECK(peer->received().empty());
  CHECK(!peer->ended());
  peer->pause_reading(false);
  sim.run_until_idle();
  CHECK(peer->received().size() == 5000);
  CHECK(peer->ended());
}

TEST_CASE("data that reaches a closed end resets the connection") {
  SimRuntime sim;
  auto listener = sim.listen(kAddress);
  auto client = sim.connect(kAddress);
  sim.run_until_idle();
  listener->accept()->close();
  client->send("too late");
  sim.run_until_idle();
  CHECK(client->ended());
  client->send("and again");
  sim.run_until_idle();
  CHECK(client->error() != 0);
}

TEST_CASE("data arrives in odd pieces") {
  SimOptions options = seeded(11);
  options.split_chance = 0.9;
  SimRuntime sim(options);
  auto bound = sim.bind(kAddress);
  REQUIRE(bound);
  struct Count final : AcceptEvents, SocketEvents {
    void on_connection(std::unique_ptr<Socket> taken) override {
      socket = std::move(taken);
      socket->start(*this);
    }
    std::span<char> on_room(std::size_t) override { return room; }
    void on_data(std::size_t octets) override {
      ++reads;
      received.append(room, octets);
    }
    void on_end(int) override {}
    void on_written(int) override {}
    char room[4096];
    int reads = 0;
    std::string received;
    std::unique_ptr<Socket> socket;
  } count;
  auto acceptor = sim.worker(0).accept(**bound, count);
  auto client = sim.connect(kAddress);
  sim.run_until_idle();
  const std::string line = "RCPT TO:<somebody@example.org>\r\n";
  std::string sent;
  for (int i = 0; i < 50; ++i) {
    client->send(line);
    sent += line;
    sim.run_until_idle();
  }
  CHECK(count.received == sent);
  CHECK(count.reads > 150);  // each line in more than three pieces, on average
}

TEST_CASE("the simulation has no foreign descriptors, and says so") {
  SimRuntime sim;
  CHECK_THROWS_AS((void)sim.worker(0).watch(0, [](bool, bool) {}), Error);
}

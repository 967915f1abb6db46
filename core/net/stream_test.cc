// Tasks, nurseries, waits and streams over the simulated executor: many seeds, so that data comes in odd pieces.
#include "postern/stream.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "postern/nursery.h"
#include "postern/sim.h"
#include "postern/sync.h"

using namespace postern;

namespace {

struct Heard {
  std::vector<std::string> lines;
  std::string error;
};

Task<void> read_lines(Executor* executor, std::unique_ptr<Socket> socket, Heard* heard, Duration patience) {
  Stream stream(*executor, std::move(socket));
  try {
    for (;;) {
      Stream::Line line{};
      bool too_long = false;
      try {
        line = co_await stream.read_line(20, Deadline::after(patience));
      } catch (const LineTooLong&) {
        too_long = true;
      }
      heard->lines.push_back(too_long ? "<too long>" : std::string(line.text) + (line.bare_lf ? "<lf>" : ""));
      stream.put("ok ");
      stream.put(heard->lines.back());
      stream.put("\r\n");
      if (stream.buffered().find('\n') == std::string_view::npos) co_await stream.flush(Deadline::after(patience));
    }
  } catch (const std::exception& e) {
    heard->error = e.what();
  }
}

/// A server on one worker of a simulation that hands each connection to read_lines().
struct LineServer {
  SimRuntime sim;
  std::unique_ptr<BoundEndpoint> bound;
  Nursery nursery;
  Heard heard;
  Listener listener;
  explicit LineServer(std::uint64_t seed, Duration patience = 1min)
      : sim({.seed = seed}),
        bound(std::move(*sim.bind(*Endpoint::parse("192.0.2.1:25")))),
        nursery(sim.worker(0)),
        listener(sim.worker(0), *bound, [this, patience](std::unique_ptr<Socket> socket) {
          nursery.spawn(read_lines(&sim.worker(0), std::move(socket), &heard, patience));
        }) {}
  ~LineServer() {
    nursery.cancel();
    sim.run_until_idle();
  }
};

Task<int> answer(int value) {
  co_return value;
}
Task<int> late(int value, Duration after) {
  co_await sleep_for(after);
  co_return value;
}
Task<int> broken() {
  co_await sleep_for(1ms);
  throw ProtocolError("broken");
}

template <class F>
void in_simulation(F body) {
  SimRuntime sim;
  Nursery nursery(sim.worker(0));
  bool ended = false;
  nursery.spawn(body(&sim, &ended));
  sim.run();
  CHECK(ended);
}

}  // namespace

TEST_CASE("lines come whole however the wire cuts them") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    LineServer server(seed);
    auto client = server.sim.connect(server.bound->endpoint());
    client->send("one\r\ntwo\nthis line is far longer than twenty octets\r\n\r\nexactly twenty octet\r\nlast\r\n");
    server.sim.run_until_idle();
    CHECK(server.heard.lines ==
          std::vector<std::string>{"one", "two<lf>", "<too long>", "", "exactly twenty octet", "last"});
    CHECK(client->received() ==
          "ok one\r\nok two<lf>\r\nok <too long>\r\nok \r\nok exactly twenty octet\r\nok last\r\n");
  }
}

TEST_CASE("an endless line holds no memory and is refused once it ends") {
  LineServer server(3);
  auto client = server.sim.connect(server.bound->endpoint());
  for (int i = 0; i < 100; ++i) {
    client->send(std::string(10'000, 'a'));
    server.sim.run_until_idle();
  }
  CHECK(server.heard.lines.empty());
  client->send("\r\nnext\r\n");
  server.sim.run_until_idle();
  CHECK(server.heard.lines == std::vector<std::string>{"<too long>", "next"});
}

TEST_CASE("a reader hears of the end, of silence and of cancellation") {
  {
    LineServer server(1);
    auto client = server.sim.connect(server.bound->endpoint());
    client->send("half a li");
    client->finish();
    server.sim.run_until_idle();
    CHECK(server.heard.error == "connection closed by peer");
  }
  {
    LineServer server(1, 5s);
    auto client = server.sim.connect(server.bound->endpoint());
    server.sim.run_for(4s);
    CHECK(server.heard.error.empty());
    server.sim.run_for(2s);
    CHECK(server.heard.error == "timed out");
  }
  {
    LineServer server(1);
    auto client = server.sim.connect(server.bound->endpoint());
    server.sim.run_until_idle();
    server.nursery.cancel();
    server.sim.run_until_idle();
    CHECK(server.heard.error == "cancelled");
    CHECK(server.nursery.size() == 0);
  }
}

namespace {
Task<void> send_much(Executor* executor, std::unique_ptr<Socket> socket, std::string text, std::string* error) {
  Stream stream(*executor, std::move(socket));
  try {
    stream.put("head ");
    co_await stream.write(text, Deadline::after(10s));
    stream.put(" tail");
    co_await stream.flush(Deadline::after(10s));
    stream.close();
  } catch (const std::exception& e) {
    *error = e.what();
  }
}
}  // namespace

TEST_CASE("a writer waits for a slow reader, in order and whole, and not for ever") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SimRuntime sim({.seed = seed});
    auto bound = std::move(*sim.bind(*Endpoint::parse("192.0.2.1:25")));
    Nursery nursery(sim.worker(0));
    std::string error;
    const std::string text(300'000, 'x');
    Listener listener(sim.worker(0), *bound, [&](std::unique_ptr<Socket> socket) {
      nursery.spawn(send_much(&sim.worker(0), std::move(socket), text, &error));
    });
    auto client = sim.connect(bound->endpoint());
    client->pause_reading(true);
    sim.run_for(1s);
    CHECK(nursery.size() == 1);
    if (seed % 2) {
      client->pause_reading(false);
      sim.run_until_idle();
      CHECK(client->received() == "head " + text + " tail");
      CHECK(error.empty());
    } else {
      sim.run_for(20s);
      CHECK(error == "timed out");
    }
    sim.run_until_idle();
    CHECK(nursery.size() == 0);
  }
}

namespace {
Task<void> moving_out(Executor* from, Executor* to, std::unique_ptr<Socket> socket, Nursery* there, Heard* heard);
Task<void> moved(Executor* executor, DetachedStream detached, Heard* heard) {
  Stream stream(*executor, std::move(detached));
  for (int i = 0; i < 2; ++i) {
    auto line = co_await stream.read_line(100, Deadline::after(1min));
    heard->lines.emplace_back(line.text);
  }
  co_await stream.write("moved\r\n", Deadline::after(1min));
}
Task<void> moving_out(Executor* from, Executor* to, std::unique_ptr<Socket> socket, Nursery* there, Heard* heard) {
  Stream stream(*from, std::move(socket));
  auto line = co_await stream.read_line(100, Deadline::after(1min));
  heard->lines.emplace_back(line.text);
  auto detached = std::make_shared<DetachedStream>(stream.detach());
  to->post_remote_fn([=] { there->spawn(moved(to, std::move(*detached), heard)); });
}
}  // namespace

TEST_CASE("a stream moves to another worker with what it has read") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SimRuntime sim({.seed = seed, .workers = 2});
    auto bound = std::move(*sim.bind(*Endpoint::parse("192.0.2.1:25")));
    Nursery here(sim.worker(0)), there(sim.worker(1));
    Heard heard;
    Listener listener(sim.worker(0), *bound, [&](std::unique_ptr<Socket> socket) {
      here.spawn(moving_out(&sim.worker(0), &sim.worker(1), std::move(socket), &there, &heard));
    });
    auto client = sim.connect(bound->endpoint());
    client->send("first\r\nsecond\r\nthi");
    sim.run_for(100ms);
    client->send("rd\r\n");
    sim.run_until_idle();
    CHECK(heard.lines == std::vector<std::string>{"first", "second", "third"});
    CHECK(client->received() == "moved\r\n");
  }
}

TEST_CASE("when_all gathers results, and one failure ends the others") {
  in_simulation([](SimRuntime*, bool* ended) -> Task<void> {
    auto [a, b] = co_await when_all(answer(1), late(2, 5ms));
    CHECK(a + b == 3);
    std::string caught;
    try {
      co_await when_all(late(1, 1h), broken());
    } catch (const ProtocolError& e) {
      caught = e.what();
    }
    CHECK(caught == "broken");
    *ended = true;
  });
}

TEST_CASE("first_of returns the first and cancels the rest") {
  in_simulation([](SimRuntime* sim, bool* ended) -> Task<void> {
    const Instant before = sim->now();
    CHECK(co_await first_of(late(1, 1h), late(2, 1s)) == 2);
    CHECK(sim->now() - before < 2s);
    *ended = true;
  });
}

TEST_CASE("a semaphore serves in order, an event wakes all, a channel is bounded") {
  in_simulation([](SimRuntime*, bool* ended) -> Task<void> {
    Semaphore semaphore(1);
    co_await semaphore.acquire(Deadline::never());
    bool timed_out = false;
    try {
      co_await semaphore.acquire(Deadline::after(1s));
    } catch (const TimedOut&) {
      timed_out = true;
    }
    CHECK(timed_out);
    semaphore.release();
    co_await semaphore.acquire(Deadline::after(1s));
    CHECK(semaphore.available() == 0);
    Channel<int> channel(2);
    CHECK(channel.try_push(1));
    CHECK(channel.try_push(2));
    CHECK_FALSE(channel.try_push(3));
    CHECK(co_await channel.pop(Deadline::after(1s)) == 1);
    channel.close();
    CHECK(co_await channel.pop(Deadline::after(1s)) == 2);
    bool closed = false;
    try {
      co_await channel.pop(Deadline::after(1s));
    } catch (const Closed&) {
      closed = true;
    }
    CHECK(closed);
    *ended = true;
  });
}

TEST_CASE("a pool's work comes back with its result or its exception") {
  in_simulation([](SimRuntime* sim, bool* ended) -> Task<void> {
    CHECK(co_await run_blocking(Pool::kDisk, [] { return 7; }) == 7);
    bool caught = false;
    try {
      co_await run_blocking(Pool::kCpu, []() -> int { throw Closed("no"); });
    } catch (const Closed&) {
      caught = true;
    }
    CHECK(caught);
    CHECK(co_await run_on(sim->worker(0), [] { return 8; }) == 8);
    *ended = true;
  });
}

// What only the real system can show: signals, descriptors, files of Unix sockets, sleep, sizes.
#include "core/net/uv_runtime.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/net/transport_test.h"
#include "core/net/uv_address.h"
#include "core/net/uv_socket.h"

using namespace postern;
using namespace postern::test;

namespace {

std::unique_ptr<Runtime> with_workers(unsigned count) {
  RuntimeOptions options;
  options.workers = count;
  options.disk_threads = 2;
  options.cpu_threads = 1;
  return make_uv_runtime(options);
}

struct TempFolder {
  TempFolder() {
    char name[] = "/tmp/postern-net-XXXXXX";
    path = mkdtemp(name);
  }
  ~TempFolder() { std::filesystem::remove_all(path); }
  std::string path;
};

/// Processor time that this process has used.
Duration cpu_time() {
  timespec spent{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
  return std::chrono::seconds(spent.tv_sec) + Duration(spent.tv_nsec);
}

/// Accepts one connection and takes nothing from it.
class DeafServer final : public AcceptEvents, public SocketEvents {
 public:
  DeafServer(Executor& executor, BoundEndpoint& bound) : acceptor_(executor.accept(bound, *this)) {}
  void on_connection(std::unique_ptr<Socket> socket) override {
    socket_ = std::move(socket);
    socket_->start(*this);
  }
  std::span<char> on_room(std::size_t) override { return listening ? std::span<char>(room_) : std::span<char>(); }
  void on_data(std::size_t octets) override { received += octets; }
  void on_end(int) override { ended = true; }
  void on_written(int) override {}
  void listen() {
    listening = true;
    socket_->resume_reading();
  }
  bool listening = false;
  bool ended = false;
  std::size_t received = 0;

 private:
  char room_[65536];
  std::unique_ptr<Socket> socket_;
  std::unique_ptr<Acceptor> acceptor_;
};

}  // namespace

TEST_CASE("an idle connection costs one small block") {
  CHECK(sizeof(UvSocket) < 400);
}

TEST_CASE("a signal calls its handler on worker 0") {
  auto runtime = with_workers(2);
  const auto main_thread = std::this_thread::get_id();
  int hangups = 0;
  runtime->on_signal(SIGHUP, [&] {
    CHECK(std::this_thread::get_id() == main_thread);
    if (++hangups == 2) return runtime->stop();
    kill(getpid(), SIGHUP);
  });
  runtime->worker(0).post_fn([] { kill(getpid(), SIGHUP); });
  runtime->run();
  CHECK(hangups == 2);
}

TEST_CASE("an idle runtime with far timers sleeps") {
  auto runtime = with_workers(2);
  Executor& executor = runtime->worker(0);
  Timer far([] {});
  Timer end([&] { runtime->stop(); });
  executor.arm(far, executor.now() + 5min);
  executor.arm(end, executor.now() + 300ms);
  const Duration before = cpu_time();
  runtime->run();
  CHECK(cpu_time() - before < 100ms);
  executor.disarm(far);
}

TEST_CASE("stop() may be called from any thread, also before run()") {
  auto runtime = with_workers(2);
  std::thread other([&] { runtime->stop(); });
  runtime->run();
  other.join();
  auto second = with_workers(1);
  second->stop();
  second->run();
}

TEST_CASE("jobs that pools took before the end are done, and their ends are told") {
  auto runtime = with_workers(1);
  Executor& executor = runtime->worker(0);
  bool told = false;
  Job end([&] { told = true; });
  Job slow([&] {
    std::this_thread::sleep_for(50ms);
    executor.post_remote(end);
  });
  executor.post_fn([&] {
    executor.submit(Pool::kDisk, slow);
    runtime->stop();
  });
  runtime->run();
  CHECK(told);
}

TEST_CASE("a reader that does not read holds the writer, and nothing is lost") {
  auto runtime = with_workers(1);
  Executor& executor = runtime->worker(0);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  DeafServer server(executor, **bound);
  const std::size_t size = 20'000'000;  // more than loopback's buffers hold
  Client client(executor, {(*bound)->endpoint(), {}}, std::string(size, 'x'), [](Client&) {});
  Timer wake([&] {
    CHECK(server.received == 0);
    server.listen();
  });
  Timer poll([&] {
    if (server.ended) return runtime->stop();
    executor.arm(poll, executor.now() + 5ms);
  });
  executor.arm(wake, executor.now() + 100ms);
  executor.arm(poll, executor.now() + 5ms);
  runtime->run();
  CHECK(server.received == size);
}

TEST_CASE("a Unix socket's file has its mode, goes with its owner, and replaces only a dead one") {
  auto runtime = with_workers(1);
  TempFolder folder;
  const Endpoint at{{}, 0, folder.path + "/s"};
  {
    auto bound = runtime->bind(at, 0660);
    REQUIRE(bound);
    struct stat found{};
    REQUIRE(stat(at.path.c_str(), &found) == 0);
    CHECK((found.st_mode & 0777) == 0660);
  }
  CHECK(!std::filesystem::exists(at.path));
  // As a killed process leaves it: a socket's file that nobody listens on.
  const int dead = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const RawAddress address(at);
  REQUIRE(bind(dead, address.get(), address.size()) == 0);
  close(dead);
  CHECK(std::filesystem::exists(at.path));
  CHECK(runtime->bind(at));
  std::ofstream(at.path) << "a file";
  auto refused = runtime->bind(at);
  REQUIRE(!refused);
  CHECK(refused.error().code == "listen.not_a_socket");
  CHECK(std::filesystem::exists(at.path));
}

TEST_CASE("an address that cannot be had is a fault that names it") {
  auto runtime = with_workers(1);
  auto bound = runtime->bind(*Endpoint::parse("192.0.2.1:0"));  // nobody's (RFC 5737)
  REQUIRE(!bound);
  CHECK(bound.error().code == "listen.failed");
  CHECK(bound.error().detail.find("192.0.2.1") != std::string::npos);
}

TEST_CASE("an address belongs to one listener of one server, although its workers share it") {
  auto runtime = with_workers(2);
  auto first = runtime->bind(*Endpoint::parse("127.0.0.1:0"));
  REQUIRE(first);
  const Endpoint taken = (*first)->endpoint();
  auto twice = runtime->bind(taken);  // nobody listens yet
  REQUIRE(!twice);
  CHECK(twice.error().code == "listen.in_use");
  DeafServer server(runtime->worker(0), **first);
  auto other = with_workers(2);
  auto stolen = other->bind(taken);
  REQUIRE(!stolen);
  CHECK(stolen.error().code == "listen.in_use");
}

TEST_CASE("out of descriptors, connections wait in the backlog until there are some") {
  auto runtime = with_workers(1);
  Executor& executor = runtime->worker(0);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  EchoServer server(executor, **bound);
  std::vector<int> hogs;
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  Client client(executor, {(*bound)->endpoint(), {}}, "patient", [&](Client&) { runtime->stop(); });
  // The client has its descriptor; the server's end finds none left.
  rlimit tight{64, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &tight);
  for (int fd = dup(0); fd >= 0; fd = dup(0)) hogs.push_back(fd);
  int accepted_meanwhile = -1;
  const Duration cpu_before = cpu_time();
  Timer release([&] {
    accepted_meanwhile = server.accepted;
    CHECK(cpu_time() - cpu_before < 100ms);  // it does not spin
    for (const int fd : hogs) close(fd);
    setrlimit(RLIMIT_NOFILE, &before);
  });
  executor.arm(release, executor.now() + 250ms);
  runtime->run();
  CHECK(!hogs.empty());
  CHECK(accepted_meanwhile == 0);
  CHECK(client.received == "patient");
}

TEST_CASE("a foreign descriptor is watched for what was asked, until the watch ends") {
  auto runtime = with_workers(1);
  Executor& executor = runtime->worker(0);
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
  std::string log;
  std::unique_ptr<FdWatch> watch;
  watch = executor.watch(ends[0], [&](bool readable, bool writable) {
    if (writable) {
      log += "w";
      watch->update(true, false);
      CHECK(write(ends[1], "x", 1) == 1);
    } else if (readable) {
      log += "r";
      watch.reset();  // from inside its own call; the octet stays unread and must not be told again
    }
  });
  watch->update(false, true);
  Timer end([&] { runtime->stop(); });
  executor.arm(end, executor.now() + 50ms);
  runtime->run();
  CHECK(log == "wr");
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("a socket may be destroyed in its own event, and an acceptor in its own") {
  auto runtime = with_workers(1);
  Executor& executor = runtime->worker(0);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  struct Once final : AcceptEvents, SocketEvents {
    void on_connection(std::unique_ptr<Socket> taken) override {
      acceptor.reset();
      socket = std::move(taken);
      socket->start(*this);
    }
    std::span<char> on_room(std::size_t) override { return room; }
    void on_data(std::size_t) override { socket.reset(); }
    void on_end(int) override { FAIL("an event after the end"); }
    void on_written(int) override { FAIL("an event after the end"); }
    char room[4];
    std::unique_ptr<Socket> socket;
    std::unique_ptr<Acceptor> acceptor;
  } once;
  once.acceptor = executor.accept(**bound, once);
  Client client(executor, {(*bound)->endpoint(), {}}, "several reads long", [&](Client&) { runtime->stop(); });
  runtime->run();
  CHECK(client.error == ECONNRESET);  // unread octets were left behind
}

TEST_CASE("writing after our side has ended is answered with an error, from the loop") {
  auto runtime = with_workers(1);
  Executor& executor = runtime->worker(0);
  auto bound = runtime->bind(loopback());
  REQUIRE(bound);
  EchoServer server(executor, **bound);
  struct Late final : ConnectEvents, SocketEvents {
    explicit Late(Runtime& in) : runtime(in) {}
    void on_connected(std::unique_ptr<Socket> taken, int) override {
      socket = std::move(taken);
      socket->start(*this);
      socket->shutdown();
      CHECK(socket->try_write(std::array{std::string_view("late")}) < 0);
      socket->write("late");
      CHECK(!answered);
    }
    std::span<char> on_room(std::size_t) override { return room; }
    void on_data(std::size_t) override {}
    void on_end(int) override {}
    void on_written(int error) override {
      CHECK(error == EPIPE);
      answered = true;
      runtime.stop();
    }
    Runtime& runtime;
    char room[16];
    bool answered = false;
    std::unique_ptr<Socket> socket;
  } late(*runtime);
  auto connecting = executor.connect({(*bound)->endpoint(), {}}, late);
  runtime->run();
  CHECK(late.answered);
}

TEST_CASE("several producers fill a pool, and every job runs once") {
  ThreadPool pool("test", 3, 1024);
  std::atomic<int> ran{0};
  constexpr int kEach = 5000;
  std::vector<std::thread> producers;
  std::vector<std::vector<std::unique_ptr<Job>>> jobs(4);
  for (auto& mine : jobs)
    for (int i = 0; i < kEach; ++i) mine.push_back(std::make_unique<Job>([&ran] { ran.fetch_add(1); }));
  for (auto& mine : jobs)
    producers.emplace_back([&pool, &mine] {
      for (auto& job : mine) {
        bool taken = false;
        while (!taken) try {
            pool.submit(*job);
            taken = true;
          } catch (const Overloaded&) {
            std::this_thread::yield();
          }
      }
    });
  for (auto& producer : producers) producer.join();
  pool.stop();
  CHECK(ran == 4 * kEach);
  Job late([] {});
  CHECK_THROWS_AS(pool.submit(late), Overloaded);
}

TEST_CASE("several producers feed a lane, each in its own order") {
  std::vector<std::pair<int, int>> seen;
  constexpr int kEach = 3000;
  std::vector<std::vector<std::unique_ptr<Job>>> jobs(4);
  for (int p = 0; p < 4; ++p)
    for (int i = 0; i < kEach; ++i)
      jobs[static_cast<std::size_t>(p)].push_back(std::make_unique<Job>([&seen, p, i] { seen.emplace_back(p, i); }));
  {
    ThreadLane lane("test");
    std::vector<std::thread> producers;
    for (auto& mine : jobs)
      producers.emplace_back([&lane, &mine] {
        for (auto& job : mine) lane.post(*job);
      });
    for (auto& producer : producers) producer.join();
  }
  CHECK(seen.size() == 4 * kEach);
  int next[4] = {};
  bool ordered = true;
  for (const auto& [producer, i] : seen) ordered = ordered && next[producer]++ == i;
  CHECK(ordered);
}

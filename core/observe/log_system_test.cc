// Rings, the writing thread, and the sink.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "core/observe/log_sink.h"
#include "core/observe/ring.h"
#include "postern/log.h"
#include "postern/metrics.h"

namespace postern {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "postern-log-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string operator/(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

std::string contents(const std::string& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}
std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> all;
  for (std::size_t start = 0; start < text.size();) {
    std::size_t end = text.find('\n', start);
    all.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return all;
}
// The writing thread is real, so its work is waited for; ten seconds mean that it does not come.
template <class Condition>
bool comes_true(Condition condition) {
  for (int tries = 0; tries < 2000; ++tries) {
    if (condition()) return true;
    std::this_thread::sleep_for(5ms);
  }
  return false;
}

std::unique_ptr<LogSystem> make(LogOptions options) {
  auto made = LogSystem::make(std::move(options));
  REQUIRE(made);
  return *std::move(made);
}

TEST_CASE("a ring gives back what was put, across its end") {
  LogRing ring(16);
  auto take = [&] {
    auto [first, second] = ring.readable();
    std::string all = std::string(first) + std::string(second);
    ring.consume(all.size());
    return all;
  };
  CHECK(ring.empty());
  for (int round = 0; round < 50; ++round) {
    CHECK(ring.put("0123456", 16));
    CHECK(ring.put("abcd", 16));
    CHECK_FALSE(ring.put("too much", 16));
    CHECK_FALSE(ring.put("xy", 12));
    CHECK(take() == "0123456abcd");
  }
  CHECK(ring.put("0123456789abcdef", 16));
  CHECK_FALSE(ring.put("x", 16));
  CHECK(take() == "0123456789abcdef");
}

TEST_CASE("lines reach the file in their order, from every ring") {
  Folder folder;
  auto system = make({.file = folder / "log"});
  Log early = system->make_log("early", [] { return WallTime(0us); });
  early.info("before.start", {{"n", 1}});
  system->start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    Log log = system->make_log("worker" + std::to_string(t));
    threads.emplace_back([log, t] {
      for (int n = 0; n < 1000; ++n) log.info("work", {{"thread", t}, {"n", n}});
    });
  }
  for (auto& thread : threads) thread.join();
  system->stop();
  auto all = lines(contents(folder / "log"));
  REQUIRE(all.size() == 4001);
  CHECK(all.front() == "1970-01-01T00:00:00.000000Z info before.start n=1");
  std::vector<int> next(4);
  for (std::size_t at = 1; at < all.size(); ++at) {
    std::size_t thread = static_cast<std::size_t>(all[at][all[at].find("thread=") + 7] - '0');
    CHECK(all[at].ends_with(" n=" + std::to_string(next.at(thread)++)));
  }
}

TEST_CASE("a line after silence wakes the writing thread") {
  Folder folder;
  auto system = make({.file = folder / "log"});
  Log log = system->make_log("worker");
  system->start();
  for (std::size_t round = 1; round <= 5; ++round) {
    std::this_thread::sleep_for(20ms);  // long enough that it sleeps
    log.info("ping");
    CHECK(comes_true([&] { return lines(contents(folder / "log")).size() == round; }));
  }
}

TEST_CASE("a full ring drops the least severe lines first, counts them and says so") {
  Folder folder;
  auto system =
      make({.file = folder / "log", .level = LogLevel::kTrace, .ring_bytes = 1});  // the least there is, 64 KiB
  Metrics metrics(1);
  system->publish(metrics);
  Log log = system->make_log("worker");
  std::string value(900, 'x');
  auto fill = [&](LogLevel level) {  // nobody drains before start()
    int taken = 0;
    while (system->dropped(level) == 0) {
      log.at(level, "fill", {{"v", value}});
      ++taken;
    }
    return taken - 1;
  };
  int debug = fill(LogLevel::kDebug), info = fill(LogLevel::kInfo), warn = fill(LogLevel::kWarn),
      error = fill(LogLevel::kError);
  CHECK(debug >= 30);
  CHECK(info >= 10);
  CHECK(warn >= 5);
  CHECK(error >= 5);
  CHECK(metrics.render().find("postern_log_dropped_total{level=\"error\"} 1\n") != std::string::npos);
  system->stop();
  auto all = lines(contents(folder / "log"));
  CHECK(all.size() == static_cast<std::size_t>(debug + info + warn + error + 1));
  CHECK(all.back().ends_with(" warn log.dropped log=worker lines=4"));
  log.error("room.again");
  system->stop();
  CHECK(lines(contents(folder / "log")).back().ends_with(" error room.again"));
}

TEST_CASE("reopen follows a rotated file") {
  Folder folder;
  auto system = make({.file = folder / "log"});
  Log log = system->make_log("worker");
  system->start();
  log.info("first");
  REQUIRE(comes_true([&] { return !contents(folder / "log").empty(); }));
  std::filesystem::rename(folder / "log", folder / "log.1");
  system->reopen();
  REQUIRE(comes_true([&] { return std::filesystem::exists(folder / "log"); }));
  log.info("second");
  system->stop();
  CHECK(lines(contents(folder / "log.1")).size() == 1);
  CHECK(contents(folder / "log").ends_with(" info second\n"));
}

TEST_CASE("a sink that cannot be opened is a fault, one that fails later is counted") {
  Folder folder;
  auto failed = LogSystem::make({.file = folder / "missing/log"});
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == "log.open");

  auto system = make({.file = "/dev/full"});
  Log log = system->make_log("worker");
  log.info("lost");
  system->stop();
  CHECK(system->write_errors() == 1);
}

TEST_CASE("levels changed at run time apply to logs already made") {
  Folder folder;
  auto system = make({.file = folder / "log"});
  Log log = system->make_log("worker");
  CHECK_FALSE(log.enabled(LogLevel::kDebug));
  log.debug("smtp.no");
  REQUIRE(system->set_level("smtp", LogLevel::kDebug));
  log.debug("smtp.yes");
  log.debug("pop3.no");
  system->set_level(LogLevel::kError);
  log.info("pop3.no");
  system->stop();
  auto all = lines(contents(folder / "log"));
  REQUIRE(all.size() == 1);
  CHECK(all[0].ends_with(" debug smtp.yes"));
}

TEST_CASE("a shared log may be used by many threads") {
  Folder folder;
  auto system = make({.format = LogFormat::kJson, .file = folder / "log"});
  Log shared = system->make_shared_log("pool").with({{"pool", "disk"}});
  system->start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&shared] {
      for (int n = 0; n < 200; ++n) shared.info("job");
    });
  for (auto& thread : threads) thread.join();
  system->stop();
  auto all = lines(contents(folder / "log"));
  CHECK(all.size() == 800);
  for (const auto& line : all) CHECK(line.ends_with("\"event\":\"job\",\"pool\":\"disk\"}"));
}

TEST_CASE("a batch larger than a pipe is written whole, waiting for room") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  ::fcntl(ends[1], F_SETFL, O_NONBLOCK);
  std::string name = "/proc/self/fd/" + std::to_string(ends[1]);
  auto sink = LogSink::open(name);
  REQUIRE(sink);
  std::string part(1000, 'x');
  std::vector<iovec> parts(3000, iovec{part.data(), part.size()});  // more than the system takes in one call
  std::size_t read = 0;
  std::thread reader([&] {
    std::vector<char> room(1 << 16);
    for (ssize_t n; read < 3'000'000 && (n = ::read(ends[0], room.data(), room.size())) > 0;)
      read += static_cast<std::size_t>(n);
  });
  CHECK(sink->write(parts));
  reader.join();
  CHECK(read == 3'000'000);
  ::close(ends[0]);
  ::close(ends[1]);
}

}  // namespace
}  // namespace postern

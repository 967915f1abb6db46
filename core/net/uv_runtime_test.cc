// The libuv runtime against the real system, over loopback.
#include "core/net/uv_runtime.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>

#include "core/net/transport_test.h"
#include "core/net/uv_socket.h"

using namespace postern;
using namespace postern::test;

namespace {

RuntimeOptions workers(unsigned count) {
  RuntimeOptions options;
  options.workers = count;
  options.disk_threads = 2;
  options.cpu_threads = 1;
  return options;
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * 7 + i / 251) % 26);
  return text;
}

struct TempFolder {
  TempFolder() {
    char name[] = "/tmp/postern-net-XXXXXX";
    path = mkdtemp(name);
  }
  ~TempFolder() { std::filesystem::remove_all(path); }
  std::string path;
};

}  // namespace

TEST_CASE("what a client sends comes back whole, however large") {
  UvRuntime runtime(workers(1));
  Executor& executor = runtime.worker(0);
  auto bound = runtime.bind(loopback());
  REQUIRE(bound);
  CHECK((*bound)->endpoint().port != 0);
  EchoServer server(executor, **bound);
  const std::string sent = pattern(3'000'000);
  Client client(executor, {(*bound)->endpoint(), {}}, sent, [&](Client&) { runtime.stop(); });
  runtime.run();
  CHECK(client.error == 0);
  CHECK((client.received == sent));
  CHECK(client.peer == (*bound)->endpoint());
}

// The client on libuv, over real sockets, against a server that nobody here wrote: Python's http.server.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "core/dns/loop_for_tests.h"
#include "postern/dns_fake.h"
#include "postern/http.h"
#include "postern/text.h"

using namespace postern;

namespace {

constexpr const char* kScript = R"(
import http.server
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_GET(self):
        if self.path == "/chunked":
            self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
            for piece in (b"one ", b"two " * 30000): self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_error(404)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body[::-1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
print(server.server_port, flush=True)
server.serve_forever()
)";

/// A Python that serves on a free port until the test ends.
struct PythonServer {
  pid_t pid = -1;
  std::string port;
  PythonServer() {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    pid = ::fork();
    if (pid == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::execlp("python3", "python3", "-c", kScript, nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    char octet = 0;
    while (::read(ends[0], &octet, 1) == 1 && octet != '\n') port += octet;
    ::close(ends[0]);
  }
  PythonServer(const PythonServer&) = delete;
  PythonServer& operator=(const PythonServer&) = delete;
  ~PythonServer() {
    if (pid <= 0) return;
    ::kill(pid, SIGTERM);
    ::waitpid(pid, nullptr, 0);
  }
  std::string url(const std::string& path) const { return "http://127.0.0.1:" + port + path; }
};

Task<void> talk(HttpClient* http, const PythonServer* server) {
  auto chunked = co_await http->fetch({.url = server->url("/chunked")});
  REQUIRE(chunked);
  CHECK(chunked->body.size() == 4 + 120'000);
  auto missing = co_await http->fetch({.url = server->url("/missing")});
  REQUIRE(missing);
  CHECK(missing->status == 404);
  CHECK(missing->content_type == "text/html");
  std::string body(300'000, 'a');
  body.back() = 'z';
  auto posted = co_await http->fetch({.method = "POST", .url = server->url("/"), .body = body});
  REQUIRE(posted);
  CHECK(posted->status == 201);
  CHECK(posted->body.size() == body.size());
  CHECK(posted->body.front() == 'z');
}

}  // namespace

TEST_CASE("the client and Python's http.server understand each other") {
  const PythonServer server;
  if (server.port.empty()) {
    MESSAGE("there is no python3 here");
    return;
  }
  dns::TestLoop loop;
  FakeResolver resolver(loop.executor());
  const auto http = make_http_client(loop.executor(), resolver, nullptr, {.allow_private = true});
  loop.run(talk(http.get(), &server));
}

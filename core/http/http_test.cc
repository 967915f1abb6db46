// The client against servers that a test scripts, in virtual time.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "postern/dns_fake.h"
#include "postern/http.h"
#include "postern/nursery.h"
#include "postern/sim.h"
#include "postern/stream.h"
#include "postern/tls.h"

using namespace postern;

namespace {

struct World {
  SimRuntime sim;
  FakeResolver dns{sim.worker(0)};
  std::unique_ptr<HttpClient> http;
  std::optional<Result<HttpResponse>> got;
  std::vector<std::string> requests;

  explicit World(HttpClientSettings settings = {}, std::shared_ptr<TlsContext> tls = {}) {
    dns.a("www.example.org", "192.0.2.80");
    http = make_http_client(sim.worker(0), dns, std::move(tls), settings);
  }

  static Task<void> run(World* world, HttpRequest request) {
    world->got = co_await world->http->fetch(std::move(request));
  }
  /// One fetch; each connection is answered by the next of `answers` once a whole head (and body, if announced) came.
  Result<HttpResponse> fetch(HttpRequest request, std::vector<std::string> answers, const char* at = "192.0.2.80:80") {
    got.reset();
    requests.clear();
    auto listener = sim.listen(*Endpoint::parse(at));
    Nursery nursery(sim.worker(0));
    nursery.spawn(run(this, std::move(request)));
    std::unique_ptr<SimClient> peer;
    std::size_t answered = 0;
    sim.run_until(
        [&] {
          if (auto next = listener->accept()) {
            peer = std::move(next);
            requests.emplace_back();
          }
          if (peer && peer->received().find("\r\n\r\n") != std::string::npos && requests.size() > answered) {
            peer->send(answered < answers.size() ? answers[answered] : "");
            peer->finish();
            ++answered;
          }
          if (peer && !requests.empty()) requests.back() = peer->received();
          return got.has_value();
        },
        300s);
    REQUIRE(got.has_value());
    peer.reset();
    sim.run_until_idle();
    return std::move(*got);
  }
  Result<HttpResponse> get(std::string answer) { return fetch({.url = "http://www.example.org/a?b=c"}, {answer}); }
};

std::string code_of(const Result<HttpResponse>& result) {
  return result ? "ok " + std::to_string(result->status) : result.error().code;
}

constexpr const char* kRedirect = "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n";
constexpr const char* kFine = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

}  // namespace

TEST_CASE("a GET is sent as HTTP/1.1 wants it and its answer is taken apart") {
  World world;
  auto got = world.get(
      "HTTP/1.1 200 OK\r\nContent-Type: Text/Plain; charset=utf-8\r\nX-A:  b \r\nContent-Length: 5\r\n\r\nhello");
  REQUIRE(got);
  CHECK(world.requests[0] ==
        "GET /a?b=c HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Postern\r\nConnection: close\r\n\r\n");
  CHECK(got->status == 200);
  CHECK(got->content_type == "text/plain");
  CHECK(got->header("x-a") == "b");
  CHECK(got->body == "hello");
  CHECK(got->url == "http://www.example.org/a?b=c");
}

TEST_CASE("a POST carries its body and fields") {
  World world;
  auto got = world.fetch({.method = "POST",
                          .url = "http://www.example.org/r",
                          .headers = {{"Content-Type", "application/tlsrpt+gzip"}},
                          .body = "octets"},
                         {"HTTP/1.1 204 No Content\r\n\r\n"});
  REQUIRE(got);
  CHECK(got->status == 204);
  CHECK(world.requests[0].find("Content-Type: application/tlsrpt+gzip\r\n") != std::string::npos);
  CHECK(world.requests[0].find("Content-Length: 6\r\n") != std::string::npos);
  CHECK(world.requests[0].ends_with("\r\n\r\noctets"));
}

TEST_CASE("a body comes in chunks, by length, or until the end") {
  World world;
  auto chunked = world.get(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: "
      "t\r\n\r\n");
  REQUIRE(chunked);
  CHECK(chunked->body == "abc0123456789");
  CHECK(chunked->header("trailer").empty());
  auto to_end = world.get("HTTP/1.0 200 OK\r\n\r\nall of it");
  REQUIRE(to_end);
  CHECK(to_end->body == "all of it");
  CHECK(world.get("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")->body == "ok");
  CHECK(world.get("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n")->body.empty());
}

TEST_CASE("what could be read in two ways is refused") {
  World world;
  for (const char* answer :
       {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",                  // ends early
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",  // likewise
        "HTTP/1.1 101 Switching Protocols\r\n\r\n", "SSH-2.0-x\r\n", ""}) {
    CAPTURE(answer);
    CHECK(code_of(world.get(answer)) == "http.protocol");
  }
}

TEST_CASE("heads and bodies have their limits") {
  World world;
  const HttpRequest small{.url = "http://www.example.org/", .max_body_octets = 4};
  const std::string head = "HTTP/1.1 200 OK\r\n";
  CHECK(code_of(world.fetch(small, {head + "Content-Length: 4\r\n\r\nabcd"})) == "ok 200");
  CHECK(code_of(world.fetch(small, {head + "Content-Length: 5\r\n\r\nabcde"})) == "http.too_large");
  CHECK(code_of(world.fetch(small, {head + "\r\nabcde"})) == "http.too_large");
  CHECK(code_of(world.fetch(small, {head + "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n"})) ==
        "http.too_large");
  std::string many = head, interim;
  for (int i = 0; i < 201; ++i) many += "A: b\r\n";
  CHECK(code_of(world.get(many + "\r\n")) == "http.protocol");
  CHECK(code_of(world.get(head + "A: " + std::string(9000, 'x') + "\r\n\r\n")) == "http.protocol");
  for (int i = 0; i < 11; ++i) interim += "HTTP/1.1 103 Early Hints\r\n\r\n";
  CHECK(code_of(world.get(interim + kFine)) == "http.protocol");
}

TEST_CASE("addresses that are not public are refused unless settings allow them") {
  World world;
  world.dns.a("inside.example", "10.0.0.1").a("inside.example", "::1");
  world.dns.a("mapped.example", "64:ff9b::a00:1");
  for (const char* url : {"http://inside.example/", "http://mapped.example/", "http://127.0.0.1/", "http://[::1]/",
                          "http://169.254.169.254/", "http://0.0.0.0/", "http://[fe80::1]/", "http://100.64.1.1/",
                          "http://[::ffff:127.0.0.1]/"}) {
    CAPTURE(url);
    CHECK(code_of(world.fetch({.url = url}, {kFine})) == "http.private");
  }
  World open({.allow_private = true});
  CHECK(code_of(open.fetch({.url = "http://127.0.0.1/"}, {kFine}, "127.0.0.1:80")) == "ok 200");
}

TEST_CASE("a place that is not public is reached when an administrator named it, and no other") {
  const auto place = [](const char* text) {
    const auto parsed = HttpPrivatePlace::parse(text);
    REQUIRE_MESSAGE(parsed, text);
    return *parsed;
  };
  World world({.private_places = {place("10.0.0.0/8"), place("127.0.0.1:8080"), place("checks.internal:81")}});
  world.dns.a("checks.internal", "192.168.1.1").a("other.internal", "192.168.1.1").a("in.internal", "10.1.2.3");
  CHECK(code_of(world.fetch({.url = "http://in.internal/"}, {kFine}, "10.1.2.3:80")) == "ok 200");
  CHECK(code_of(world.fetch({.url = "http://127.0.0.1:8080/"}, {kFine}, "127.0.0.1:8080")) == "ok 200");
  CHECK(code_of(world.fetch({.url = "http://CHECKS.internal:81/"}, {kFine}, "192.168.1.1:81")) == "ok 200");
  CHECK(code_of(world.fetch({.url = "http://127.0.0.1:8081/"}, {})) == "http.private");
  CHECK(code_of(world.fetch({.url = "http://checks.internal/"}, {})) == "http.private");
  CHECK(code_of(world.fetch({.url = "http://other.internal:81/"}, {})) == "http.private");
  CHECK(place("[::1]:99").covers("x", *IpAddress::parse("::1"), 99));
  CHECK_FALSE(place("[::1]:99").covers("x", *IpAddress::parse("::1"), 98));
  CHECK(place("::1").covers("x", *IpAddress::parse("::1"), 1));
  CHECK(place("a.internal").covers("a.internal", *IpAddress::parse("10.0.0.1"), 5));
  for (const char* bad : {"", "10.0.0.0/99", "a b", "host:", "host:0", "x:70000", "[::1", "a..b"})
    CHECK_MESSAGE(!HttpPrivatePlace::parse(bad), bad);
}

TEST_CASE("what settings allow is the most that a request can have") {
  World world({.max_timeout = 2s, .max_body_octets = 3});
  CHECK(code_of(world.get(kFine)) == "http.too_large");
  const Instant before = world.sim.worker(0).now();
  world.sim.black_hole(*Endpoint::parse("192.0.2.82:80"));
  world.dns.a("dead.example", "192.0.2.82");
  CHECK(code_of(world.fetch({.url = "http://dead.example/", .timeout = 60s}, {}, "192.0.2.81:80")) == "http.connect");
  CHECK(world.sim.worker(0).now() - before <= 3s);
}

TEST_CASE("URLs and fields that could say two things are refused before anything is asked") {
  World world;
  for (const char* url :
       {"ftp://www.example.org/", "http://", "http://a b/", "http://user@www.example.org/", "http://www.example.org:0/",
        "http://www.example.org:70000/", "http://www.example.org/a b", "http://www.example.org/\r\nX: y",
        "http://0x7f.1/", "http://2130706433/", "http://[::1/", "http://..example/", "www.example.org"}) {
    CAPTURE(url);
    CHECK(code_of(world.fetch({.url = url}, {})) == "http.url");  // and does not repeat it: it may have a key
  }
  CHECK(code_of(world.fetch({.method = "GET /", .url = "http://www.example.org/"}, {})) == "http.request");
  for (const HttpHeader& field : {HttpHeader{"A", "b\r\nC: d"}, HttpHeader{"A b", "c"}, HttpHeader{"Host", "x"},
                                  HttpHeader{"content-length", "3"}, HttpHeader{"Transfer-Encoding", "chunked"}}) {
    CAPTURE(field.name);
    CHECK(code_of(world.fetch({.url = "http://www.example.org/", .headers = {field}}, {})) == "http.request");
  }
  CHECK(world.dns.asked() == 0);
}

TEST_CASE("redirects are answers unless they are asked for, and then they are counted") {
  World world;
  HttpRequest request{.url = "http://www.example.org/a"};
  CHECK(code_of(world.fetch(request, {kRedirect, kFine})) == "ok 302");
  request.max_redirects = 2;
  auto got = world.fetch(request, {kRedirect, kFine});
  REQUIRE(got);
  CHECK(got->body == "fine");
  CHECK(got->url == "http://www.example.org/b");
  CHECK(code_of(world.fetch(request, {kRedirect, kRedirect, kRedirect, kFine})) == "http.redirect");
  const std::string inside = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n";
  CHECK(code_of(world.fetch(request, {inside, kFine})) == "http.private");
  CHECK(code_of(world.fetch(request, {"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"})) == "http.redirect");
}

TEST_CASE("a redirected POST becomes a GET where it should and leaves its secrets at home") {
  World world;
  world.dns.a("other.example", "192.0.2.80");
  HttpRequest request{.method = "POST",
                      .url = "http://www.example.org/a",
                      .headers = {{"Authorization", "secret"}, {"Content-Type", "text/plain"}},
                      .body = "b",
                      .max_redirects = 1};
  const std::string away = "HTTP/1.1 303 See Other\r\nLocation: http://other.example/c\r\nContent-Length: 0\r\n\r\n";
  CHECK(code_of(world.fetch(request, {away, kFine})) == "ok 200");
  CHECK(world.requests[1].starts_with("GET /c HTTP/1.1\r\nHost: other.example\r\n"));
  CHECK(world.requests[1].find("secret") == std::string::npos);
  const std::string same = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /d\r\nContent-Length: 0\r\n\r\n";
  CHECK(code_of(world.fetch(request, {same, kFine})) == "ok 200");
  CHECK(world.requests[1].starts_with("POST /d "));
  CHECK(world.requests[1].find("secret") != std::string::npos);
}

TEST_CASE("a server that says nothing is given up at the deadline, and so is a dead address") {
  World world;
  auto silent = world.sim.listen(*Endpoint::parse("192.0.2.81:80"));
  world.dns.a("silent.example", "192.0.2.81");
  const Instant begin = world.sim.now();
  CHECK(code_of(world.fetch({.url = "http://silent.example/", .timeout = 10s}, {})) == "http.timeout");
  CHECK(world.sim.now() - begin < 11s);
  world.sim.black_hole(*Endpoint::parse("192.0.2.82:80"));
  world.dns.a("half.example", "192.0.2.82").a("half.example", "192.0.2.80");
  CHECK(code_of(world.fetch({.url = "http://half.example/", .timeout = 10s}, {kFine})) == "ok 200");
  CHECK(code_of(world.fetch({.url = "http://nowhere.example/"}, {})) == "http.dns");
  world.dns.a("closed.example", "192.0.2.99");
  CHECK(code_of(world.fetch({.url = "http://closed.example/"}, {})) == "http.connect");
}

namespace {

struct Folder {
  std::filesystem::path path;
  Folder() {
    char name[] = "/tmp/postern-http-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

/// Serves TLS connections on one address: each gets the same answer.
struct TlsServer {
  Executor& executor;
  std::shared_ptr<TlsContext> context;
  std::string answer;
  Nursery nursery{executor};
  std::unique_ptr<BoundEndpoint> bound;
  std::unique_ptr<Listener> listener;

  TlsServer(SimRuntime& sim, std::shared_ptr<TlsContext> with, std::string text)
      : executor(sim.worker(0)), context(std::move(with)), answer(std::move(text)) {
    nursery.on_error = [](std::exception_ptr) {};
    bound = std::move(*sim.bind(*Endpoint::parse("192.0.2.90:443")));
    listener = std::make_unique<Listener>(
        executor, *bound, [this](std::unique_ptr<Socket> socket) { nursery.spawn(serve(this, std::move(socket))); });
  }
  static Task<void> serve(TlsServer* server, std::unique_ptr<Socket> socket) {
    Stream stream(server->executor, std::move(socket));
    co_await stream.start_implicit_tls(*server->context, Deadline::after(10s));
    while (!(co_await stream.read_line(1000, Deadline::after(10s))).text.empty()) {
    }
    co_await stream.write(server->answer, Deadline::after(10s));
    stream.close();
  }
};

}  // namespace

TEST_CASE("https demands the host's name of the certificate") {
  Folder folder;
  auto made = make_self_signed({"secure.example"}, 10);
  REQUIRE(made);
  const std::string certificate = folder.write("crt", made->certificate);
  auto server_tls = make_server_tls({.certificates = {{certificate, folder.write("key", made->key), {}}}});
  auto client_tls = make_client_tls({.ca_file = certificate, .alpn = {"http/1.1"}});
  REQUIRE((server_tls && client_tls));
  World world({}, *client_tls);
  world.dns.a("secure.example", "192.0.2.90").a("other.example", "192.0.2.90");
  {
    TlsServer server(world.sim, *server_tls, kFine);
    auto got = world.fetch({.url = "https://secure.example/"}, {});
    CHECK(code_of(got) == "ok 200");
    CHECK(got->body == "fine");
    auto wrong = world.fetch({.url = "https://other.example/"}, {});
    CHECK(code_of(wrong) == "http.tls");
    CHECK(wrong.error().detail.find("mismatch") != std::string::npos);
    server.nursery.cancel();
    world.sim.run_until_idle();
  }
  CHECK(code_of(world.fetch({.url = "https://www.example.org/"}, {kFine}, "192.0.2.80:443")) != "ok 200");
  World without;
  CHECK(code_of(without.fetch({.url = "https://www.example.org/"}, {})) == "http.tls");
}

TEST_CASE("only so many requests are under way at once") {
  World world({.max_concurrent = 1});
  world.sim.black_hole(*Endpoint::parse("192.0.2.80:80"));
  Nursery nursery(world.sim.worker(0));
  nursery.spawn(World::run(&world, {.url = "http://www.example.org/", .timeout = 5s}));
  nursery.spawn(World::run(&world, {.url = "http://www.example.org/", .timeout = 5s}));
  world.sim.run_for(1s);
  REQUIRE(world.got);
  CHECK(code_of(*world.got) == "http.busy");
  world.sim.run_for(10s);
  CHECK(code_of(*world.got) == "http.connect");
}

// TLS over two filters held face to face, and over a real socket pair of the libuv runtime.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "postern/executor.h"
#include "postern/nursery.h"
#include "postern/stream.h"
#include "postern/tls.h"

using namespace postern;

namespace {

struct Folder {
  std::filesystem::path path;
  Folder() {
    char name[] = "/tmp/postern-tls-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

TlsCertificate certificate(const Folder& folder, const std::string& name) {
  auto made = make_self_signed({name}, 30);
  REQUIRE(made);
  return {folder.write(name + ".crt", made->certificate), folder.write(name + ".key", made->key), {}};
}

/// Passes octets between the two until both are established or one fails; true when both are.
bool shake(StreamFilter& client, StreamFilter& server) {
  std::string to_server, to_client, plain;
  client.begin(to_server);
  for (int turn = 0; turn < 10; ++turn) {
    std::string out = std::exchange(to_server, {});
    if (!out.empty() && server.received(out, plain, to_client) != StreamFilter::State::kOk) return false;
    out = std::exchange(to_client, {});
    if (!out.empty() && client.received(out, plain, to_server) != StreamFilter::State::kOk) return false;
  }
  return client.established() && server.established();
}

}  // namespace

TEST_CASE("a server context names what is wrong with its files") {
  Folder folder;
  auto a = certificate(folder, "a.example");
  auto b = certificate(folder, "b.example");
  CHECK(make_server_tls({}).error().code == "tls.no_certificate");
  TlsServerOptions missing{.certificates = {{"/nowhere.crt", a.key_file, {}}}};
  CHECK(make_server_tls(missing).error().detail.starts_with("/nowhere.crt: "));
  TlsServerOptions crossed{.certificates = {{a.certificate_file, b.key_file, {}}}};
  CHECK(make_server_tls(crossed).error().code == "tls.key");
  TlsServerOptions old{.certificates = {a}, .min_version = "TLSv1.1"};
  CHECK(make_server_tls(old).error().code == "tls.version");
}

TEST_CASE("SNI chooses the certificate, and a client that verifies accepts only the right one") {
  Folder folder;
  auto a = certificate(folder, "a.example");
  auto b = certificate(folder, "b.example");
  auto server = make_server_tls({.certificates = {a, b}});
  REQUIRE(server);
  auto client = make_client_tls({.ca_file = b.certificate_file});
  REQUIRE(client);
  auto right = (*client)->make_client_filter("b.example");
  auto at_server = (*server)->make_filter();
  CHECK(shake(*right, *at_server));
  CHECK(at_server->info().sni == "b.example");
  CHECK(at_server->info().version == "TLSv1.3");
  auto wrong = (*client)->make_client_filter("a.example");
  auto other = (*server)->make_filter();
  CHECK_FALSE(shake(*wrong, *other));
  CHECK_FALSE(wrong->error().empty());
}

TEST_CASE("what one filter sends the other receives, cut at any octet") {
  Folder folder;
  auto server_context = make_server_tls({.certificates = {certificate(folder, "mx.example")}});
  auto client_context = make_client_tls({.verify = false, .ca_file = {}});
  REQUIRE(client_context);
  auto client = (*client_context)->make_client_filter("mx.example");
  auto server = (*server_context)->make_filter();
  REQUIRE(shake(*client, *server));
  const std::string text(100'000, 'm');
  std::string wire, plain, answers;
  CHECK(client->send(text, wire) == StreamFilter::State::kOk);
  for (std::size_t at = 0; at < wire.size(); at += 777)
    CHECK(server->received(std::string_view(wire).substr(at, 777), plain, answers) == StreamFilter::State::kOk);
  CHECK(plain == text);
  std::string close;
  client->close(close);
  CHECK(server->received(close, plain, answers) == StreamFilter::State::kClosed);
}

TEST_CASE("a filter refuses what is not TLS") {
  Folder folder;
  auto context = make_server_tls({.certificates = {certificate(folder, "mx.example")}});
  auto server = (*context)->make_filter();
  std::string plain, wire;
  CHECK(server->received(std::string_view("EHLO example.org\r\n"), plain, wire) == StreamFilter::State::kFailed);
  CHECK(plain.empty());
  CHECK_FALSE(server->error().empty());
}

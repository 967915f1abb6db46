// Server contexts, with two filters held face to face.
#include <doctest/doctest.h>

#include <sys/stat.h>

#include <optional>

#include "core/tls/filters_for_tests.h"
#include "postern/stream.h"
#include "postern/tls.h"

using namespace postern;
using namespace postern::test;

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

TEST_CASE("a pipe, a device or a folder in the place of a file is a fault, not a wait") {
  Folder folder;
  const auto good = certificate(folder, "a.example");
  const std::string pipe = (folder.path / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  const std::pair<std::string, std::string> odds[] = {
      {pipe, "a named pipe"}, {"/dev/zero", "a device"}, {folder.path.string(), "a folder"}};
  for (const auto& [odd, what] : odds) {
    TlsServerOptions as_certificate{.certificates = {{odd, good.key_file, {}}}};
    CHECK(make_server_tls(as_certificate).error().code == "tls.certificate");
    CHECK(make_server_tls(as_certificate).error().detail == odd + ": it is " + what + ", not a file");
    TlsServerOptions as_key{.certificates = {{good.certificate_file, odd, {}}}};
    CHECK(make_server_tls(as_key).error().code == "tls.key");
    TlsServerOptions as_ca{.certificates = {good}, .client_ca_file = odd};
    CHECK(make_server_tls(as_ca).error().code == "tls.client_ca");
    CHECK(make_client_tls({.ca_file = odd}).error().code == "tls.ca");
  }
}

TEST_CASE("a certificate file is read whole: what is broken behind the first certificate is a fault") {
  Folder folder;
  const auto good = make_self_signed({"a.example"}, 30);
  const std::string key = folder.write("key", good->key);
  const std::string chain = folder.write("chain", good->certificate + good->certificate);
  CHECK(make_server_tls({.certificates = {{chain, key, {}}}}));
  std::string torn = good->certificate + good->certificate;
  torn.resize(torn.size() - 60);
  TlsServerOptions options{.certificates = {{folder.write("torn", torn), key, {}}}};
  CHECK(make_server_tls(options).error().code == "tls.certificate");
  options.certificates[0].certificate_file = folder.write("empty", "");
  CHECK(make_server_tls(options).error().code == "tls.certificate");
  options.certificates[0].certificate_file = folder.write("large", std::string((std::size_t{4} << 20) + 1, ' '));
  CHECK(make_server_tls(options).error().detail.ends_with("it is larger than 4194304 octets"));
}

TEST_CASE("a context with another default shows that certificate to who asks for none, and all by SNI") {
  Folder folder;
  auto all = make_server_tls({.certificates = {certificate(folder, "a.example"), certificate(folder, "b.example")}});
  REQUIRE(all);
  CHECK((*all)->with_default("c.example") == nullptr);
  auto second = (*all)->with_default("B.example");
  REQUIRE(second);
  all->reset();  // the view keeps what it shows
  auto client = make_client_tls({.verify = false});
  REQUIRE(client);
  const auto shown = [&](TlsContext& server, const std::string& sni) {
    auto from = (*client)->make_client_filter(TlsPeer{.sni = sni});
    auto to = server.make_filter();
    REQUIRE(shake(*from, *to));
    return from->info().fingerprint;
  };
  const std::string a = shown(*second, "a.example"), b = shown(*second, "b.example");
  CHECK(a != b);
  CHECK(shown(*second, "") == b);
  CHECK(shown(*second, "unknown.example") == b);
  CHECK(shown(*second->with_default("a.example"), "") == a);
}

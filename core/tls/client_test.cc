// What a client demands of a server: names, dates, CAs, TLSA records; sessions that come back.
#include <doctest/doctest.h>

#include "core/tls/chain_for_tests.h"
#include "core/tls/filter.h"
#include "core/tls/filters_for_tests.h"
#include "core/tls/pem_file.h"
#include "postern/stream.h"
#include "postern/tls.h"

using namespace postern;
using namespace postern::test;

namespace {

/// A server as bad as the test wants it: make_server_tls() would refuse its certificate.
struct BareServer {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  BareServer(const Issued& issued, const Issued* chain = nullptr, int max_version = TLS1_3_VERSION) {
    SSL_CTX_set_max_proto_version(context, max_version);
    REQUIRE(SSL_CTX_use_certificate(context, issued.certificate.get()) == 1);
    REQUIRE(SSL_CTX_use_PrivateKey(context, issued.key.get()) == 1);
    if (chain) SSL_CTX_add1_chain_cert(context, chain->certificate.get());
  }
  BareServer(const BareServer&) = delete;
  BareServer& operator=(const BareServer&) = delete;
  ~BareServer() { SSL_CTX_free(context); }
  std::unique_ptr<TlsFilter> make_filter() {
    SslPtr ssl(SSL_new(context));
    SSL_set_accept_state(ssl.get());
    return std::make_unique<TlsFilter>(std::move(ssl), nullptr);
  }
};

struct World {
  Folder folder;
  TestCa ca;
  std::shared_ptr<TlsContext> client;
  World() {
    auto made = make_client_tls({.ca_file = folder.write("ca.pem", ca.root().pem())});
    REQUIRE(made);
    client = *made;
  }
  struct Outcome {
    bool done = false;
    TlsInfo info;
    TlsFailure failure = TlsFailure::kNone;
    std::string error;
  };
  Outcome meet(BareServer& server, const TlsPeer& peer) const {
    auto from = client->make_client_filter(peer);
    if (!from) return {.done = false, .info = {}, .failure = TlsFailure::kHandshake, .error = "no filter"};
    auto to = server.make_filter();
    const bool done = shake(*from, *to);
    return {done, from->info(), from->failure(), from->error()};
  }
};

TlsPeer names(std::vector<std::string> wanted) {
  return {.check = TlsPeer::Check::kNames, .sni = wanted.front(), .names = wanted};
}

TlsPeer dane(std::vector<std::string> wanted, std::vector<TlsAssociation> records) {
  return {.check = TlsPeer::Check::kDane, .sni = wanted.front(), .names = wanted, .tlsa = std::move(records)};
}

}  // namespace

TEST_CASE("a server that has one of the names is verified by it") {
  World world;
  BareServer server(world.ca.issue("mx", {"mx.example.net", "*.wild.example"}));
  auto met = world.meet(server, names({"example.org", "mx.example.net."}));
  CHECK(met.done);
  CHECK(met.info.verified == TlsVerified::kNames);
  CHECK(met.info.problem == TlsFailure::kNone);
  CHECK(met.info.version == "TLSv1.3");
  CHECK(met.info.fingerprint.size() == 64);
  CHECK(world.meet(server, names({"one.wild.example"})).done);
  CHECK_FALSE(world.meet(server, names({"two.one.wild.example"})).done);  // a wildcard is one label
  CHECK_FALSE(world.meet(server, names({"wild.example"})).done);
}

TEST_CASE("a failed verification says why, in the words of RFC 8460") {
  World world;
  BareServer other(world.ca.issue("mx", {"mx.example.net"}));
  auto met = world.meet(other, names({"mx.example.org"}));
  CHECK_FALSE(met.done);
  CHECK(to_string(met.failure) == "certificate-host-mismatch");
  CHECK(met.error.find("ostname mismatch") != std::string::npos);

  BareServer expired(world.ca.issue("mx", {"mx.example.org"}, {.from_days = -10, .to_days = -1}));
  CHECK(to_string(world.meet(expired, names({"mx.example.org"})).failure) == "certificate-expired");

  TestCa stranger;
  BareServer untrusted(stranger.issue("mx", {"mx.example.org"}));
  CHECK(to_string(world.meet(untrusted, names({"mx.example.org"})).failure) == "certificate-not-trusted");
}

TEST_CASE("a name in the subject alone is no name, and a partial wildcard matches nothing") {
  World world;
  BareServer subject(world.ca.issue("mx.example.org", {}));
  CHECK(world.meet(subject, names({"mx.example.org"})).failure == TlsFailure::kHostMismatch);
  BareServer partial(world.ca.issue("mx", {"m*.example.org"}));
  CHECK(world.meet(partial, names({"mx.example.org"})).failure == TlsFailure::kHostMismatch);
}

TEST_CASE("who demands names and gives none gets no connection") {
  World world;
  CHECK(world.client->make_client_filter(TlsPeer{.check = TlsPeer::Check::kNames}) == nullptr);
  CHECK(world.client->make_client_filter(TlsPeer{.check = TlsPeer::Check::kDane, .names = {"a"}}) == nullptr);
}

TEST_CASE("an opportunistic client takes any certificate and knows what it would have been worth") {
  World world;
  TestCa stranger;
  BareServer untrusted(stranger.issue("mx", {"mx.example.org"}));
  auto met = world.meet(untrusted, {.sni = "mx.example.org", .names = {"mx.example.org"}});
  CHECK(met.done);
  CHECK(met.info.verified == TlsVerified::kNo);
  CHECK(met.info.problem == TlsFailure::kNotTrusted);
  CHECK_FALSE(met.info.problem_text.empty());
  BareServer fine(world.ca.issue("mx", {"mx.example.org"}));
  CHECK(world.meet(fine, {.sni = "mx.example.org", .names = {"mx.example.org"}}).info.verified == TlsVerified::kNames);
  CHECK(world.meet(fine, {.sni = "mx.example.org"}).info.verified == TlsVerified::kNo);
}

TEST_CASE("DANE-EE ignores names, dates and CAs, and wants the key it names") {
  World world;
  TestCa stranger;
  const Issued old = stranger.issue("anything", {"other.example"}, {.from_days = -10, .to_days = -1});
  BareServer server(old);
  for (const std::uint8_t selector : {std::uint8_t{0}, std::uint8_t{1}}) {
    for (const std::uint8_t matching : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{2}}) {
      auto met = world.meet(server, dane({"mx.example.org"}, {old.tlsa(3, selector, matching)}));
      CHECK(met.done);
      CHECK(met.info.verified == TlsVerified::kDane);
    }
  }
  const Issued next = stranger.issue("next", {"mx.example.org"});
  auto met = world.meet(server, dane({"mx.example.org"}, {next.tlsa(3, 1, 1)}));
  CHECK_FALSE(met.done);
  CHECK(met.failure == TlsFailure::kNoTlsa);
  CHECK(world.meet(server, dane({"mx.example.org"}, {next.tlsa(3, 1, 1), old.tlsa(3, 1, 1)})).done);  // a key rollover
}

TEST_CASE("DANE-TA wants a chain from the anchor, one of the names, and good dates") {
  World world;
  TestCa theirs;
  const TlsAssociation anchor = theirs.root().tlsa(2, 0, 1);
  BareServer server(theirs.issue("mx", {"mx.example.net"}), &theirs.root());
  CHECK(world.meet(server, dane({"mx.example.net"}, {anchor})).info.verified == TlsVerified::kDane);
  CHECK(world.meet(server, dane({"mx.example.org", "mx.example.net"}, {anchor})).done);
  CHECK(world.meet(server, dane({"mx.example.org"}, {anchor})).failure == TlsFailure::kHostMismatch);
  BareServer expired(theirs.issue("mx", {"mx.example.net"}, {.from_days = -10, .to_days = -1}), &theirs.root());
  CHECK(world.meet(expired, dane({"mx.example.net"}, {anchor})).failure == TlsFailure::kExpired);
  // A CA that everybody trusts is nothing to who names another anchor.
  BareServer webpki(world.ca.issue("mx", {"mx.example.net"}), &world.ca.root());
  CHECK_FALSE(world.meet(webpki, dane({"mx.example.net"}, {anchor})).done);
}

TEST_CASE("TLSA records that SMTP has no use for are left out") {
  World world;
  const Issued leaf = world.ca.issue("mx", {"mx.example.org"});
  CHECK(usable(leaf.tlsa(3, 1, 1)));
  CHECK(usable(leaf.tlsa(2, 0, 2)));
  CHECK_FALSE(usable(leaf.tlsa(0, 1, 1)));
  CHECK_FALSE(usable(leaf.tlsa(1, 1, 1)));
  CHECK_FALSE(usable({3, 1, 1, "short"}));
  CHECK_FALSE(usable({3, 2, 1, std::string(32, 'x')}));
  CHECK_FALSE(usable({3, 1, 3, std::string(32, 'x')}));
  CHECK(world.client->make_client_filter(dane({"mx.example.org"}, {leaf.tlsa(1, 1, 1)})) == nullptr);
}

TEST_CASE("a session comes back only to the destination and the demands it began with") {
  World world;
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    CAPTURE(version);
    BareServer server(world.ca.issue("mx", {"mx.example.org"}), nullptr, version);
    SSL_CTX_set_session_id_context(server.context, reinterpret_cast<const unsigned char*>("t"), 1);
    TlsPeer peer = names({"mx.example.org"});
    peer.sessions = make_tls_sessions(10);
    peer.destination = "192.0.2.1:25";
    CHECK_FALSE(world.meet(server, peer).info.resumed);
    auto again = world.meet(server, peer);
    CHECK(again.info.resumed);
    CHECK(again.info.verified == TlsVerified::kNames);
    CHECK(again.info.fingerprint.size() == 64);
    TlsPeer stronger = peer;
    stronger.names = {"mx.example.net"};
    CHECK_FALSE(world.meet(server, stronger).done);
    TlsPeer elsewhere = peer;
    elsewhere.destination = "192.0.2.2:25";
    CHECK_FALSE(world.meet(server, elsewhere).info.resumed);
    TlsPeer weaker = peer;
    weaker.check = TlsPeer::Check::kRecord;
    CHECK_FALSE(world.meet(server, weaker).info.resumed);
  }
}

TEST_CASE("a session of an opportunistic handshake remembers what was wrong") {
  World world;
  TestCa stranger;
  BareServer server(stranger.issue("mx", {"mx.example.org"}));
  TlsPeer peer{.sni = "mx.example.org", .names = {"mx.example.org"}, .sessions = make_tls_sessions(10)};
  CHECK(world.meet(server, peer).info.problem == TlsFailure::kNotTrusted);
  auto again = world.meet(server, peer);
  CHECK(again.info.resumed);
  CHECK(again.info.problem == TlsFailure::kNotTrusted);
  CHECK(again.info.verified == TlsVerified::kNo);
}

TEST_CASE("a session under DANE comes back verified, and not under other records") {
  World world;
  TestCa stranger;
  const Issued leaf = stranger.issue("mx", {}), other = stranger.issue("other", {});
  BareServer server(leaf);
  TlsPeer peer = dane({"mx.example.org"}, {leaf.tlsa(3, 1, 1)});
  peer.sessions = make_tls_sessions(10);
  CHECK(world.meet(server, peer).done);
  const auto again = world.meet(server, peer);
  CHECK(again.info.resumed);
  CHECK(again.info.verified == TlsVerified::kDane);
  peer.tlsa = {other.tlsa(3, 1, 1)};
  CHECK_FALSE(world.meet(server, peer).done);
}

TEST_CASE("sessions are bounded") {
  World world;
  BareServer server(world.ca.issue("mx", {"mx.example.org"}));
  auto sessions = make_tls_sessions(3);
  for (int i = 0; i < 10; ++i) {
    TlsPeer peer = names({"mx.example.org"});
    peer.sessions = sessions;
    peer.destination = std::to_string(i);
    CHECK(world.meet(server, peer).done);
  }
  CHECK(sessions->size() == 3);
}

TEST_CASE("a server older than TLS 1.2 is refused") {
  World world;
  BareServer server(world.ca.issue("mx", {"mx.example.org"}), nullptr, TLS1_1_VERSION);
  auto met = world.meet(server, {.sni = "mx.example.org"});
  CHECK_FALSE(met.done);
  CHECK(to_string(met.failure) == "validation-failure");
}

TEST_CASE("a server that answers ALPN with a protocol nobody offered is refused") {
  World world;
  auto made =
      make_client_tls({.ca_file = world.folder.write("again.pem", world.ca.root().pem()), .alpn = {"http/1.1"}});
  REQUIRE(made);
  BareServer server(world.ca.issue("mx", {"mx.example.org"}));
  static const unsigned char kOther[] = "\4imap";
  SSL_CTX_set_alpn_select_cb(
      server.context,
      [](SSL*, const unsigned char** out, unsigned char* length, const unsigned char*, unsigned, void*) {
        *out = kOther + 1;
        *length = 4;
        return SSL_TLSEXT_ERR_OK;
      },
      nullptr);
  auto from = (*made)->make_client_filter(names({"mx.example.org"}));
  auto to = server.make_filter();
  CHECK_FALSE(shake(*from, *to));
  CHECK_FALSE(from->established());
  CHECK(to_string(from->failure()) == "validation-failure");
}

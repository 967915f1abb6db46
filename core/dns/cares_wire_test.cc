// The whole resolver, over c-ares and libuv, against a server on loopback.
#include "core/dns/cares_wire.h"

#include <doctest/doctest.h>

#include "core/dns/loop_for_tests.h"
#include "core/dns/packets_for_tests.h"
#include "core/dns/server_for_tests.h"

using namespace postern;
using namespace postern::dns;
using namespace std::string_literals;

namespace {

using Packets = std::vector<std::string>;
constexpr Deadline kLong = Deadline::after(10s);

Packet address(const std::string& question) {
  return Packet(question).answer(kQuestionName, RecordType::kA, 60, "\xC0\0\2\1"s);
}

DnsSettings settings_for(std::initializer_list<const TestServer*> servers) {
  DnsSettings settings;
  for (const TestServer* server : servers) settings.servers.push_back(server->address());
  settings.timeout = 2s;
  settings.tries = 2;
  return settings;
}

Task<void> ask(Resolver* resolver, std::string name, RecordType type, Deadline deadline, DnsAnswer* out) {
  *out = co_await resolver->query(std::move(name), type, deadline);
}

DnsAnswer answer_from(DnsSettings settings, RecordType type = RecordType::kA, std::string name = "x.org") {
  TestLoop loop;
  std::unique_ptr<Resolver> resolver = make_resolver(loop.executor(), std::move(settings)).value();
  DnsAnswer out;
  loop.run(ask(resolver.get(), std::move(name), type, kLong, &out));
  return out;
}

Task<void> ask_many(Resolver* resolver, std::vector<DnsAnswer>* out) {
  Nursery nursery(co_await this_executor());
  for (std::size_t i = 0; i < out->size(); ++i)
    nursery.spawn(ask(resolver, "n" + std::to_string(i) + ".x.org", RecordType::kA, kLong, &(*out)[i]));
  co_await nursery.join();
}

// The late answer of a cancelled question goes into the cache, and the next who asks finds it there.
Task<void> cancel_then_ask(Resolver* resolver, TestServer* server, std::atomic<bool>* open_gate, DnsAnswer* out) {
  Nursery nursery(co_await this_executor());
  nursery.spawn(ask(resolver, "x.org", RecordType::kA, kLong, out));
  while (server->count() == 0) co_await sleep_for(1ms);
  nursery.cancel();
  co_await nursery.join();
  CHECK(out->status == DnsStatus::kServfail);  // never written
  *open_gate = true;
  for (int i = 0; i < 2000 && resolver->stats().cache_entries == 0; ++i) co_await sleep_for(1ms);
  co_await ask(resolver, "x.org", RecordType::kA, kLong, out);
}

Task<void> end_on_the_way(std::unique_ptr<Resolver>* resolver, TestServer* server, DnsAnswer* out) {
  Nursery nursery(co_await this_executor());
  nursery.spawn(ask(resolver->get(), "x.org", RecordType::kA, kLong, out));
  while (server->count() == 0) co_await sleep_for(1ms);
  resolver->reset();
  co_await nursery.join();
}

}  // namespace

TEST_CASE("a question goes out with AD bit and EDNS, and its answer comes back") {
  TestServer server([](const std::string& q, bool) { return Packets{address(q).authentic().str()}; });
  const DnsAnswer answer = answer_from(settings_for({&server}), RecordType::kA, "X.org");
  REQUIRE(answer.ok());
  CHECK(answer.addresses()[0].to_string() == "192.0.2.1");
  CHECK(answer.ttl == 60s);
  CHECK(answer.authenticated);
  REQUIRE(server.count() == 1);
  const std::string asked = server.questions()[0];
  CHECK(asked.substr(2, 10) == "\x01\x20\0\1\0\0\0\0\0\1"s);
  CHECK(asked.substr(12, 11) == wire("x.org") + "\0\1\0\1"s);
}

TEST_CASE("the AD bit of a server that is not trusted is not believed") {
  TestServer server([](const std::string& q, bool) { return Packets{address(q).authentic().str()}; });
  DnsSettings settings = settings_for({&server});
  settings.trust_ad = false;
  const DnsAnswer answer = answer_from(settings);
  CHECK(answer.ok());
  CHECK_FALSE(answer.authenticated);
}

TEST_CASE("a truncated answer is asked for again over TCP, however long") {
  const std::string text(255, 't');
  TestServer server([&text](const std::string& q, bool tcp) {
    if (!tcp) return Packets{Packet(q).truncated().str()};
    Packet packet(q);
    for (int i = 0; i < 40; ++i) packet.answer(kQuestionName, RecordType::kTxt, 60, "\xFF"s + text);
    return Packets{packet.str()};
  });
  const DnsAnswer answer = answer_from(settings_for({&server}), RecordType::kTxt);
  REQUIRE(answer.ok());
  CHECK(answer.records.size() == 40);
  CHECK(server.count() == 2);
}

TEST_CASE("what a single server refuses is handed up as it is") {
  for (auto [code, status] : {std::pair{2U, DnsStatus::kServfail}, std::pair{5U, DnsStatus::kRefused}}) {
    TestServer server(
        [answer_code = code](const std::string& q, bool) { return Packets{Packet(q).rcode(answer_code).str()}; });
    CHECK(answer_from(settings_for({&server})).status == status);
    CHECK(server.count() == 1);
  }
}

TEST_CASE("a name that does not exist is told apart from a failure") {
  TestServer server([](const std::string& q, bool) {
    return Packets{Packet(q).authority(wire("org"), RecordType::kSoa, 60, soa_data(30)).rcode(3).str()};
  });
  const DnsAnswer answer = answer_from(settings_for({&server}));
  CHECK(answer.status == DnsStatus::kNxDomain);
  CHECK(answer.ttl == 30s);
}

TEST_CASE("a silent server is tried as often as set, then it is a timeout") {
  TestServer server([](const std::string&, bool) { return Packets{}; });
  DnsSettings settings = settings_for({&server});
  settings.timeout = 20ms;
  settings.tries = 3;
  CHECK(answer_from(settings).status == DnsStatus::kTimeout);
  CHECK(server.count() == 3);
}

TEST_CASE("the second server answers when the first fails or is silent") {
  TestServer failing([](const std::string& q, bool) { return Packets{Packet(q).rcode(2).str()}; });
  TestServer silent([](const std::string&, bool) { return Packets{}; });
  TestServer good([](const std::string& q, bool) { return Packets{address(q).str()}; });
  CHECK(answer_from(settings_for({&failing, &good})).ok());
  CHECK(failing.count() >= 1);
  DnsSettings settings = settings_for({&silent, &good});
  settings.timeout = 50ms;
  CHECK(answer_from(settings).ok());
  CHECK(silent.count() >= 1);
  CHECK(answer_from(settings_for({&failing})).status == DnsStatus::kServfail);
  CHECK(answer_from(settings_for({&failing, &failing})).status == DnsStatus::kServfail);
}

TEST_CASE("a server that does not know EDNS is asked without it") {
  TestServer server([](const std::string& q, bool) {
    if (q[11] == 0) return Packets{address(q).str()};
    return Packets{Packet(q).rcode(1).str()};
  });
  CHECK(answer_from(settings_for({&server})).ok());
  CHECK(server.count() == 2);
}

TEST_CASE("forged packets before the answer change nothing") {
  TestServer server([](const std::string& q, bool) {
    Packet other_id(q);
    other_id.id ^= 1;
    Packet other_name("y.org", RecordType::kA);
    other_name.id = Packet(q).id;
    return Packets{"x", other_id.rcode(3).str(), other_name.rcode(3).str(), address(q).str()};
  });
  CHECK(answer_from(settings_for({&server})).ok());
}

TEST_CASE("an answer that breaks the format is a failure, not an absence") {
  TestServer server([](const std::string& q, bool) {
    return Packets{Packet(q).answer(kQuestionName, RecordType::kA, 60, "\1\2"s).str()};
  });
  CHECK(answer_from(settings_for({&server})).status == DnsStatus::kMalformed);
}

TEST_CASE("many questions at once are all answered") {
  TestServer server([](const std::string& q, bool) { return Packets{address(q).str()}; });
  TestLoop loop;
  std::unique_ptr<Resolver> resolver = make_resolver(loop.executor(), settings_for({&server})).value();
  std::vector<DnsAnswer> answers(100);
  loop.run(ask_many(resolver.get(), &answers));
  for (const DnsAnswer& answer : answers) CHECK(answer.ok());
  CHECK(resolver->stats().cache_entries == 100);
}

TEST_CASE("the answer to a cancelled question wakes nobody and is kept") {
  std::atomic<bool> open_gate = false;
  TestServer server([&open_gate](const std::string& q, bool) {
    while (!open_gate) std::this_thread::yield();
    return Packets{address(q).str()};
  });
  TestLoop loop;
  std::unique_ptr<Resolver> resolver = make_resolver(loop.executor(), settings_for({&server})).value();
  DnsAnswer answer;
  loop.run(cancel_then_ask(resolver.get(), &server, &open_gate, &answer));
  CHECK(answer.ok());
  CHECK(server.count() == 1);
  CHECK(resolver->stats().hits == 1);
}

TEST_CASE("a resolver may end with questions on their way") {
  TestServer server([](const std::string&, bool) { return Packets{}; });
  TestLoop loop;
  std::unique_ptr<Resolver> resolver = make_resolver(loop.executor(), settings_for({&server})).value();
  DnsAnswer answer;
  loop.run(end_on_the_way(&resolver, &server, &answer));
  CHECK(answer.status == DnsStatus::kServfail);
}

TEST_CASE("a server that is no address is refused with what was found and what was expected") {
  TestLoop loop;
  for (const char* text : {"dns.example.org", "127.0.0.1:0", "unix:/run/dns", ""}) {
    CAPTURE(text);
    DnsSettings settings;
    settings.servers = {text};
    const auto made = make_resolver(loop.executor(), settings);
    REQUIRE_FALSE(made);
    CHECK(made.error().code == "dns.server");
    CHECK(made.error().detail.starts_with("'" + std::string(text) + "' is not"));
  }
  DnsSettings settings;
  settings.servers = {"127.0.0.1", "::1", "[::1]:5353"};
  CHECK(make_resolver(loop.executor(), settings));
}

#include "core/pipeline/recorded_answers.h"

#include <cmath>

#include "core/pipeline/effect_texts.h"
#include "core/pipeline/effects.h"
#include "core/pipeline/fixture_for_tests.h"
#include "postern/services.h"

namespace postern {
namespace {

DnsAnswer ok(std::vector<DnsRecord> records) {
  DnsAnswer answer;
  answer.status = DnsStatus::kOk;
  answer.records = std::move(records);
  return answer;
}

/// Written and read again.
DnsAnswer again(const DnsAnswer& answer, RecordType type, std::string_view question = "example.org") {
  const std::string text = dns_text(answer, question);
  const auto read = parse_dns(text, question, type);
  REQUIRE_MESSAGE(read, text);
  CHECK(dns_text(*read, question) == text);
  return *read;
}

std::string lookup_text(DomainKind domain, const AddressLookup& lookup) {
  std::string out;
  append_lookup(out, domain, lookup);
  return out;
}

std::string cut_to_entry(std::string text) {
  text.resize(std::min(text.size(), Trail::kMaxText));
  return text;
}

}  // namespace

TEST_CASE("an answer of the DNS is read back as it was, of every type") {
  const std::pair<RecordType, std::vector<DnsRecord>> cases[] = {
      {RecordType::kA, {*IpAddress::parse("127.0.0.2"), *IpAddress::parse("127.0.0.4")}},
      {RecordType::kAaaa, {*IpAddress::parse("2001:db8::1")}},
      {RecordType::kMx, {MxRecord{10, "mx.example.org"}, MxRecord{20, "."}}},
      {RecordType::kTxt, {TxtRecord{"v=spf1 \"a\"; \\b [ad]"}, TxtRecord{""}, TxtRecord{std::string("\0\xff\n", 3)}}},
      {RecordType::kPtr, {NameRecord{"odd;name,[x].example"}, NameRecord{"b\\032c.example"}}},
      {RecordType::kNs, {NameRecord{"ns.example"}}},
      {RecordType::kCname, {NameRecord{"real.example"}}},
      {RecordType::kSrv, {SrvRecord{1, 2, 587, "sub.example"}}},
      {RecordType::kTlsa, {TlsaRecord{3, 1, 1, std::string("\0\x01\xfe", 3)}}},
      {RecordType::kSoa, {SoaRecord{"ns.example", "root.example", 2026010101, 300}}},
  };
  for (const auto& [type, records] : cases) {
    CAPTURE(to_string(type));
    const DnsAnswer read = again(ok(records), type);
    CHECK(read.ok());
    CHECK(read.records == records);
    CHECK(read.canonical_name == "example.org");
    DnsAnswer signed_answer = ok(records);
    signed_answer.authenticated = true;
    signed_answer.canonical_name = "host.example.net";
    const DnsAnswer both = again(signed_answer, type);
    CHECK(both.authenticated);
    CHECK(both.canonical_name == "host.example.net");
    CHECK(both.records == records);
  }
}

TEST_CASE("every status of the DNS is read back") {
  for (int i = 1; i <= static_cast<int>(DnsStatus::kOverloaded); ++i) {
    DnsAnswer answer;
    answer.status = static_cast<DnsStatus>(i);
    answer.authenticated = i % 2;
    const DnsAnswer read = again(answer, RecordType::kTxt, "Example.ORG.");
    CHECK(read.status == answer.status);
    CHECK(read.authenticated == answer.authenticated);
    CHECK(read.canonical_name == "example.org");
  }
  CHECK_FALSE(parse_dns("192.0.2", "x", RecordType::kA));
  CHECK_FALSE(parse_dns("\"open", "x", RecordType::kTxt));
  CHECK_FALSE(parse_dns("10", "x", RecordType::kMx));
  CHECK_FALSE(parse_dns("192.0.2.1 [canonical", "x", RecordType::kA));
}

TEST_CASE("an answer that was cut to fit an entry is never taken for the whole") {
  DnsAnswer many = ok({});
  for (int i = 0; i < 400; ++i) many.records.push_back(*IpAddress::parse("192.0.2." + std::to_string(i % 250)));
  CHECK_FALSE(parse_dns(cut_to_entry(fit_answer(dns_text(many, "x"))), "x", RecordType::kA));
  HttpResponse page;
  page.status = 200;
  page.body.assign(5000, 'x');
  CHECK_FALSE(parse_http(cut_to_entry(http_text(page, "u")), "u"));
  page.body.clear();
  for (int i = 0; i < 200; ++i) page.headers.push_back({"X-Field-" + std::to_string(i), "some text that takes room"});
  CHECK_FALSE(parse_http(cut_to_entry(http_text(page, "u")), "u"));
  SqlRows rows;
  rows.columns = {"a"};
  for (int i = 0; i < 2000; ++i) rows.rows.push_back({std::string("value")});
  CHECK_FALSE(parse_sql(cut_to_entry(sql_text(rows))));
  CHECK_FALSE(parse_kv(KeyValueRequest::Kind::kGet, cut_to_entry(kv_text({}, {.value = std::string(5000, 'v')}))));
  const std::string one(5000, 'a'), other = one + "b";
  CHECK(fit_question(one) != fit_question(other));
  CHECK(fit_question(one).size() == Trail::kMaxText);
}

TEST_CASE("what the directory said of an address is read back, with the kind of its domain") {
  AddressLookup alias;
  alias.kind = AddressLookup::Kind::kAlias;
  alias.wild = true;
  alias.targets = {address("a@x.example"), *Address::make("odd, \"name\"", *Domain::parse("y.example")),
                   address("postmaster")};
  const std::string text = lookup_text(DomainKind::kLocal, alias);
  CHECK(text == "wild alias a@x.example, \"odd, \\\"name\\\"\"@y.example, postmaster");
  const auto read = parse_lookup(text);
  REQUIRE(read);
  CHECK(read->lookup.targets == alias.targets);
  CHECK(read->lookup.wild);
  CHECK(read->domain == DomainKind::kLocal);
  AddressLookup account;
  account.kind = AddressLookup::Kind::kAccount;
  account.account = "bob smith@ours";
  CHECK(parse_lookup(lookup_text(DomainKind::kLocal, account))->lookup.account == "bob smith@ours");
  CHECK(lookup_text(DomainKind::kRelay, {}) == "relay");
  CHECK(parse_lookup("relay")->domain == DomainKind::kRelay);
  CHECK(parse_lookup("foreign")->domain == DomainKind::kForeign);
  CHECK(parse_lookup("nobody")->lookup.kind == AddressLookup::Kind::kNoSuchUser);
  CHECK(parse_lookup("temporary")->lookup.kind == AddressLookup::Kind::kTemporary);
  CHECK_FALSE(parse_lookup("alias a@"));
  CHECK_FALSE(parse_lookup("what"));
}

TEST_CASE("a response is read back with its fields, and a spec need not count its octets") {
  HttpResponse response;
  response.status = 404;
  response.content_type = "text/html";
  response.headers = {{"Content-Type", "text/html; charset=utf-8"}, {"X-Empty", ""}};
  response.body = "not\n\nhere";
  response.url = "https://b.example/";
  const auto read = parse_http(http_text(response, "https://a.example/"), "https://a.example/");
  REQUIRE(read);
  CHECK(read->status == 404);
  CHECK(read->content_type == "text/html");
  CHECK(read->header("x-empty").empty());
  CHECK(read->headers.size() == 2);
  CHECK(read->body == "not\n\nhere");
  CHECK(read->url == "https://b.example/");
  const auto stated = parse_http("200 application/json\n\n{}", "u");
  REQUIRE(stated);
  CHECK(stated->body == "{}");
  CHECK(parse_http("204 -", "u")->status == 204);
  CHECK_FALSE(parse_http("ok", "u"));
  CHECK(http_question({.method = "POST", .url = "http://x/", .body = "a"}) !=
        http_question({.method = "POST", .url = "http://x/", .body = "b"}));
}

TEST_CASE("rows are read back, whatever is in them") {
  SqlRows rows;
  rows.columns = {"a", "b"};
  rows.rows = {{std::monostate(), true},
               {std::int64_t{-7}, 2.0},
               {std::string("x\"\n\xc3\xa9"), std::string("\xff\x00", 2)},
               {HUGE_VAL, std::int64_t{9007199254740993}}};
  rows.changed = 3;
  const auto read = parse_sql(sql_text(rows));
  REQUIRE_MESSAGE(read, sql_text(rows));
  CHECK(read->columns == rows.columns);
  CHECK(read->rows == rows.rows);
  CHECK(read->changed == 3);
  CHECK(sql_question("users", "SELECT ?, ?", {{std::string("x")}, {std::string("pw"), true}}) ==
        "users: SELECT ?, ? [\"x\", <secret>]");
  CHECK_FALSE(parse_sql("{\"columns\":[\"a\"],\"rows\":[[1,2]]}"));
  CHECK_FALSE(parse_sql("[]"));
}

TEST_CASE("questions to a store are told apart, and secrets stand in none of the texts") {
  using Kind = KeyValueRequest::Kind;
  KeyValueRequest set{.kind = Kind::kSet, .key = "a \"b\"", .value = "token", .expiry = 90s, .secret = true};
  CHECK(kv_question("memory", set) == "memory \"a \\\"b\\\"\" = <secret> for 90s");
  CHECK(kv_question("m", {.kind = Kind::kIncrement, .key = "n", .by = -2}) == "m \"n\" -2");
  CHECK(kv_text({.secret = true}, {.value = "token"}) == "<secret>");
  CHECK_FALSE(parse_kv(Kind::kGet, "<secret>"));
  CHECK(parse_kv(Kind::kGet, "nothing")->value == std::nullopt);
  CHECK(parse_kv(Kind::kGet, "\"x\"")->value == "x");
  CHECK(parse_kv(Kind::kIncrement, "-5")->number == -5);
  CHECK(parse_fault(fault_text({"kv.timeout", "no answer: at all"}))->detail == "no answer: at all");
}

TEST_CASE("a question that was asked several times gets its answers in order, each stage its own") {
  RecordedAnswers recorded;
  recorded.add("clock.now", "", "5", Stage::kRcpt);
  recorded.add("clock.now", "", "7", Stage::kMessage);
  recorded.add("clock.now", "", "9", Stage::kMessage);
  const auto micros = [&](Stage stage) { return recorded.clock(stage).time_since_epoch().count(); };
  CHECK(micros(Stage::kMessage) == 7);
  CHECK(micros(Stage::kRcpt) == 5);
  CHECK(micros(Stage::kMessage) == 9);
  CHECK(recorded.unanswered().empty());
  CHECK(micros(Stage::kMessage) == 9);
  REQUIRE(recorded.unanswered().size() == 1);
  CHECK(recorded.unanswered()[0].effect == "clock.now");
  CHECK(recorded.unanswered()[0].why == "was asked less often");
}

TEST_CASE("a pure question gets the same answer again, and one that changes the world does not") {
  RecordedAnswers recorded;
  recorded.add("dns.a", "x.example", "servfail", Stage::kRcpt);
  recorded.add("dns.a", "x.example", "192.0.2.1", Stage::kRcpt);
  CHECK(recorded.dns(Stage::kRcpt, "x.example", RecordType::kA).status == DnsStatus::kServfail);
  CHECK(recorded.dns(Stage::kRcpt, "x.example", RecordType::kA).ok());
  CHECK(recorded.dns(Stage::kRcpt, "x.example", RecordType::kA).ok());
  CHECK(recorded.dns(Stage::kMessage, "x.example", RecordType::kA).ok());
  recorded.add("kv.incr", "m \"n\" +1", "4", Stage::kMail);
  const KeyValueRequest increment{.kind = KeyValueRequest::Kind::kIncrement, .key = "n"};
  CHECK(recorded.kv(Stage::kMail, "m", increment)->number == 4);
  CHECK(recorded.unanswered().empty());
  CHECK(recorded.kv(Stage::kMail, "m", increment).error().code == "replay.unanswered");
  CHECK(recorded.text(Stage::kMail, "at_most", "probe").empty());
  CHECK(recorded.unanswered().size() == 2);
  CHECK(recorded.text(Stage::kMail, "at_most", "probe").empty());
  CHECK(recorded.unanswered().size() == 2);
}

TEST_CASE("what was not asked is the answer of a world that is down, and noted") {
  RecordedAnswers recorded;
  recorded.add("http", "GET http://x/", "error http.timeout: late");
  recorded.add("sql", "db: SELECT 1", "{\"columns\":[\"a\"],\"rows\":[[");
  CHECK(recorded.http(Stage::kRcpt, {.url = "http://x/"}).error().code == "http.timeout");
  CHECK(recorded.unanswered().empty());
  CHECK(recorded.sql(Stage::kRcpt, "db", "SELECT 1", {}).error().code == "replay.unanswered");
  CHECK(recorded.dns(Stage::kRcpt, "no.example", RecordType::kMx).status == DnsStatus::kTimeout);
  CHECK(recorded.find(Stage::kRcpt, address("bob@ours.example")).kind == AddressLookup::Kind::kTemporary);
  CHECK(recorded.domain_kind(Stage::kRcpt, "ours.example") == DomainKind::kForeign);
  CHECK(recorded.http(Stage::kRcpt, {.url = "http://y/"}).error().code == "replay.unanswered");
  REQUIRE(recorded.unanswered().size() == 5);
  CHECK(recorded.unanswered()[0].why == "the answer was cut or cannot be read");
  CHECK(recorded.unanswered()[1].why == "was not asked");
  CHECK(recorded.unanswered()[4].question == "GET http://y/");
}

TEST_CASE("the kind of a domain follows from an address in it") {
  RecordedAnswers recorded;
  recorded.add("directory.find", "bob@ours.example", "account bob", Stage::kRcpt);
  recorded.add("directory.find", "x@relayed.example", "relay", Stage::kRcpt);
  CHECK(recorded.domain_kind(Stage::kMessage, "ours.example") == DomainKind::kLocal);
  CHECK(recorded.domain_kind(Stage::kMessage, "relayed.example") == DomainKind::kRelay);
  CHECK(recorded.find(Stage::kMessage, address("bob@ours.example")).account == "bob");
  CHECK(recorded.find(Stage::kMessage, address("y@relayed.example")).kind == AddressLookup::Kind::kForeign);
  CHECK(recorded.unanswered().empty());
}

}  // namespace postern

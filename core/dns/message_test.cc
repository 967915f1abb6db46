#include "core/dns/message.h"

#include <doctest/doctest.h>

#include "core/dns/packets_for_tests.h"

using namespace postern;
using namespace postern::dns;
using namespace std::string_literals;

namespace {

DnsAnswer parse(const std::string& packet, std::string_view name, RecordType type) {
  return parse_answer(octets(packet), name, type);
}

std::optional<std::string> name_in(const std::string& packet, std::size_t offset) {
  return read_name(octets(packet), offset);
}

}  // namespace

TEST_CASE("names have one text form") {
  CHECK(normalise_name("Mail.Example.ORG") == "mail.example.org");
  CHECK(normalise_name("example.org.") == "example.org");
  CHECK(normalise_name(".") == ".");
  CHECK(normalise_name(R"(a\.b.c)") == R"(a\.b.c)");
  CHECK(normalise_name("a b\x01.c") == R"(a\032b\001.c)");
  CHECK(normalise_name(R"(a\032b.c)") == R"(a\032b.c)");
  CHECK(normalise_name(R"(\065.c)") == "a.c");
  CHECK(normalise_name("_25._tcp.mx.example.org") == "_25._tcp.mx.example.org");
}

TEST_CASE("what cannot be a name is refused") {
  CHECK_FALSE(normalise_name(""));
  CHECK_FALSE(normalise_name(".."));
  CHECK_FALSE(normalise_name(".example.org"));
  CHECK_FALSE(normalise_name("a..b"));
  CHECK_FALSE(normalise_name("a.b.."));
  CHECK_FALSE(normalise_name("a\\"));
  CHECK_FALSE(normalise_name("a\\25"));
  CHECK_FALSE(normalise_name("a\\256"));
  CHECK(normalise_name(std::string(63, 'x') + ".org"));
  CHECK_FALSE(normalise_name(std::string(64, 'x') + ".org"));
}

TEST_CASE("a name has at most 255 octets on the wire") {
  const std::string label(63, 'x');
  const std::string three = label + '.' + label + '.' + label + '.';
  CHECK(name_to_wire(three + std::string(61, 'y'))->size() == kMaxNameOctets);
  CHECK_FALSE(name_to_wire(three + std::string(62, 'y')));
  const std::string head = wire(three);
  const std::string longest = head.substr(0, head.size() - 1) + char(61) + std::string(61, 'y') + '\0';
  CHECK(name_in(longest, 0));
  const std::string longer = head.substr(0, head.size() - 1) + char(62) + std::string(62, 'y') + '\0';
  CHECK_FALSE(name_in(longer, 0));
}

TEST_CASE("compressed names are read, and the position goes on behind the pointer") {
  const std::string packet = wire("example.org") + "\4mail\xC0\x00tail"s;
  std::size_t offset = 13;
  CHECK(read_name(octets(packet), offset) == "mail.example.org");
  CHECK(packet.substr(offset) == "tail");
}

TEST_CASE("pointers that lead to themselves, forward or in a circle end the name") {
  CHECK_FALSE(name_in("\xC0\x00"s, 0));
  CHECK_FALSE(name_in("\xC0\x02\0"s, 0));
  CHECK_FALSE(name_in("\1a\xC0\x00"s, 0));
  CHECK_FALSE(name_in("\xC0\x02\xC0\x00"s, 0));
  CHECK_FALSE(name_in("\xC0\x02\xC0\x00"s, 2));
  CHECK_FALSE(name_in("\xC0"s, 0));
  CHECK_FALSE(name_in("\x80\x00"s, 0));
  CHECK_FALSE(
      name_in("\x41"
              "abc"s,
              0));
  CHECK_FALSE(name_in("\5ab"s, 0));
  CHECK_FALSE(name_in("\1a"s, 0));
  CHECK_FALSE(name_in("", 0));
}

TEST_CASE("a long chain of pointers is not walked to its end") {
  std::string packet("\0\0", 2);
  for (unsigned i = 0; i < 200; ++i) packet += be16(0xC000 | 2 * i);
  CHECK(name_in(packet, 2 * kMaxPointers) == ".");
  CHECK_FALSE(name_in(packet, 2 * (kMaxPointers + 1)));
}

TEST_CASE("a question asks for recursion and for the AD bit") {
  const std::string plain = build_question(0x1234, wire("example.org"), RecordType::kMx, false);
  CHECK(plain == "\x12\x34\x01\x20\0\1\0\0\0\0\0\0"s + wire("example.org") + "\0\x0F\0\1"s);
  const std::string edns = build_question(0x1234, wire("example.org"), RecordType::kMx, true);
  CHECK(edns.size() == plain.size() + kOptOctets);
  CHECK(edns.substr(10, 2) == "\0\1"s);
  CHECK(edns.substr(plain.size()) == "\0\0\x29"s + be16(kUdpPayloadOctets) + "\0\0\0\0\0\0"s);
}

TEST_CASE("addresses are read with the least TTL of all") {
  Packet packet("example.org", RecordType::kA);
  packet.answer(kQuestionName, RecordType::kA, 300, "\xC0\0\2\1"s)
      .answer(kQuestionName, RecordType::kA, 60, "\xC0\0\2\2"s);
  const DnsAnswer answer = parse(packet.str(), "example.org", RecordType::kA);
  REQUIRE(answer.ok());
  CHECK(answer.ttl == 60s);
  CHECK_FALSE(answer.authenticated);
  REQUIRE(answer.records.size() == 2);
  CHECK(answer.addresses()[0].to_string() == "192.0.2.1");
  CHECK(answer.addresses()[1].to_string() == "192.0.2.2");
  CHECK(answer.canonical_name == "example.org");
}

TEST_CASE("each type is read into its own record") {
  auto one = [](RecordType type, std::string_view data) {
    const DnsAnswer answer = parse(Packet("x.org", type).answer(kQuestionName, type, 1, data).str(), "x.org", type);
    REQUIRE(answer.ok());
    REQUIRE(answer.records.size() == 1);
    return answer.records[0];
  };
  CHECK(one(RecordType::kMx, "\0\x0A\2mx\xC0\x0C"s) == DnsRecord(MxRecord{10, "mx.x.org"}));
  CHECK(one(RecordType::kMx, "\0\0\0"s) == DnsRecord(MxRecord{0, "."}));
  CHECK(one(RecordType::kTxt, "\6v=spf1\5 -all"s) == DnsRecord(TxtRecord{"v=spf1 -all"}));
  CHECK(one(RecordType::kPtr, wire("Mail.X.org")) == DnsRecord(NameRecord{"mail.x.org"}));
  CHECK(one(RecordType::kCname, wire("y.org")) == DnsRecord(NameRecord{"y.org"}));
  CHECK(one(RecordType::kNs, wire("ns.x.org")) == DnsRecord(NameRecord{"ns.x.org"}));
  CHECK(one(RecordType::kSrv, "\0\1\0\2\3\xE1"s + wire("s.x.org")) == DnsRecord(SrvRecord{1, 2, 993, "s.x.org"}));
  CHECK(one(RecordType::kTlsa, "\3\1\1\xAA\xBB"s) == DnsRecord(TlsaRecord{3, 1, 1, "\xAA\xBB"}));
  CHECK(one(RecordType::kSoa, soa_data(900)) ==
        DnsRecord(SoaRecord{"ns.example.org", "hostmaster.example.org", 7, 900}));
  CHECK(std::get<AddressRecord>(one(RecordType::kAaaa, "\x20\1\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\1"s)).to_string() ==
        "2001:db8::1");
}

TEST_CASE("CNAME records are followed in any order") {
  Packet packet("www.example.org", RecordType::kA);
  packet.answer(wire("c.example.org"), RecordType::kA, 100, "\xC0\0\2\1"s)
      .answer(wire("b.example.org"), RecordType::kCname, 30, wire("c.example.org"))
      .answer(kQuestionName, RecordType::kCname, 200, wire("B.example.org"))
      .answer(wire("other.example.org"), RecordType::kA, 1, "\xC0\0\2\xFF"s);
  const DnsAnswer answer = parse(packet.str(), "www.example.org", RecordType::kA);
  REQUIRE(answer.ok());
  CHECK(answer.canonical_name == "c.example.org");
  CHECK(answer.ttl == 30s);
  REQUIRE(answer.records.size() == 1);
  CHECK(answer.addresses()[0].to_string() == "192.0.2.1");
}

TEST_CASE("a circle of CNAME records is malformed") {
  Packet packet("a.org", RecordType::kA);
  packet.answer(kQuestionName, RecordType::kCname, 1, wire("b.org"))
      .answer(wire("b.org"), RecordType::kCname, 1, wire("a.org"));
  CHECK(parse(packet.str(), "a.org", RecordType::kA).status == DnsStatus::kMalformed);
}

TEST_CASE("negative answers take their TTL from the SOA record") {
  Packet packet("no.example.org", RecordType::kMx);
  packet.authority(wire("example.org"), RecordType::kSoa, 3600, soa_data(900)).rcode(3).authentic();
  DnsAnswer answer = parse(packet.str(), "no.example.org", RecordType::kMx);
  CHECK(answer.status == DnsStatus::kNxDomain);
  CHECK(answer.ttl == 900s);
  CHECK(answer.authenticated);
  CHECK(answer.negative());
  CHECK_FALSE(answer.temporary());

  Packet nodata("example.org", RecordType::kMx);
  nodata.authority(wire("example.org"), RecordType::kSoa, 60, soa_data(900));
  answer = parse(nodata.str(), "example.org", RecordType::kMx);
  CHECK(answer.status == DnsStatus::kNoData);
  CHECK(answer.ttl == 60s);

  answer = parse(Packet("example.org", RecordType::kMx).str(), "example.org", RecordType::kMx);
  CHECK(answer.status == DnsStatus::kNoData);
  CHECK(answer.ttl == 0s);
}

TEST_CASE("codes of failure become statuses, and no failure is authenticated") {
  auto status = [](unsigned code) {
    const DnsAnswer answer =
        parse(Packet("x.org", RecordType::kA).rcode(code).authentic().str(), "x.org", RecordType::kA);
    CHECK_FALSE(answer.authenticated);
    return answer.status;
  };
  CHECK(status(1) == DnsStatus::kServfail);
  CHECK(status(2) == DnsStatus::kServfail);
  CHECK(status(4) == DnsStatus::kServfail);
  CHECK(status(5) == DnsStatus::kRefused);
  Packet bare("x.org", RecordType::kA);
  bare.rcode(1).questions = 0;
  CHECK(parse(bare.str(), "x.org", RecordType::kA).status == DnsStatus::kServfail);
  CHECK(is_format_error(octets(bare.str())));
}

TEST_CASE("the OPT record extends the code of failure") {
  Packet packet("x.org", RecordType::kA);
  packet.additional("\0"s, 41, 1U << 24);  // 16: BADVERS
  const DnsAnswer answer = parse(packet.str(), "x.org", RecordType::kA);
  CHECK(answer.status == DnsStatus::kServfail);
  CHECK(answer.detail == "rcode 16");
}

TEST_CASE("an answer to another question is malformed") {
  Packet packet("x.org", RecordType::kA);
  packet.answer(kQuestionName, RecordType::kA, 1, "\xC0\0\2\1"s);
  CHECK(parse(packet.str(), "x.org", RecordType::kA).ok());
  CHECK(parse(packet.str(), "y.org", RecordType::kA).status == DnsStatus::kMalformed);
  CHECK(parse(packet.str(), "x.org", RecordType::kAaaa).status == DnsStatus::kMalformed);
  packet.flags &= ~0x8000U;
  CHECK(parse(packet.str(), "x.org", RecordType::kA).status == DnsStatus::kMalformed);
}

TEST_CASE("a truncated answer is malformed, even with records in it") {
  Packet packet("x.org", RecordType::kA);
  packet.answer(kQuestionName, RecordType::kA, 1, "\xC0\0\2\1"s).truncated();
  CHECK(parse(packet.str(), "x.org", RecordType::kA).status == DnsStatus::kMalformed);
}

TEST_CASE("no prefix of an answer is taken for an answer") {
  Packet packet("x.org", RecordType::kMx);
  packet.answer(kQuestionName, RecordType::kMx, 9, "\0\5\2mx\xC0\x0C"s)
      .authority(kQuestionName, RecordType::kSoa, 9, soa_data(1))
      .additional("\0"s, 41, 0);
  const std::string whole = packet.str();
  CHECK(parse(whole, "x.org", RecordType::kMx).ok());
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(parse(whole.substr(0, size), "x.org", RecordType::kMx).status == DnsStatus::kMalformed);
  }
}

TEST_CASE("data of the wrong length is malformed") {
  auto status = [](RecordType type, std::string_view data) {
    return parse(Packet("x.org", type).answer(kQuestionName, type, 1, data).str(), "x.org", type).status;
  };
  CHECK(status(RecordType::kA, "\1\2\3"s) == DnsStatus::kMalformed);
  CHECK(status(RecordType::kA, "\1\2\3\4\5"s) == DnsStatus::kMalformed);
  CHECK(status(RecordType::kAaaa, "\1\2\3\4"s) == DnsStatus::kMalformed);
  CHECK(status(RecordType::kMx, "\0"s) == DnsStatus::kMalformed);
  CHECK(status(RecordType::kMx, "\0\1\1a"s) == DnsStatus::kMalformed);
  CHECK(status(RecordType::kMx, "\0\1\1a\0!"s) == DnsStatus::kMalformed);
  CHECK(status(RecordType::kTxt, "\5abc"s) == DnsStatus::kMalformed);
  CHECK(status(RecordType::kTlsa, "\1\2"s) == DnsStatus::kMalformed);
  CHECK(status(RecordType::kPtr, ""s) == DnsStatus::kMalformed);
  CHECK(status(RecordType::kSoa, wire("a")) == DnsStatus::kMalformed);
  CHECK(status(RecordType::kSrv, "\0\1\0\2"s) == DnsStatus::kMalformed);
}

TEST_CASE("a name may not run out of its record's data") {
  Packet packet("x.org", RecordType::kPtr);
  packet.answer(kQuestionName, RecordType::kPtr, 1, "\3abc"s).answer("\0"s, RecordType::kTxt, 1, ""s);
  CHECK(parse(packet.str(), "x.org", RecordType::kPtr).status == DnsStatus::kMalformed);
}

TEST_CASE("more records than the limit are malformed") {
  Packet packet("x.org", RecordType::kA);
  for (std::size_t i = 0; i < kMaxAnswerRecords; ++i) packet.answer(kQuestionName, RecordType::kA, 1, "\1\2\3\4"s);
  CHECK(parse(packet.str(), "x.org", RecordType::kA).records.size() == kMaxAnswerRecords);
  packet.answer(kQuestionName, RecordType::kA, 1, "\1\2\3\4"s);
  CHECK(parse(packet.str(), "x.org", RecordType::kA).status == DnsStatus::kMalformed);
  packet.answers = 0xFFFF;
  CHECK(parse(packet.str(), "x.org", RecordType::kA).status == DnsStatus::kMalformed);
}

TEST_CASE("a TTL beyond 31 bits counts as zero") {
  Packet packet("x.org", RecordType::kA);
  packet.answer(kQuestionName, RecordType::kA, 0x8000'0000, "\1\2\3\4"s);
  CHECK(parse(packet.str(), "x.org", RecordType::kA).ttl == 0s);
}

TEST_CASE("types have names in both directions") {
  CHECK(to_string(RecordType::kTlsa) == "TLSA");
  CHECK(parse_record_type("tlsa") == RecordType::kTlsa);
  CHECK(parse_record_type("Mx") == RecordType::kMx);
  CHECK_FALSE(parse_record_type("HINFO"));
  CHECK(to_string(static_cast<RecordType>(65)) == "TYPE65");
  CHECK(to_string(DnsStatus::kNxDomain) == "nxdomain");
}

#include "core/dns/message.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/dns/name.h"

namespace postern::dns {
namespace {

constexpr std::size_t kHeaderOctets = 12;
constexpr std::uint16_t kClassIn = 1;
constexpr std::uint16_t kTypeOpt = 41;
constexpr std::uint8_t kFlagResponse = 0x80, kFlagTruncated = 0x02, kFlagRecurse = 0x01;  // third octet
constexpr std::uint8_t kFlagAuthentic = 0x20, kRcodeMask = 0x0F;                          // fourth octet
constexpr unsigned kNoError = 0, kFormErr = 1, kServFail = 2, kNxDomainCode = 3, kRefusedCode = 5;

// Reads big-endian numbers and names. The first failure sticks: later reads give zeros and empty names.
class Reader {
 public:
  Reader(std::span<const std::uint8_t> packet, std::size_t at, std::size_t end) : packet_(packet), at_(at), end_(end) {}

  bool good() const { return good_; }
  bool at_end() const { return good_ && at_ == end_; }
  std::size_t at() const { return at_; }

  std::uint8_t u8() { return need(1) ? packet_[at_++] : std::uint8_t{0}; }
  std::uint16_t u16() {
    const unsigned high = u8();
    return static_cast<std::uint16_t>(high << 8 | u8());
  }
  std::uint32_t u32() {
    const std::uint32_t high = u16();
    return high << 16 | u16();
  }
  std::span<const std::uint8_t> octets(std::size_t count) {
    if (!need(count)) return {};
    at_ += count;
    return packet_.subspan(at_ - count, count);
  }
  std::span<const std::uint8_t> rest() { return octets(end_ - at_); }
  std::string name() {
    std::optional<std::string> text = good_ ? read_name(packet_, at_) : std::nullopt;
    if (!text || at_ > end_) good_ = false;
    return good_ ? *std::move(text) : std::string();
  }

 private:
  bool need(std::size_t count) { return good_ = good_ && end_ - at_ >= count; }

  std::span<const std::uint8_t> packet_;
  std::size_t at_;
  std::size_t end_;
  bool good_ = true;
};

struct RawRecord {
  std::string owner;
  std::uint16_t type = 0;
  std::uint32_t ttl = 0;
  std::size_t data_at = 0;
  std::size_t data_end = 0;
};

// RFC 2181 §8: a TTL with the top bit set counts as zero.
std::uint32_t sane_ttl(std::uint32_t ttl) {
  return ttl > 0x7FFF'FFFFU ? 0 : ttl;
}

std::string to_text(std::span<const std::uint8_t> octets) {
  return {octets.begin(), octets.end()};
}

std::optional<DnsRecord> read_address(Reader in, std::size_t size) {
  const auto octets = in.rest();
  if (octets.size() != size) return std::nullopt;
  if (size == 4) {
    std::uint32_t value = 0;
    for (std::uint8_t octet : octets) value = value << 8 | octet;
    return DnsRecord(IpAddress::v4(value));
  }
  std::array<std::uint8_t, 16> all{};
  std::copy(octets.begin(), octets.end(), all.begin());
  return DnsRecord(IpAddress::v6(all));
}

// RFC 1035 §3.3.14: one or more strings, each behind its length. An empty RDATA is let pass as an empty text.
std::optional<DnsRecord> read_text(Reader in) {
  TxtRecord record;
  while (in.good() && !in.at_end()) record.text += to_text(in.octets(in.u8()));
  return in.good() ? std::optional<DnsRecord>(std::move(record)) : std::nullopt;
}

std::optional<DnsRecord> read_mx(Reader in) {
  MxRecord record;
  record.preference = in.u16();
  record.exchange = in.name();
  return in.at_end() ? std::optional<DnsRecord>(std::move(record)) : std::nullopt;
}

std::optional<DnsRecord> read_name_record(Reader in) {
  NameRecord record{in.name()};
  return in.at_end() ? std::optional<DnsRecord>(std::move(record)) : std::nullopt;
}

// RFC 2782. Its target must not be compressed; servers that do it all the same are understood.
std::optional<DnsRecord> read_srv(Reader in) {
  SrvRecord record;
  record.priority = in.u16();
  record.weight = in.u16();
  record.port = in.u16();
  record.target = in.name();
  return in.at_end() ? std::optional<DnsRecord>(std::move(record)) : std::nullopt;
}

std::optional<DnsRecord> read_tlsa(Reader in) {
  TlsaRecord record;
  record.usage = in.u8();
  record.selector = in.u8();
  record.matching = in.u8();
  record.data = to_text(in.rest());
  return in.good() ? std::optional<DnsRecord>(std::move(record)) : std::nullopt;
}

std::optional<DnsRecord> read_soa(Reader in) {
  SoaRecord record;
  record.primary = in.name();
  record.mailbox = in.name();
  record.serial = in.u32();
  in.octets(12);  // refresh, retry, expire: for secondaries
  record.minimum = in.u32();
  return in.at_end() ? std::optional<DnsRecord>(std::move(record)) : std::nullopt;
}

std::optional<DnsRecord> read_data(std::span<const std::uint8_t> packet, const RawRecord& raw) {
  Reader in(packet, raw.data_at, raw.data_end);
  switch (static_cast<RecordType>(raw.type)) {
    case RecordType::kA:
      return read_address(in, 4);
    case RecordType::kAaaa:
      return read_address(in, 16);
    case RecordType::kMx:
      return read_mx(in);
    case RecordType::kTxt:
      return read_text(in);
    case RecordType::kNs:
    case RecordType::kCname:
    case RecordType::kPtr:
      return read_name_record(in);
    case RecordType::kSrv:
      return read_srv(in);
    case RecordType::kTlsa:
      return read_tlsa(in);
    case RecordType::kSoa:
      return read_soa(in);
  }
  return std::nullopt;
}

// One packet, read once from front to back.
class Parser {
 public:
  Parser(std::span<const std::uint8_t> packet, std::string_view name, RecordType type)
      : packet_(packet), in_(packet, 0, packet.size()), type_(type) {
    answer_.canonical_name = name;
  }

  DnsAnswer run() {
    if (packet_.size() > kMaxPacketOctets || !read_header()) return failed("no DNS header");
    if (!(flags_[0] & kFlagResponse)) return failed("a question instead of an answer");
    if (!read_question()) return failed("the answer is to another question");
    if (!read_section(counts_[1], answers_) || !read_section(counts_[2], authority_) || !read_additional())
      return failed("broken or too many records");
    answer_.authenticated = flags_[1] & kFlagAuthentic;
    if (!read_rcode()) return std::move(answer_);
    if (flags_[0] & kFlagTruncated) return failed("the answer is truncated");
    if (!follow_names()) return failed("too many or broken CNAME records");
    if (!take_records()) return failed("broken or too many records of the type asked for");
    if (answer_.records.empty()) return negative();
    answer_.status = DnsStatus::kOk;
    answer_.ttl = std::chrono::seconds(ttl_);
    return std::move(answer_);
  }

 private:
  DnsAnswer failed(std::string why) {
    DnsAnswer out;
    out.status = DnsStatus::kMalformed;
    out.canonical_name = std::move(answer_.canonical_name);
    out.detail = std::move(why);
    return out;
  }

  bool read_header() {
    in_.u16();  // the id was matched by c-ares
    flags_ = {in_.u8(), in_.u8()};
    for (std::uint16_t& count : counts_) count = in_.u16();
    rcode_ = flags_[1] & kRcodeMask;
    return in_.good();
  }

  // A server that could not read the question, or will not, may leave it out of its answer.
  bool read_question() {
    if (counts_[0] == 0) return rcode_ != kNoError && rcode_ != kNxDomainCode;
    if (counts_[0] != 1) return false;
    const std::string name = in_.name();
    const std::uint16_t type = in_.u16();
    const std::uint16_t klass = in_.u16();
    return in_.good() && name == answer_.canonical_name && type == static_cast<std::uint16_t>(type_) &&
           klass == kClassIn;
  }

  std::optional<RawRecord> read_record() {
    RawRecord record;
    record.owner = in_.name();
    record.type = in_.u16();
    const std::uint16_t klass = in_.u16();
    record.ttl = in_.u32();
    const std::uint16_t size = in_.u16();
    record.data_at = in_.at();
    in_.octets(size);
    record.data_end = in_.at();
    if (!in_.good()) return std::nullopt;
    if (record.type == kTypeOpt) rcode_ |= record.ttl >> 24 << 4;  // RFC 6891 §6.1.3: the upper bits of the RCODE
    if (klass != kClassIn) record.type = 0;                        // passed over
    return record;
  }

  bool read_section(std::uint16_t count, std::vector<RawRecord>& into) {
    if (count > kMaxSectionRecords) return false;
    for (std::uint16_t i = 0; i < count; ++i) {
      std::optional<RawRecord> record = read_record();
      if (!record) return false;
      if (record->type == static_cast<std::uint16_t>(type_) || record->type == kCname || record->type == kSoa)
        into.push_back(*std::move(record));
    }
    return true;
  }

  bool read_additional() {
    if (counts_[3] > kMaxSectionRecords) return false;
    for (std::uint16_t i = 0; i < counts_[3]; ++i)
      if (!read_record()) return flags_[0] & kFlagTruncated;
    return true;
  }

  // False when the answer ends here with a failure.
  bool read_rcode() {
    if (rcode_ == kNoError || rcode_ == kNxDomainCode) return true;
    answer_.authenticated = false;
    answer_.status = rcode_ == kRefusedCode ? DnsStatus::kRefused : DnsStatus::kServfail;
    if (rcode_ != kServFail && rcode_ != kRefusedCode) answer_.detail = "rcode " + std::to_string(rcode_);
    return false;
  }

  void use_ttl(std::uint32_t ttl) { ttl_ = std::min(ttl_, sane_ttl(ttl)); }

  // CNAME records stand in any order; each step looks for the one of the name reached so far.
  bool follow_names() {
    if (type_ == RecordType::kCname) return true;
    for (std::size_t steps = 0; steps <= kMaxCnames; ++steps) {
      auto next = std::ranges::find_if(
          answers_, [this](const RawRecord& r) { return r.type == kCname && r.owner == answer_.canonical_name; });
      if (next == answers_.end()) return true;
      std::optional<DnsRecord> record = read_data(packet_, *next);
      if (!record) return false;
      use_ttl(next->ttl);
      answer_.canonical_name = std::get<NameRecord>(*std::move(record)).name;
    }
    return false;
  }

  bool take_records() {
    for (const RawRecord& raw : answers_) {
      if (raw.type != static_cast<std::uint16_t>(type_) || raw.owner != answer_.canonical_name) continue;
      std::optional<DnsRecord> record = read_data(packet_, raw);
      if (!record || answer_.records.size() == kMaxAnswerRecords) return false;
      use_ttl(raw.ttl);
      answer_.records.push_back(*std::move(record));
    }
    return true;
  }

  // RFC 2308 §2, §5. An NXDOMAIN behind a CNAME is about the last name of the chain (RFC 6604), which is what counts.
  DnsAnswer negative() {
    answer_.status = rcode_ == kNxDomainCode ? DnsStatus::kNxDomain : DnsStatus::kNoData;
    auto soa = std::ranges::find_if(authority_, [](const RawRecord& r) { return r.type == kSoa; });
    if (soa == authority_.end()) return std::move(answer_);
    std::optional<DnsRecord> record = read_data(packet_, *soa);
    if (!record) return failed("broken SOA record");
    use_ttl(soa->ttl);
    use_ttl(std::get<SoaRecord>(*record).minimum);
    answer_.ttl = std::chrono::seconds(ttl_);
    return std::move(answer_);
  }

  static constexpr auto kCname = static_cast<std::uint16_t>(RecordType::kCname);
  static constexpr auto kSoa = static_cast<std::uint16_t>(RecordType::kSoa);

  std::span<const std::uint8_t> packet_;
  Reader in_;
  RecordType type_;
  DnsAnswer answer_;
  std::array<std::uint8_t, 2> flags_{};
  std::array<std::uint16_t, 4> counts_{};
  unsigned rcode_ = 0;
  std::uint32_t ttl_ = 0x7FFF'FFFF;
  std::vector<RawRecord> answers_;
  std::vector<RawRecord> authority_;
};

void put16(std::string& out, unsigned value) {
  out += static_cast<char>(value >> 8);
  out += static_cast<char>(value);
}

}  // namespace

std::string build_question(std::uint16_t id, std::string_view wire_name, RecordType type, bool edns) {
  std::string out;
  out.reserve(kHeaderOctets + wire_name.size() + 4 + kOptOctets);
  put16(out, id);
  put16(out, unsigned{kFlagRecurse} << 8 | kFlagAuthentic);
  for (unsigned count : {1U, 0U, 0U, edns ? 1U : 0U}) put16(out, count);
  out += wire_name;
  put16(out, static_cast<unsigned>(type));
  put16(out, kClassIn);
  if (!edns) return out;
  out += '\0';  // of the root
  put16(out, kTypeOpt);
  put16(out, kUdpPayloadOctets);
  out.append(6, '\0');  // no flags, no options: AD is asked for by its bit, signatures (DO) are not wanted
  return out;
}

DnsAnswer parse_answer(std::span<const std::uint8_t> packet, std::string_view name, RecordType type) {
  return Parser(packet, name, type).run();
}

bool is_format_error(std::span<const std::uint8_t> packet) {
  return packet.size() >= kHeaderOctets && (packet[3] & kRcodeMask) == kFormErr;
}

}  // namespace postern::dns

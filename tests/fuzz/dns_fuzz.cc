// Answers from hostile servers: the first octet chooses the type that was asked for, the rest is the packet. The name
// is taken from the packet's own question, so that inputs reach past the check that it is ours. Seeds: corpus/dns/ (one
// answer of each kind, one of each known attack). RFC 1035 §4.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "core/dns/message.h"
#include "core/dns/name.h"

namespace {

using namespace postern;

constexpr RecordType kTypes[] = {RecordType::kA,   RecordType::kNs,  RecordType::kCname, RecordType::kSoa,
                                 RecordType::kPtr, RecordType::kMx,  RecordType::kTxt,   RecordType::kAaaa,
                                 RecordType::kSrv, RecordType::kTlsa};
constexpr std::size_t kHeaderOctets = 12;

void require(bool holds) {
  if (!holds) std::abort();
}

// A name from a packet is one that can be asked for, in the one text form.
void require_name(const std::string& name) {
  require(dns::normalise_name(name) == name);
}

struct CheckRecord {
  RecordType type;
  void operator()(const AddressRecord& r) const { require(type == (r.is_v6() ? RecordType::kAaaa : type)); }
  void operator()(const MxRecord& r) const { require(type == RecordType::kMx), require_name(r.exchange); }
  void operator()(const TxtRecord& r) const { require(type == RecordType::kTxt && r.text.size() <= 65'535); }
  void operator()(const NameRecord& r) const { require_name(r.name); }
  void operator()(const SrvRecord& r) const { require(type == RecordType::kSrv), require_name(r.target); }
  void operator()(const TlsaRecord&) const { require(type == RecordType::kTlsa); }
  void operator()(const SoaRecord& r) const { require_name(r.primary), require_name(r.mailbox); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const RecordType type = kTypes[data[0] % std::size(kTypes)];
  const std::span<const std::uint8_t> packet(data + 1, size - 1);
  std::size_t offset = kHeaderOctets;
  const std::string name = dns::read_name(packet, offset).value_or("x.org");
  require_name(name);

  const DnsAnswer answer = dns::parse_answer(packet, name, type);
  require(answer.ok() == !answer.records.empty());
  require(answer.records.size() <= dns::kMaxAnswerRecords);
  require(answer.ttl.count() >= 0 && answer.ttl.count() <= 0x7FFF'FFFF);
  require(!answer.temporary() || !answer.authenticated);
  require_name(answer.canonical_name);
  for (const DnsRecord& record : answer.records) std::visit(CheckRecord{type}, record);

  const std::string text(reinterpret_cast<const char*>(data), size);
  if (std::optional<std::string> normal = dns::normalise_name(text)) require_name(*normal);
  return 0;
}

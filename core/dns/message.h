// Builds questions and reads answers: the only code that touches DNS packets.
//
// For:    c-ares 1.18 moves packets; what they say is decided here, bounded and fuzzed (tests/fuzz/dns_fuzz.cc).
// Errors: a hostile packet gives DnsStatus::kMalformed with a detail, never an exception and never more work or memory
//         than the limits below allow.
// RFC:    1035 §4, 2181 §8 (TTL), 2308 (negative answers), 6840 §5.7 (AD in a question), 6891 (EDNS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "postern/dns.h"

namespace postern::dns {

constexpr std::size_t kMaxPacketOctets = 65'535;
constexpr std::size_t kMaxSectionRecords = 1'024;   ///< in one section of an answer
constexpr std::size_t kMaxAnswerRecords = 512;      ///< of the type that was asked for
constexpr std::size_t kMaxCnames = 16;              ///< from the name asked for to the name answered
constexpr std::uint16_t kUdpPayloadOctets = 1'232;  ///< what we take over UDP without fragments (DNS flag day 2020)
constexpr std::size_t kOptOctets = 11;              ///< the OPT record at the end of an EDNS question

/// A question with RD and AD set, with an OPT record at its end when `edns`. `wire_name` is of name_to_wire().
std::string build_question(std::uint16_t id, std::string_view wire_name, RecordType type, bool edns);

/// What a packet says to the question (name, type). `name` is in the form of normalise_name().
///
/// CNAMEs in the answer section are followed; records of other names or types are passed over. The TTL is the least of
/// the records used; of a negative answer the lesser of the SOA's TTL and its minimum, or 0 without one (RFC 2308 §5).
DnsAnswer parse_answer(std::span<const std::uint8_t> packet, std::string_view name, RecordType type);

/// RCODE FORMERR: the server may not know EDNS (RFC 6891 §7).
bool is_format_error(std::span<const std::uint8_t> packet);

}  // namespace postern::dns

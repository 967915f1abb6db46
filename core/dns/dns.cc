// Names of types and statuses.
#include "postern/dns.h"

#include <algorithm>
#include <array>
#include <utility>

namespace postern {
namespace {

constexpr std::array<std::pair<RecordType, std::string_view>, 10> kTypeNames{{
    {RecordType::kA, "A"},
    {RecordType::kNs, "NS"},
    {RecordType::kCname, "CNAME"},
    {RecordType::kSoa, "SOA"},
    {RecordType::kPtr, "PTR"},
    {RecordType::kMx, "MX"},
    {RecordType::kTxt, "TXT"},
    {RecordType::kAaaa, "AAAA"},
    {RecordType::kSrv, "SRV"},
    {RecordType::kTlsa, "TLSA"},
}};

bool same_ignoring_case(std::string_view left, std::string_view right) {
  auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c; };
  return std::ranges::equal(left, right, {}, upper, upper);
}

}  // namespace

Resolver::~Resolver() = default;
Resolvers::~Resolvers() = default;

std::string to_string(RecordType type) {
  for (const auto& [known, name] : kTypeNames)
    if (known == type) return std::string(name);
  return "TYPE" + std::to_string(static_cast<unsigned>(type));
}

std::optional<RecordType> parse_record_type(std::string_view name) {
  for (const auto& [type, known] : kTypeNames)
    if (same_ignoring_case(known, name)) return type;
  return std::nullopt;
}

std::string_view to_string(ReverseName::Status status) {
  static constexpr std::string_view kNames[] = {"confirmed", "unconfirmed", "none", "temporary"};
  return kNames[static_cast<std::size_t>(status)];
}

std::string_view to_string(DnsStatus status) {
  switch (status) {
    case DnsStatus::kOk:
      return "ok";
    case DnsStatus::kNxDomain:
      return "nxdomain";
    case DnsStatus::kNoData:
      return "nodata";
    case DnsStatus::kServfail:
      return "servfail";
    case DnsStatus::kTimeout:
      return "timeout";
    case DnsStatus::kRefused:
      return "refused";
    case DnsStatus::kMalformed:
      return "malformed";
    case DnsStatus::kOverloaded:
      return "overloaded";
  }
  return "unknown";
}

}  // namespace postern

#include "dane.h"

#include <fmt/format.h>

#include "postern/text.h"

namespace postern::relay {

namespace {

std::string as_text(const TlsaRecord& record) {
  return fmt::format("{} {} {} {}", record.usage, record.selector, record.matching, hex_encode(record.data));
}

/// What one authenticated answer is worth.
DaneFinding weigh(const DnsAnswer& answer, std::string base) {
  DaneFinding found;
  found.base = std::move(base);
  found.ttl = answer.ttl;
  std::size_t count = 0;
  for (const TlsaRecord& record : answer.all<TlsaRecord>()) {
    ++count;
    if (found.strings.size() < DaneFinding::kMaxRecords) found.strings.push_back(as_text(record));
    TlsAssociation association{record.usage, record.selector, record.matching, record.data};
    if (usable(association) && found.records.size() < DaneFinding::kMaxRecords)
      found.records.push_back(std::move(association));
  }
  found.kind = found.records.empty() ? DaneFinding::Kind::kUnusable : DaneFinding::Kind::kUsable;
  found.text = fmt::format("dane: {} usable of {} TLSA of {}", found.records.size(), count, found.base);
  return found;
}

DaneFinding none(std::string text) {
  DaneFinding found;
  found.text = "no dane: " + std::move(text);
  return found;
}

}  // namespace

std::string why_no_dane(const TlsQuestion& question) {
  if ((!question.smarthost || question.from_mx) && !question.mx_authenticated)
    return "the MX of " + question.domain + " are not signed";
  if (!question.addresses.authenticated) return "the addresses of " + question.host.name + " are not signed";
  return {};
}

Task<DaneFinding> find_dane(Resolver& dns, TlsQuestion question, Deadline deadline) {
  if (std::string why = why_no_dane(question); !why.empty()) co_return none(std::move(why));
  std::vector<std::string> bases;
  const std::string& canonical = question.addresses.canonical_name;
  if (!canonical.empty() && !equal_folded(canonical, question.host.name)) bases.push_back(canonical);
  bases.push_back(question.host.name);
  for (const std::string& base : bases) {
    DnsAnswer answer = co_await dns.query(fmt::format("_{}._tcp.{}", question.port, base), RecordType::kTlsa, deadline);
    if (answer.temporary()) {
      DaneFinding later;
      later.kind = DaneFinding::Kind::kTryLater;
      later.base = base;
      later.text = fmt::format("dane: TLSA of {}: {} {}", base, to_string(answer.status), answer.detail);
      co_return later;
    }
    // An answer without a signature is an answer of anybody: as if there were none (§2.2.2).
    if (answer.ok() && answer.authenticated) co_return weigh(answer, base);
  }
  co_return none("there are no signed TLSA of " + question.host.name);
}

}  // namespace postern::relay

#include "tls_report_record.h"

#include <algorithm>

#include "postern/text.h"

namespace postern::relay {

namespace {

constexpr std::string_view kStart = "v=TLSRPTv1";

/// RFC 8460 §3: a comma or exclamation mark inside a URI is percent-encoded; an address wants it back (RFC 6068 §2).
std::optional<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const auto octet = i + 2 < text.size() ? hex_decode(text.substr(i + 1, 2)) : std::nullopt;
      if (!octet) return std::nullopt;
      c = octet->front();
      i += 2;
    }
    if (c <= ' ' || c >= 127) return std::nullopt;
    out += c;
  }
  return out;
}

std::optional<std::string> target_of(std::string_view uri) {
  if (starts_with_folded(uri, "https://")) return std::string(uri);
  if (!starts_with_folded(uri, "mailto:")) return std::nullopt;
  uri.remove_prefix(7);
  const auto address = unescape(uri.substr(0, uri.find('?')));  // header fields of a mailto are nobody's business
  if (!address || address->find('@') == std::string::npos) return std::nullopt;
  return "mailto:" + *address;
}

}  // namespace

std::optional<TlsReportRecord> TlsReportRecord::parse(std::string_view text) {
  if (!text.starts_with(kStart)) return std::nullopt;
  text.remove_prefix(kStart.size());
  if (!trim_left(text).starts_with(';')) return std::nullopt;
  TlsReportRecord record;
  for (const std::string_view piece : split(text.substr(text.find(';') + 1), ';')) {
    const std::string_view field = trim(piece);
    if (!field.starts_with("rua=") || !record.rua.empty()) continue;
    for (const std::string_view uri : split(field.substr(4), ',')) {
      if (record.rua.size() == kMaxTargets) break;
      if (auto target = target_of(trim(uri))) record.rua.push_back(std::move(*target));
    }
  }
  if (record.rua.empty()) return std::nullopt;
  return record;
}

std::optional<TlsReportRecord> tls_report_record(const DnsAnswer& answer) {
  std::optional<TlsReportRecord> found;
  std::size_t count = 0;
  for (const TxtRecord& record : answer.all<TxtRecord>()) {
    if (!record.text.starts_with(kStart)) continue;
    if (++count > 1) return std::nullopt;
    found = TlsReportRecord::parse(record.text);
  }
  return found;
}

}  // namespace postern::relay

#include "next_hop.h"

#include "postern/text.h"

namespace postern::relay {

namespace {

constexpr std::uint16_t kLmtpPort = 24;
constexpr std::uint16_t kSubmissionsPort = 465;

std::unexpected<Fault> wrong(std::string detail) {
  return fault("delivery.next_hop", std::move(detail));
}

/// Takes ":port" off the end of what follows the host.
Result<std::optional<std::uint16_t>> parse_port(std::string_view text) {
  if (text.empty()) return std::optional<std::uint16_t>();
  if (text.front() != ':') return wrong("something other than :port stands behind the host");
  const auto port = to_number<std::uint16_t>(text.substr(1), 1);
  if (!port) return wrong("the port is not a number from 1 to 65535");
  return std::optional<std::uint16_t>(*port);
}

Result<void> parse_host(NextHop& hop, std::string_view text) {
  if (auto address = IpAddress::parse(text)) {
    hop.address = address;
    hop.host = address->literal();
    hop.by_mx = false;
    return {};
  }
  auto domain = Domain::parse(text, {.allow_literal = false});
  if (!domain) return wrong("is not a host: " + domain.error().to_string());
  hop.host = domain->ascii();
  return {};
}

}  // namespace

Result<NextHop> parse_next_hop(std::string_view text) {
  NextHop hop;
  if (starts_with_folded(text, "lmtp:unix:")) {
    hop.protocol = Protocol::kLmtp;
    hop.by_mx = false;
    hop.unix_path = text.substr(10);
    if (hop.unix_path.empty() || hop.unix_path.front() != '/') return wrong("the socket's path must begin with /");
    return hop;
  }
  if (starts_with_folded(text, "lmtp://")) {
    hop.protocol = Protocol::kLmtp;
    hop.by_mx = false;
    hop.port = kLmtpPort;
    text.remove_prefix(7);
  } else if (starts_with_folded(text, "smtps://")) {
    hop.implicit_tls = true;
    hop.by_mx = false;
    hop.port = kSubmissionsPort;
    text.remove_prefix(8);
  } else if (starts_with_folded(text, "smtp://")) {
    text.remove_prefix(7);
  }
  std::string_view host, rest;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == text.npos) return wrong("the closing ] is missing");
    host = text.substr(1, end - 1);
    if (starts_with_folded(host, "IPv6:")) host.remove_prefix(5);
    rest = text.substr(end + 1);
    hop.by_mx = false;
  } else {
    const std::size_t colon = text.find(':');
    host = text.substr(0, colon);
    if (colon != text.npos) rest = text.substr(colon);
  }
  if (auto parsed = parse_host(hop, host); !parsed) return std::unexpected(parsed.error());
  auto port = parse_port(rest);
  if (!port) return std::unexpected(port.error());
  if (*port) hop.port = *port;
  return hop;
}

std::optional<std::string> pattern_fault(std::string_view text) {
  if (text == "*" || text == "<>") return std::nullopt;
  if (text.find('@') != text.npos) {
    if (auto parsed = Address::parse(text); !parsed) return "is not an address: " + parsed.error().to_string();
    return std::nullopt;
  }
  if (text.starts_with('.')) text.remove_prefix(1);
  if (auto parsed = Domain::parse(text); !parsed) return "is not a domain: " + parsed.error().to_string();
  return std::nullopt;
}

bool fits(const Address& address, std::string_view pattern) {
  if (pattern == "*") return true;
  if (pattern == "<>") return address.is_null();
  if (pattern.find('@') != pattern.npos) {
    const auto parsed = Address::parse(pattern);
    return parsed && parsed->domain() == address.domain() && equal_folded(parsed->local(), address.local());
  }
  const bool below = pattern.starts_with('.');
  const auto domain = Domain::parse(below ? pattern.substr(1) : pattern);
  if (!domain) return false;
  return below ? address.domain() != *domain && address.domain().is_within(*domain) : address.domain() == *domain;
}

}  // namespace postern::relay

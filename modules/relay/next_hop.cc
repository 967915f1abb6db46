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

Result<Pattern> Pattern::parse(std::string_view text) {
  Pattern out;
  if (text == "*") return out;
  if (text == "<>") {
    out.kind_ = Kind::kNull;
    return out;
  }
  if (text.find('@') != text.npos) {
    auto address = Address::parse(text);
    if (!address) return fault("delivery.pattern", "is not an address: " + address.error().to_string());
    out.kind_ = Kind::kAddress;
    out.address_ = std::move(*address);
    return out;
  }
  out.kind_ = text.starts_with('.') ? Kind::kBelow : Kind::kDomain;
  if (out.kind_ == Kind::kBelow) text.remove_prefix(1);
  auto domain = Domain::parse(text);
  if (!domain) return fault("delivery.pattern", "is not a domain: " + domain.error().to_string());
  out.domain_ = std::move(*domain);
  return out;
}

bool Pattern::fits(const Address& address) const {
  switch (kind_) {
    case Kind::kAll:
      return true;
    case Kind::kNull:
      return address.is_null();
    case Kind::kAddress:
      return address_.domain() == address.domain() && equal_folded(address_.local(), address.local());
    case Kind::kDomain:
      return address.domain() == domain_;
    case Kind::kBelow:
      return address.domain() != domain_ && address.domain().is_within(domain_);
  }
  return false;
}

}  // namespace postern::relay

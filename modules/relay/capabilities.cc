#include "capabilities.h"

#include <array>
#include <utility>

#include "postern/text.h"

namespace postern::relay {

namespace {

constexpr std::array<std::pair<std::string_view, bool Capabilities::*>, 11> kFlags = {{
    {"PIPELINING", &Capabilities::pipelining},
    {"CHUNKING", &Capabilities::chunking},
    {"BINARYMIME", &Capabilities::binarymime},
    {"8BITMIME", &Capabilities::eightbitmime},
    {"SMTPUTF8", &Capabilities::smtputf8},
    {"DSN", &Capabilities::dsn},
    {"STARTTLS", &Capabilities::starttls},
    {"REQUIRETLS", &Capabilities::requiretls},
    {"PRDR", &Capabilities::prdr},
    {"MT-PRIORITY", &Capabilities::mt_priority},
    {"DELIVERBY", &Capabilities::deliver_by},
}};

constexpr std::array<std::pair<std::string_view, std::uint32_t>, 10> kAttributes = {{
    {"NAME", Capabilities::kName},
    {"ADDR", Capabilities::kAddr},
    {"PORT", Capabilities::kPort},
    {"PROTO", Capabilities::kProto},
    {"HELO", Capabilities::kHelo},
    {"IDENT", Capabilities::kIdent},
    {"SOURCE", Capabilities::kSource},
    {"LOGIN", Capabilities::kLogin},
    {"DESTADDR", Capabilities::kDestAddr},
    {"DESTPORT", Capabilities::kDestPort},
}};

std::uint32_t attributes(std::string_view words) {
  std::uint32_t bits = 0;
  for (const std::string_view word : split_words(words))
    for (const auto& [name, bit] : kAttributes)
      if (equal_folded(word, name)) bits |= bit;
  return bits;
}

void take_auth(Capabilities& out, std::string_view words) {
  for (const std::string_view word : split_words(words)) {
    if (equal_folded(word, "PLAIN")) out.auth_plain = true;
    if (equal_folded(word, "LOGIN")) out.auth_login = true;
  }
}

void take_limits(Capabilities& out, std::string_view words) {
  for (std::string_view word : split_words(words)) {
    const std::string_view name = take_until(word, '=');
    const auto value = to_number<std::uint32_t>(word, 1);
    if (!value) continue;
    if (equal_folded(name, "MAILMAX")) out.mail_max = value;
    if (equal_folded(name, "RCPTMAX")) out.rcpt_max = value;
    if (equal_folded(name, "RCPTDOMAINMAX")) out.rcpt_domain_max = value;
  }
}

void take_line(Capabilities& out, std::string_view line) {
  const std::size_t end = line.find_first_of(" =");  // "AUTH=PLAIN" of servers older than RFC 2554
  const std::string_view word = line.substr(0, end);
  const std::string_view rest = end == line.npos ? std::string_view() : trim(line.substr(end + 1));
  for (const auto& [name, flag] : kFlags)
    if (equal_folded(word, name)) out.*flag = true;
  if (equal_folded(word, "SIZE")) {
    out.size = true;
    out.max_size = to_number<std::uint64_t>(rest).value_or(0);
  } else if (equal_folded(word, "AUTH")) {
    take_auth(out, rest);
  } else if (equal_folded(word, "LIMITS")) {
    take_limits(out, rest);
  } else if (equal_folded(word, "XCLIENT")) {
    out.xclient = attributes(rest);
  } else if (equal_folded(word, "XFORWARD")) {
    out.xforward = attributes(rest);
  }
}

}  // namespace

Capabilities Capabilities::parse(std::string_view text) {
  Capabilities out;
  take_until(text, '\n');
  while (!text.empty()) take_line(out, trim(take_until(text, '\n')));
  return out;
}

}  // namespace postern::relay

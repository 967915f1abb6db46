// Values of the parameters of MAIL and RCPT: xtext, NOTIFY, ORCPT, RET, ENVID, BODY, SIZE, MT-PRIORITY, BY, HOLDFOR.
#include <algorithm>
#include <array>
#include <charconv>

#include "core/mail/chars.h"
#include "postern/envelope.h"
#include "postern/mail_date.h"

namespace postern {
namespace {

using mail::hex_value;
using mail::iequals;

constexpr std::size_t kMaxDigits = 9;  // of BY (RFC 2852 §4) and HOLDFOR (RFC 4865 §4)

std::unexpected<SyntaxFault> syntax(std::string_view what, std::size_t offset, bool too_long = false) {
  return std::unexpected(SyntaxFault{what, offset, too_long});
}

bool is_xchar(char c) {
  return c >= '!' && c <= '~' && c != '+' && c != '=';
}

void append_hex(std::string& out, char c) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto octet = static_cast<unsigned char>(c);
  out += kDigits[octet >> 4];
  out += kDigits[octet & 15];
}

// A whole text of 1..`max_digits` digits, with a sign when that is allowed.
Parsed<std::int64_t> number(std::string_view text, std::size_t max_digits, bool sign) {
  const bool negative = sign && text.starts_with('-');
  const bool signs = negative || (sign && text.starts_with('+'));
  const std::string_view digits = text.substr(signs ? 1 : 0);
  if (digits.empty() || !std::ranges::all_of(digits, mail::is_digit)) return syntax("the value must be a number", 0);
  if (digits.size() > max_digits) return syntax("the number has too many digits", 0, true);
  std::int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return negative ? -value : value;
}

}  // namespace

std::string xtext_encode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (is_xchar(c)) {
      out += c;
    } else {
      out += '+';
      append_hex(out, c);
    }
  }
  return out;
}

Parsed<std::string> xtext_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_xchar(text[i])) {
      out += text[i];
      continue;
    }
    if (text[i] != '+') return syntax("a character of the xtext must be encoded", i);
    const int high = i + 1 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) return syntax("'+' in xtext must be followed by two hexadecimal digits", i);
    out += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return out;
}

Parsed<std::string> utf8_addr_decode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i).starts_with("\\x{")) {
      const std::size_t end = text.find('}', i);
      if (end == std::string_view::npos || end - i < 5 || end - i > 9)
        return syntax("'\\x{' must hold 2 to 6 digits", i);
      char32_t point = 0;
      for (std::size_t k = i + 3; k < end; ++k) {
        if (hex_value(text[k]) < 0) return syntax("'\\x{' must hold hexadecimal digits", k);
        point = point << 4 | static_cast<char32_t>(hex_value(text[k]));
      }
      if (point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return syntax("'\\x{' names no character", i);
      mail::append_utf8(out, point);
      i = end + 1;
      continue;
    }
    const std::size_t length = mail::utf8_length(text.substr(i));
    if (length == 0) return syntax("the address is not valid UTF-8", i);
    if (length == 1 && (!is_xchar(text[i]) || text[i] == '\\')) return syntax("a character must be encoded", i);
    out.append(text, i, length);
    i += length;
  }
  return out;
}

Parsed<std::uint8_t> parse_notify(std::string_view text) {
  if (iequals(text, "NEVER")) return kNotifyNever;
  std::uint8_t notify = 0;
  for (std::size_t at = 0;;) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view word = text.substr(at, comma - at);
    const std::uint8_t bit = iequals(word, "SUCCESS")   ? kNotifySuccess
                             : iequals(word, "FAILURE") ? kNotifyFailure
                             : iequals(word, "DELAY")   ? kNotifyDelay
                                                        : 0;
    if (bit == 0) return syntax("NOTIFY must be NEVER or a list of SUCCESS, FAILURE, DELAY", at);
    if ((notify & bit) != 0) return syntax("NOTIFY names a condition twice", at);
    notify |= bit;
    if (comma == text.size()) return notify;
    at = comma + 1;
  }
}

std::string format_notify(std::uint8_t notify) {
  if (notify == kNotifyNever) return "NEVER";
  std::string out;
  const auto add = [&](std::uint8_t bit, std::string_view word) {
    if ((notify & bit) == 0) return;
    if (!out.empty()) out += ',';
    out += word;
  };
  add(kNotifySuccess, "SUCCESS");
  add(kNotifyFailure, "FAILURE");
  add(kNotifyDelay, "DELAY");
  return out;
}

Parsed<OriginalRecipient> parse_orcpt(std::string_view text) {
  if (text.size() > kMaxOrcpt) return syntax("ORCPT is longer than 500 octets", kMaxOrcpt, true);
  const std::size_t semicolon = text.find(';');
  if (semicolon == std::string_view::npos || semicolon == 0) return syntax("ORCPT must be type;address", 0);
  for (std::size_t i = 0; i < semicolon; ++i) {
    if (!mail::is_atext(text[i])) return syntax("the address type of ORCPT is not an atom", i);
  }
  OriginalRecipient original{mail::to_lower(text.substr(0, semicolon)), {}};
  const std::string_view coded = text.substr(semicolon + 1);
  Parsed<std::string> address = original.type == "utf-8" ? utf8_addr_decode(coded) : xtext_decode(coded);
  if (!address) return syntax(address.error().what, address.error().offset + semicolon + 1);
  original.address = std::move(*address);
  return original;
}

std::string format_orcpt(std::string_view type, std::string_view address) {
  std::string out(type);
  out += ';';
  if (!iequals(type, "utf-8")) return out += xtext_encode(address);
  // utf-8-addr-xtext, which goes through servers without SMTPUTF8 as well (RFC 6533 §3).
  for (std::size_t i = 0; i < address.size();) {
    const std::size_t length = std::max<std::size_t>(mail::utf8_length(address.substr(i)), 1);
    const auto octet = [&](std::size_t k) { return static_cast<char32_t>(static_cast<unsigned char>(address[i + k])); };
    char32_t point = length == 1 ? octet(0) : octet(0) & (0xffU >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) point = point << 6 | (octet(k) & 0x3f);
    if (length == 1 && is_xchar(address[i]) && address[i] != '\\') {
      out += address[i];
    } else {
      std::array<char, 8> digits{};
      const auto end =
          std::to_chars(digits.data(), digits.data() + digits.size(), static_cast<unsigned>(point), 16).ptr;
      out += end - digits.data() < 2 ? "\\x{0" : "\\x{";
      for (const char* digit = digits.data(); digit != end; ++digit) {
        out += *digit >= 'a' ? static_cast<char>(*digit - 'a' + 'A') : *digit;
      }
      out += '}';
    }
    i += length;
  }
  return out;
}

Parsed<std::string> parse_envid(std::string_view text) {
  if (text.empty()) return syntax("ENVID is empty", 0);
  if (text.size() > kMaxEnvid) return syntax("ENVID is longer than 100 octets", kMaxEnvid, true);
  return xtext_decode(text);
}

Parsed<DsnReturn> parse_ret(std::string_view text) {
  if (iequals(text, "FULL")) return DsnReturn::kFull;
  if (iequals(text, "HDRS")) return DsnReturn::kHeaders;
  return syntax("RET must be FULL or HDRS", 0);
}

Parsed<BodyType> parse_body(std::string_view text) {
  if (iequals(text, "7BIT")) return BodyType::k7Bit;
  if (iequals(text, "8BITMIME")) return BodyType::k8BitMime;
  if (iequals(text, "BINARYMIME")) return BodyType::kBinaryMime;
  return syntax("BODY must be 7BIT, 8BITMIME or BINARYMIME", 0);
}

Parsed<std::uint64_t> parse_declared_size(std::string_view text) {
  if (text.empty() || !std::ranges::all_of(text, mail::is_digit)) return syntax("SIZE must be a number", 0);
  if (text.size() > 20) return syntax("SIZE has more than 20 digits", 20, true);
  std::uint64_t size = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), size);
  if (end.ec != std::errc{}) size = ~std::uint64_t{0};  // 20 digits may pass 2^64; as a size it is all the same
  return size;
}

Parsed<std::int8_t> parse_priority(std::string_view text) {
  const Parsed<std::int64_t> value = number(text, 1, true);
  if (!value) return syntax("MT-PRIORITY must be a number from -9 to 9", 0);
  return static_cast<std::int8_t>(*value);
}

Parsed<DeliverBy> parse_deliver_by(std::string_view text, WallTime now) {
  const std::size_t semicolon = text.find(';');
  if (semicolon == std::string_view::npos) return syntax("BY must be seconds;mode", 0);
  const Parsed<std::int64_t> seconds = number(text.substr(0, semicolon), kMaxDigits, true);
  if (!seconds) return std::unexpected(seconds.error());
  const std::string_view mode = text.substr(semicolon + 1);
  const bool trace = mode.size() == 2 && mail::lower(mode[1]) == 't';
  const char letter = mode.empty() ? '\0' : mail::lower(mode[0]);
  if ((letter != 'r' && letter != 'n') || (mode.size() > 1 && !trace))
    return syntax("the mode of BY must be R or N", semicolon + 1);
  // RFC 2852 §4: with R the time must be positive.
  if (letter == 'r' && *seconds <= 0) return syntax("BY with mode R needs a time above zero", 0);
  return DeliverBy{now + std::chrono::seconds(*seconds), letter == 'r', trace};
}

Parsed<WallTime> parse_hold_for(std::string_view text, WallTime now) {
  const Parsed<std::int64_t> seconds = number(text, kMaxDigits, false);
  if (!seconds) return std::unexpected(seconds.error());
  return now + std::chrono::seconds(*seconds);
}

Parsed<WallTime> parse_hold_until(std::string_view text) {
  const std::optional<WallTime> when = parse_rfc3339(text);
  if (!when) return syntax("HOLDUNTIL must be a date and time of RFC 3339", 0);
  return *when;
}

}  // namespace postern

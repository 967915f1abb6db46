// Domain: one pass over ASCII names; libidn2 only for names that hold UTF-8, and for showing them again.
#include <idn2.h>

#include <array>
#include <memory>

#include "core/mail/chars.h"
#include "postern/address.h"

namespace postern {
namespace {

using mail::iequals;
using mail::is_8bit;
using mail::is_alpha;
using mail::is_digit;
using mail::lower;

struct IdnFree {
  void operator()(void* text) const { idn2_free(text); }
};
using IdnText = std::unique_ptr<char, IdnFree>;

std::unexpected<SyntaxFault> syntax(std::string_view what, std::size_t offset, bool too_long = false) {
  return std::unexpected(SyntaxFault{what, offset, too_long});
}

constexpr std::array<char, 256> make_name_octets() {
  std::array<char, 256> table{};
  for (unsigned c = 0; c < 256; ++c) {
    const char octet = static_cast<char>(c);
    if (is_alpha(octet) || is_digit(octet) || octet == '-' || octet == '_') table[c] = lower(octet);
  }
  return table;
}
constexpr std::array<char, 256> kNameOctet = make_name_octets();  // in lower case; 0: not allowed

// sub-domain of RFC 5321 §4.1.2, in lower case, with "_" as one letter more: hosts that announce such names exist.
Parsed<std::string> ascii_name(std::string_view text) {
  if (text.size() > kMaxDomain) return syntax("the domain is longer than 255 octets", kMaxDomain, true);
  std::string out(text.size(), '\0');
  std::size_t label = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || text[i] == '.') {
      if (i == label) {
        return syntax(i == text.size() && i != 0 ? "the domain ends with a dot" : "the domain has an empty label", i);
      }
      if (i - label > kMaxLabel) return syntax("a label of the domain is longer than 63 octets", label, true);
      if (text[label] == '-') return syntax("a label of the domain starts with a hyphen", label);
      if (text[i - 1] == '-') return syntax("a label of the domain ends with a hyphen", i - 1);
      if (i < text.size()) out[i] = '.';
      label = i + 1;
      continue;
    }
    const char c = text[i];
    const char kept = kNameOctet[static_cast<unsigned char>(c)];
    if (kept == 0) return syntax("the domain has a character that is not allowed", i);
    out[i] = kept;
  }
  return out;
}

Parsed<std::string> utf8_name(std::string_view text, std::size_t first) {
  if (text.size() > kMaxDomain) return syntax("the domain is longer than 255 octets", kMaxDomain, true);
  if (!is_valid_utf8(text)) return syntax("the domain is not valid UTF-8", first);
  if (text.contains('\0')) return syntax("the domain has a character that is not allowed", text.find('\0'));
  char* raw = nullptr;
  const int code = idn2_to_ascii_8z(std::string(text).c_str(), &raw, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  const IdnText ascii(raw);
  if (code != IDN2_OK) return syntax("the domain is not a valid internationalised name", first);
  Parsed<std::string> name = ascii_name(ascii.get());
  if (!name) return syntax(name.error().what, first, name.error().too_long);
  return name;
}

Parsed<std::string> literal_name(std::string_view text) {
  if (text.size() < 2 || text.back() != ']')
    return syntax("the address literal lacks its closing bracket", text.size());
  const std::string_view inner = text.substr(1, text.size() - 2);
  const bool v6 = inner.size() >= 5 && iequals(inner.substr(0, 5), "IPv6:");
  if (!v6 && inner.contains(':')) return syntax("this kind of address literal is not known", 1);
  const std::optional<IpAddress> address = IpAddress::parse(v6 ? inner.substr(5) : inner);
  if (!address) return syntax("the address literal has no valid address", 1);
  return address->literal();
}

}  // namespace

std::string SyntaxFault::to_string() const {
  return std::string(what) + " (at octet " + std::to_string(offset + 1) + ")";
}

Parsed<Domain> Domain::parse(std::string_view text, Options options) {
  if (text.empty()) return syntax("the domain is missing", 0);
  Parsed<std::string> name;
  if (text.front() == '[') {
    if (!options.allow_literal) return syntax("an address literal is not allowed here", 0);
    if (text.size() > kMaxDomain) return syntax("the domain is longer than 255 octets", kMaxDomain, true);
    name = literal_name(text);
  } else {
    std::size_t first = 0;
    while (first < text.size() && !is_8bit(text[first])) ++first;
    if (first < text.size() && !options.allow_utf8) return syntax("UTF-8 in the domain needs SMTPUTF8", first);
    name = first < text.size() ? utf8_name(text, first) : ascii_name(text);
  }
  if (!name) return std::unexpected(name.error());
  Domain domain;
  domain.text_ = std::move(*name);
  return domain;
}

Domain Domain::literal(const IpAddress& address) {
  Domain domain;
  domain.text_ = address.literal();
  return domain;
}

std::optional<IpAddress> Domain::address() const {
  if (!is_literal()) return std::nullopt;
  const std::string_view inner = std::string_view(text_).substr(1, text_.size() - 2);
  return IpAddress::parse(inner.starts_with("IPv6:") ? inner.substr(5) : inner);
}

std::string Domain::unicode() const {
  if (is_literal() || text_.find("xn--") == std::string::npos) return text_;
  char* raw = nullptr;
  const int code = idn2_to_unicode_8z8z(text_.c_str(), &raw, 0);
  const IdnText name(raw);
  return code == IDN2_OK ? std::string(name.get()) : text_;
}

bool Domain::is_within(const Domain& parent) const {
  if (text_ == parent.text_) return true;
  if (is_literal() || parent.empty() || parent.is_literal() || text_.size() <= parent.text_.size()) return false;
  return text_.ends_with(parent.text_) && text_[text_.size() - parent.text_.size() - 1] == '.';
}

std::string_view Domain::parent() const {
  if (is_literal()) return {};
  const std::size_t dot = text_.find('.');
  return dot == std::string::npos ? std::string_view{} : std::string_view(text_).substr(dot + 1);
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = mail::utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace postern

#include "core/pipeline/trail_person.h"

#include <algorithm>

#include "postern/text.h"

namespace postern {
namespace {

constexpr std::string_view kWithin = "erased=erased.invalid";
constexpr std::string_view kWithinTurned = "=erased.invalid=erased";

/// Octets that would make what stands before or behind an address a part of it (RFC 5322 §3.2.3 atext, and UTF-8).
bool is_local_octet(char c) {
  return is_ascii_alnum(c) || static_cast<unsigned char>(c) >= 0x80 ||
         std::string_view("!#$%&'*+-/=?^_`{|}~.").find(c) != std::string_view::npos;
}
bool is_domain_octet(char c) {
  return is_ascii_alnum(c) || c == '-' || static_cast<unsigned char>(c) >= 0x80;
}

std::size_t find_folded(std::string_view text, std::string_view wanted, std::size_t from) {
  const auto found = std::search(text.begin() + static_cast<std::ptrdiff_t>(std::min(from, text.size())), text.end(),
                                 wanted.begin(), wanted.end(), [](char a, char b) { return ascii_lower(a) == b; });
  return found == text.end() && !wanted.empty() ? std::string_view::npos
                                                : static_cast<std::size_t>(found - text.begin());
}

bool domain_goes_on(std::string_view behind) {
  if (behind.empty()) return false;
  if (is_domain_octet(behind[0])) return true;
  return behind[0] == '.' && behind.size() > 1 && is_domain_octet(behind[1]);
}

}  // namespace

Person::Person(std::string_view address) : address_(to_lower(address)) {
  forms_.push_back({address_, kPlaceholder, true});
  const std::size_t at = address_.rfind('@');
  if (at == std::string::npos || at == 0) return;
  const std::string local = address_.substr(0, at), domain = address_.substr(at + 1);
  forms_.push_back({local + "=" + domain, kWithin, false});
  forms_.push_back({"=" + domain + "=" + local, kWithinTurned, false});
}

bool Person::is(std::string_view other) const {
  return equal_folded(other, address_);
}

Person::Match Person::find(std::string_view text, std::size_t from) const {
  Match first;
  for (const Form& form : forms_) {
    for (std::size_t at = find_folded(text, form.text, from); at != std::string_view::npos;
         at = find_folded(text, form.text, at + 1)) {
      if (at >= first.at) break;
      const std::string_view behind = text.substr(at + form.text.size());
      const bool begins = at == 0 || (form.address ? !is_local_octet(text[at - 1]) : !is_ascii_alnum(text[at - 1])) ||
                          form.text[0] == '=';
      if (!begins || domain_goes_on(behind)) continue;
      first = {at, form.text.size(), form.placeholder};
      break;
    }
  }
  return first;
}

bool Person::in(std::string_view text) const {
  return find(text, 0).at != std::string_view::npos;
}

bool Person::touches(std::string_view octets) const {
  return std::ranges::any_of(
      forms_, [&](const Form& form) { return find_folded(octets, form.text, 0) != std::string_view::npos; });
}

std::size_t Person::redact(std::string& text) const {
  std::size_t count = 0;
  for (Match match = find(text, 0); match.at != std::string_view::npos; ++count) {
    text.replace(match.at, match.size, match.placeholder);
    match = find(text, match.at + match.placeholder.size());
  }
  return count;
}

}  // namespace postern

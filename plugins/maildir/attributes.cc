#include "attributes.h"

#include "files.h"
#include "mailbox.h"
#include "names.h"
#include "postern/text.h"

namespace postern::maildir {

namespace {

constexpr std::string_view kFile = "/postern-attributes";

std::string plain(std::string_view safe) {
  std::string out;
  for (std::size_t i = 0; i < safe.size(); ++i) {
    const auto octet = safe[i] == '%' ? hex_decode(safe.substr(i + 1, 2)) : std::nullopt;
    if (octet && octet->size() == 1) {
      out += *octet;
      i += 2;
    } else {
      out += safe[i];
    }
  }
  return out;
}

/// As safe_component(), and without "=", which ends a name.
std::string safe_name(std::string_view name) {
  std::string out;
  for (const char c : safe_component(name)) out += c == '=' ? std::string("%3D") : std::string(1, c);
  return out;
}

}  // namespace

Attributes load_attributes(const std::string& dir) {
  Attributes attributes;
  const auto text = read_small(dir + std::string(kFile), MaildirMailbox::kMaxAttributeBytes);
  std::string_view rest = text ? std::string_view(*text) : std::string_view();
  while (!rest.empty() && attributes.size() < MaildirMailbox::kMaxAttributes) {
    std::string_view line = take_until(rest, '\n');
    const std::string_view name = take_until(line, '=');
    if (!name.empty()) attributes.insert_or_assign(plain(name), plain(line));
  }
  return attributes;
}

int save_attributes(const std::string& dir, const Attributes& attributes) {
  std::string text;
  for (const auto& [name, value] : attributes) {
    text += safe_name(name);
    text += '=';
    text += safe_component(value);
    text += '\n';
  }
  return replace_small(dir + std::string(kFile), text, false);
}

}  // namespace postern::maildir

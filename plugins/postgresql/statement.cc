#include "statement.h"

#include "postern/text.h"

namespace postern::postgresql {
namespace {

bool is_name(char c) {
  return is_ascii_alnum(c) || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}

/// Where the quoted text that begins at `at` ends; the end of all when it is open.
std::size_t end_of_quote(std::string_view text, std::size_t at, bool escapes) {
  const char quote = text[at++];
  for (; at < text.size(); ++at) {
    if (escapes && text[at] == '\\')
      ++at;
    else if (text[at] == quote && at + 1 < text.size() && text[at + 1] == quote)
      ++at;
    else if (text[at] == quote)
      return at + 1;
  }
  return text.size();
}

std::size_t end_of_comment(std::string_view text, std::size_t at) {
  std::size_t depth = 0;
  for (; at < text.size(); ++at) {
    const std::string_view two = text.substr(at, 2);
    if (two == "/*")
      ++depth, ++at;
    else if (two == "*/") {
      ++at;
      if (--depth == 0) return at + 1;
    }
  }
  return text.size();
}

/// Of $tag$ ... $tag$; where it is none, the octet behind the dollar.
std::size_t end_of_dollars(std::string_view text, std::size_t at) {
  std::size_t tag = at + 1;
  while (tag < text.size() && is_name(text[tag])) ++tag;
  if (tag >= text.size() || text[tag] != '$' || (tag > at + 1 && is_ascii_digit(text[at + 1]))) return at + 1;
  const std::string_view mark = text.substr(at, tag + 1 - at);
  const std::size_t end = text.find(mark, tag + 1);
  return end == std::string_view::npos ? text.size() : end + mark.size();
}

/// Where what begins at `at` ends, when no `?` in it counts; `at` when it is an ordinary octet.
std::size_t skip(std::string_view text, std::size_t at) {
  const char c = text[at];
  const bool in_name = at > 0 && is_name(text[at - 1]);
  if (c == '\'') {
    const bool escapes = at > 0 && ascii_lower(text[at - 1]) == 'e' && (at < 2 || !is_name(text[at - 2]));
    return end_of_quote(text, at, escapes);
  }
  if (c == '"') return end_of_quote(text, at, false);
  if (text.substr(at, 2) == "--") return std::min(text.find('\n', at), text.size());
  if (text.substr(at, 2) == "/*") return end_of_comment(text, at);
  if (c == '$' && !in_name) return end_of_dollars(text, at);
  return at;
}

}  // namespace

Translated translate(std::string_view statement) {
  Translated out;
  for (std::size_t at = 0; at < statement.size();) {
    if (const std::size_t end = skip(statement, at); end != at) {
      out.text += statement.substr(at, end - at);
      at = end;
    } else if (statement.substr(at, 2) == "??") {
      out.text += '?';
      at += 2;
    } else if (statement[at] == '?') {
      out.text += '$' + std::to_string(++out.arguments);
      ++at;
    } else {
      out.text += statement[at++];
    }
  }
  return out;
}

}  // namespace postern::postgresql

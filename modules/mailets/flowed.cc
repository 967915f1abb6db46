#include "flowed.h"

#include "postern/text.h"

namespace postern::mailets {
namespace {

constexpr std::string_view kSignature = "-- ";

/// Whether it has more characters, octets that do not continue another (RFC 3676 counts so). Looks no further than
/// that.
bool wider_than(std::string_view text, std::size_t columns) {
  for (const char c : text)
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80 && columns-- == 0) return true;
  return false;
}

std::size_t quotes_of(std::string_view line) {
  const std::size_t end = line.find_first_not_of('>');
  return end == std::string_view::npos ? line.size() : end;
}

/// Takes a line off `text`; `eol` is its end, as it was.
std::string_view take_line(std::string_view& text, std::string_view& eol) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  const std::size_t whole = end == std::string_view::npos ? text.size() : end + 1;
  if (end != std::string_view::npos && line.ends_with('\r')) line.remove_suffix(1);
  eol = text.substr(line.size(), whole - line.size());
  text.remove_prefix(whole);
  return line;
}

/// What must not begin a line as it is gets a blank (§4.4). `quoted`: a quote's text is stuffed always.
void stuff(std::string& out, std::string_view line, bool quoted) {
  if (!line.empty() && (quoted || line.front() == ' ' || line.front() == '>' || line.starts_with("From "))) out += ' ';
}

void add_flowed(std::string& out, std::string_view line, std::string_view eol, std::size_t columns) {
  const std::string_view marks = line.substr(0, quotes_of(line));
  line.remove_prefix(marks.size());
  if (!marks.empty() && line.starts_with(' ')) line.remove_prefix(1);
  if (line != kSignature)
    while (line.ends_with(' ')) line.remove_suffix(1);  // else it would flow into the next
  // A line with more marks than text stays whole: each of its pieces would repeat them, to many times its size.
  const bool whole = marks.size() > columns / 2;
  const std::size_t room = columns > marks.size() + 2 ? columns - marks.size() - 2 : 1;
  const std::string_view soft = eol.empty() ? std::string_view("\r\n") : eol;
  while (!whole && wider_than(line, room)) {
    std::size_t cut = std::string_view::npos;  // behind the last blank that fits
    std::size_t column = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if ((static_cast<unsigned char>(line[i]) & 0xc0) != 0x80) ++column;
      if (line[i] != ' ' || i == 0) continue;
      if (column > room && cut != std::string_view::npos) break;
      cut = i + 1;
      if (column > room) break;
    }
    if (cut == std::string_view::npos || cut >= line.size()) break;
    out += marks;
    stuff(out, line, !marks.empty());
    out += line.substr(0, cut);
    out += soft;
    line.remove_prefix(cut);
  }
  out += marks;
  stuff(out, line, !marks.empty());
  out += line;
  out += eol;
}

}  // namespace

bool has_wide_line(std::string_view text, std::size_t columns) {
  while (!text.empty()) {
    std::string_view eol;
    if (wider_than(take_line(text, eol), columns)) return true;
  }
  return false;
}

std::string to_flowed(std::string_view text, std::size_t columns) {
  std::string out;
  while (!text.empty()) {
    std::string_view eol;
    const std::string_view line = take_line(text, eol);
    add_flowed(out, line, eol, columns);
  }
  return out;
}

std::string from_flowed(std::string_view text, bool delsp) {
  std::string out;
  std::size_t depth = 0;
  bool open = false;  // the line before flows into this one
  std::string_view last_eol;
  while (!text.empty()) {
    std::string_view eol;
    std::string_view line = take_line(text, eol);
    const std::size_t quotes = quotes_of(line);
    const std::string_view marks = line.substr(0, quotes);
    line.remove_prefix(quotes);
    if (line.starts_with(' ')) line.remove_prefix(1);
    const bool signature = line == kSignature;
    if (open && (quotes != depth || signature)) {
      out += last_eol;  // §4.5: a paragraph ends with its depth
      open = false;
    }
    if (!open) {
      out += marks;
      if (quotes && !line.empty()) out += ' ';
    }
    const bool flows = line.ends_with(' ') && !signature && !eol.empty();
    if (flows && delsp) line.remove_suffix(1);
    out += line;
    if (!flows) out += eol;
    open = flows;
    depth = quotes;
    last_eol = eol;
  }
  if (open) out += last_eol;
  return out;
}

}  // namespace postern::mailets

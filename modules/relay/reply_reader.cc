#include "reply_reader.h"

#include <algorithm>

#include "postern/address.h"
#include "postern/text.h"

namespace postern::relay {

namespace {

/// Digits of one number of an enhanced code; 0 when there are none or more than three.
std::size_t digits(std::string_view text) {
  std::size_t count = 0;
  while (count < text.size() && is_ascii_digit(text[count])) ++count;
  return count <= 3 ? count : 0;
}

}  // namespace

std::string_view enhanced_code(std::string_view text, int code) {
  if (text.size() < 5 || text[1] != '.' || text[0] - '0' != code / 100) return {};
  const std::size_t subject = digits(text.substr(2));
  if (subject == 0 || text.size() <= 2 + subject || text[2 + subject] != '.') return {};
  const std::size_t detail = digits(text.substr(3 + subject));
  const std::size_t end = 3 + subject + detail;
  if (detail == 0 || (end < text.size() && text[end] != ' ')) return {};
  return text.substr(0, end);
}

void ReplyReader::add_text(std::string_view text, bool first) {
  if (reply_.text.size() + 1 >= kMaxText) return;
  if (!first) reply_.text += '\n';
  text = text.substr(0, kMaxText - reply_.text.size());
  const std::size_t start = reply_.text.size();
  reply_.text += text;
  const bool utf8 = is_ascii(text) || is_valid_utf8(text);
  for (std::size_t at = start; at < reply_.text.size(); ++at) {
    const auto octet = static_cast<unsigned char>(reply_.text[at]);
    if (octet == '\t')
      reply_.text[at] = ' ';
    else if (octet < 0x20 || octet == 0x7f || (octet >= 0x80 && !utf8))
      reply_.text[at] = '?';
  }
}

ReplyReader::State ReplyReader::take_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.size() < 3 || !std::all_of(line.begin(), line.begin() + 3, is_ascii_digit)) return State::kBroken;
  const int code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
  const bool last = line.size() == 3 || line[3] == ' ';
  if (code < 200 || code > 599 || (!last && line[3] != '-')) return State::kBroken;
  const bool first = lines_ == 0;
  if (!first && code != reply_.code) return State::kBroken;
  if (++lines_ > kMaxLines) return State::kBroken;
  line.remove_prefix(std::min<std::size_t>(line.size(), 4));
  if (first) {
    reply_ = Reply{code, {}, {}};
    reply_.enhanced = enhanced_code(line, code);
  }
  if (const auto enhanced = enhanced_code(line, code); !enhanced.empty() && enhanced == reply_.enhanced)
    line = trim_left(line.substr(enhanced.size()));
  add_text(line, first);
  if (!last) return State::kMore;
  lines_ = 0;
  return State::kDone;
}

ReplyReader::State ReplyReader::take(Stream& stream) {
  while (true) {
    const std::string_view there = stream.buffered();
    const std::size_t end = there.substr(0, kMaxLine).find('\n');
    if (end == there.npos) return there.size() >= kMaxLine ? State::kBroken : State::kMore;
    const State state = take_line(there.substr(0, end));
    stream.consume(end + 1);
    if (state != State::kMore) return state;
  }
}

}  // namespace postern::relay

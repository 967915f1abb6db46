// HeaderBlock, HeaderField and HeaderScanner: lines and fields, nothing of what values mean.
#include <algorithm>
#include <functional>

#include "core/mail/chars.h"
#include "postern/message.h"

namespace postern {
namespace {

// The octet behind the line that starts at `at`, its LF included.
std::size_t line_end(std::string_view bytes, std::size_t at) {
  const std::size_t lf = bytes.find('\n', at);
  return lf == std::string_view::npos ? bytes.size() : lf + 1;
}

bool is_empty_line(std::string_view bytes, std::size_t at) {
  return bytes[at] == '\n' || (bytes[at] == '\r' && at + 1 < bytes.size() && bytes[at + 1] == '\n');
}

std::string_view without_line_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

// The name of a field, or nothing when the line is no field: "From " lines of mbox files, text that lost its empty
// line.
std::string_view field_name(std::string_view first_line) {
  std::string_view name = first_line.substr(0, first_line.find(':'));
  if (name.size() == first_line.size()) return {};
  while (!name.empty() && mail::is_blank(name.back())) name.remove_suffix(1);  // obsolete; RFC 5322 §4.5
  const bool good = std::ranges::all_of(name, [](char c) { return c > 0x20 && c < 0x7f; });
  return good ? name : std::string_view{};
}

}  // namespace

bool HeaderField::is(std::string_view other) const {
  return mail::iequals(name, other);
}

std::string HeaderField::value() const {
  const std::string_view text = mail::trim(raw_value);
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\n' || (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n')) continue;
    out += text[i] == '\r' ? ' ' : text[i];
  }
  return out;
}

std::string HeaderField::decoded() const {
  return decode_words(value());
}

void HeaderBlock::Iterator::read(std::size_t offset) {
  done_ = offset >= bytes_.size() || is_empty_line(bytes_, offset);
  if (done_) return;
  const std::size_t first_end = line_end(bytes_, offset);
  std::size_t end = first_end;
  while (end < bytes_.size() && mail::is_blank(bytes_[end])) end = line_end(bytes_, end);
  field_.offset = offset;
  field_.raw = bytes_.substr(offset, end - offset);
  field_.name = field_name(without_line_end(bytes_.substr(offset, first_end - offset)));
  field_.raw_value = without_line_end(field_.raw);
  if (field_.well_formed()) field_.raw_value.remove_prefix(field_.raw_value.find(':') + 1);
}

Result<HeaderBlock> HeaderBlock::checked(std::string_view bytes, const HeaderLimits& limits) {
  const HeaderBlock block(bytes);
  if (block.fields_size() > limits.max_bytes)
    return fault("header.too-large", std::to_string(block.fields_size()) + " octets");
  std::size_t fields = 0;
  for (Iterator field = block.begin(); field != block.end(); ++field) {
    if (++fields > limits.max_fields)
      return fault("header.too-many-fields", "more than " + std::to_string(limits.max_fields));
  }
  return block;
}

std::optional<HeaderField> HeaderBlock::find(std::string_view name, std::size_t nth) const {
  for (const HeaderField& field : *this) {
    if (field.is(name) && nth-- == 0) return field;
  }
  return std::nullopt;
}

std::optional<HeaderField> HeaderBlock::find_last(std::string_view name) const {
  std::optional<HeaderField> last;
  for (const HeaderField& field : *this) {
    if (field.is(name)) last = field;
  }
  return last;
}

std::size_t HeaderBlock::count(std::string_view name) const {
  std::size_t n = 0;
  for (const HeaderField& field : *this) n += field.is(name) ? 1 : 0;
  return n;
}

std::string HeaderBlock::value(std::string_view name) const {
  const std::optional<HeaderField> field = find(name);
  return field ? field->value() : std::string{};
}

std::string HeaderBlock::decoded(std::string_view name) const {
  const std::optional<HeaderField> field = find(name);
  return field ? field->decoded() : std::string{};
}

std::size_t HeaderBlock::fields_size() const {
  std::size_t at = 0;
  while (at < bytes_.size() && !is_empty_line(bytes_, at)) at = line_end(bytes_, at);
  return at;
}

std::size_t HeaderBlock::body_offset() const {
  const std::size_t at = fields_size();
  return at < bytes_.size() ? line_end(bytes_, at) : at;
}

std::size_t HeaderScanner::feed(std::string_view chunk) {
  std::size_t at = 0;
  while (!done_ && at < chunk.size()) {
    const std::size_t lf = chunk.find('\n', at);
    const std::string_view piece = chunk.substr(at, lf == std::string_view::npos ? lf : lf - at);
    if (!piece.empty()) {
      if (line_ == 0 && !mail::is_space(piece.front())) ++fields_;
      line_ += piece.size();
      cr_ = piece.back() == '\r';
      char bits = 0;
      for (char c : piece) bits = static_cast<char>(bits | c);
      has_8bit_ = has_8bit_ || mail::is_8bit(bits);
    }
    longest_line_ = std::max(longest_line_, line_ - (cr_ ? 1 : 0));
    at += piece.size();
    if (lf == std::string_view::npos) break;
    done_ = line_ == (cr_ ? 1U : 0U);
    line_ = 0;
    cr_ = false;
    ++at;
  }
  size_ += at;
  return at;
}

// --- Message-IDs ----------------------------------------------------------------------------------------------------

std::vector<std::string> parse_message_ids(std::string_view value) {
  constexpr std::size_t kMaxId = 998;  // a line of RFC 5322
  std::vector<std::string> ids;
  std::size_t open = value.find('<');
  while (open != std::string_view::npos && ids.size() < kMaxMessageIds) {
    const std::size_t end = value.find_first_of("<>", open + 1);
    if (end == std::string_view::npos) break;
    if (value[end] == '>' && end - open > 1 && end - open < kMaxId) {
      std::string id;
      for (char c : value.substr(open, end - open + 1)) {
        if (!mail::is_space(c)) id += c;  // folds inside an id occur
      }
      if (id.size() > 2) ids.push_back(std::move(id));
    }
    open = value[end] == '<' ? end : value.find('<', end);
  }
  return ids;
}

std::string make_message_id(WallTime now, std::uint64_t random, std::string_view host) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  const std::chrono::year_month_day date(std::chrono::floor<std::chrono::days>(now));
  const auto in_day = (seconds - std::chrono::floor<std::chrono::days>(seconds)).count();
  const auto digits = [](long long value, std::size_t width) {
    std::string text = std::to_string(value);
    return text.size() < width ? std::string(width - text.size(), '0') + text : text;
  };
  std::string id = "<" + digits(static_cast<int>(date.year()), 4) + digits(static_cast<unsigned>(date.month()), 2) +
                   digits(static_cast<unsigned>(date.day()), 2) +
                   digits(in_day / 3600 * 10000 + in_day / 60 % 60 * 100 + in_day % 60, 6) + ".";
  for (int shift = 60; shift >= 0; shift -= 4) id += "0123456789abcdef"[(random >> shift) & 15];
  return id.append("@").append(host).append(">");
}

}  // namespace postern

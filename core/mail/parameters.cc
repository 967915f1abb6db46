// "value; name=value" with the continuations and charsets of RFC 2231.
//
// Written for what senders do: values without quotes that hold blanks, 8-bit text, a missing semicolon at the end.
#include <algorithm>
#include <charconv>

#include "core/mail/chars.h"
#include "postern/message.h"

namespace postern {
namespace {

constexpr std::size_t kMaxSegments = 512;  // continuations of all parameters of a field together

struct Segment {
  unsigned index = 0;
  bool extended = false;
  std::string text;  // unquoted, percent signs as they came
};

struct Gathered {
  std::string name;
  std::vector<Segment> plain;      // name=
  std::vector<Segment> continued;  // name*=, name*0=, name*1*= ...
};

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}
  bool at_end() const { return at_ >= text_.size(); }
  bool take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip_cfws() {
    while (!at_end()) {
      if (mail::is_space(text_[at_])) {
        ++at_;
      } else if (text_[at_] == '(') {
        skip_comment();
      } else {
        return;
      }
    }
  }
  /// Up to a semicolon, without comments; quoted strings lose their quotes.
  std::string until_semicolon(bool stop_at_equals) {
    std::string out;
    while (!at_end() && text_[at_] != ';' && !(stop_at_equals && text_[at_] == '=')) {
      if (text_[at_] == '(') {
        skip_comment();
      } else if (text_[at_] == '"') {
        quoted(out);
      } else {
        out += text_[at_++];
      }
    }
    while (!out.empty() && mail::is_space(out.back())) out.pop_back();
    return out;
  }
  void skip_to_semicolon() { until_semicolon(false); }

 private:
  void skip_comment() {
    int depth = 0;
    for (; !at_end(); ++at_) {
      const char c = text_[at_];
      if (c == '\\') ++at_;
      if (c == '(') ++depth;
      if (c == ')' && --depth == 0) {
        ++at_;
        return;
      }
    }
    at_ = text_.size();
  }
  void quoted(std::string& out) {
    for (++at_; !at_end() && text_[at_] != '"'; ++at_) {
      // Folder names of Windows come with lone backslashes; only those that quote something are taken out.
      const bool quotes =
          text_[at_] == '\\' && at_ + 1 < text_.size() && (text_[at_ + 1] == '"' || text_[at_ + 1] == '\\');
      if (quotes) ++at_;
      if (text_[at_] != '\r' && text_[at_] != '\n') out += text_[at_];
    }
    if (!at_end()) ++at_;
  }
  std::string_view text_;
  std::size_t at_ = 0;
};

// Splits "name*1*" into its parts; false when the marks are malformed.
bool split_name(std::string_view full, std::string& name, Segment& segment, bool& continued) {
  const std::size_t star = full.find('*');
  name = mail::to_lower(full.substr(0, star));
  continued = star != std::string_view::npos;
  if (!continued) return true;
  std::string_view marks = full.substr(star + 1);
  if (marks.empty()) {
    segment.extended = true;
    return true;
  }
  if (marks.ends_with('*')) {
    segment.extended = true;
    marks.remove_suffix(1);
  }
  const auto end = std::from_chars(marks.data(), marks.data() + marks.size(), segment.index);
  return end.ec == std::errc{} && end.ptr == marks.data() + marks.size() && segment.index < kMaxSegments;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 1 < text.size() ? mail::hex_value(text[i + 1]) : -1;
    const int low = high >= 0 && i + 2 < text.size() ? mail::hex_value(text[i + 2]) : -1;
    if (low >= 0) {
      out += static_cast<char>(high << 4 | low);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// RFC 2231 §4: charset'language' stands in the first segment, when that is an extended one.
std::string joined(std::vector<Segment>& segments) {
  // Of plain values, which have no numbers, the first must stay the first.
  if (!std::ranges::is_sorted(segments, {}, &Segment::index)) std::ranges::sort(segments, {}, &Segment::index);
  std::string octets;
  std::string charset;
  unsigned expected = 0;
  for (const Segment& segment : segments) {
    if (segment.index != expected) continue;  // a repeated number, or all behind a gap
    std::string_view text = segment.text;
    if (expected == 0 && segment.extended) {
      const std::size_t first = text.find('\'');
      const std::size_t second = first == std::string_view::npos ? first : text.find('\'', first + 1);
      if (second != std::string_view::npos) {
        charset = text.substr(0, first);
        text.remove_prefix(second + 1);
      }
    }
    octets += segment.extended ? percent_decoded(text) : std::string(text);
    ++expected;
  }
  const std::optional<std::string> text = charset.empty() ? std::nullopt : to_utf8(octets, charset);
  return text ? *text : scrub_utf8(octets);
}

void read_parameter(Reader& reader, std::vector<Gathered>& gathered, std::size_t& segments) {
  reader.skip_cfws();
  const std::string full = reader.until_semicolon(true);
  if (!reader.take('=')) return;  // a name alone means nothing
  reader.skip_cfws();
  Segment segment;
  std::string name;
  bool continued = false;
  const bool good = split_name(full, name, segment, continued) && !name.empty();
  segment.text = reader.until_semicolon(false);
  if (!good || ++segments > kMaxSegments) return;
  auto at = std::ranges::find(gathered, name, &Gathered::name);
  if (at == gathered.end()) {
    if (gathered.size() == kMaxParameters) return;
    at = gathered.insert(at, Gathered{std::move(name), {}, {}});
  }
  (continued ? at->continued : at->plain).push_back(std::move(segment));
}

// Who sends both forms means the extended one; the plain one is for readers that know no better.
bool is_continued(const Gathered& one) {
  return std::ranges::any_of(one.continued, [](const Segment& segment) { return segment.index == 0; });
}

/// What other programs may take instead: the plain values that were not chosen and say something else.
void add_others(std::vector<Parameter>& parameters, const Gathered& from) {
  for (std::size_t number = is_continued(from) ? 0 : 1; number < from.plain.size(); ++number) {
    if (parameters.size() == kMaxParameters) return;
    std::vector<Segment> alone(1, from.plain[number]);
    std::string value = joined(alone);
    const auto same = [&](const Parameter& one) { return one.name == from.name && one.value == value; };
    if (std::ranges::none_of(parameters, same)) parameters.push_back({from.name, std::move(value)});
  }
}

}  // namespace

const std::string* ParameterizedValue::find(std::string_view name) const {
  const auto at = std::ranges::find(parameters, name, &Parameter::name);
  return at == parameters.end() ? nullptr : &at->value;
}

ParameterizedValue parse_parameters(std::string_view value) {
  ParameterizedValue result;
  Reader reader(value);
  reader.skip_cfws();
  result.value = reader.until_semicolon(false);
  std::erase_if(result.value, [](char c) { return mail::is_space(c); });  // "text / plain" occurs
  for (char& c : result.value) c = mail::lower(c);
  std::vector<Gathered> gathered;
  std::size_t segments = 0;
  while (reader.take(';')) {
    if (segments < kMaxSegments) {
      read_parameter(reader, gathered, segments);
    } else {
      break;
    }
    if (!reader.at_end()) reader.skip_to_semicolon();
  }
  for (Gathered& one : gathered) {
    std::vector<Segment>& chosen = is_continued(one) ? one.continued : one.plain;
    if (!chosen.empty()) result.parameters.push_back({one.name, joined(chosen)});
  }
  // Behind all of those: whoever repeats one name must not push another out.
  for (const Gathered& one : gathered) add_others(result.parameters, one);
  return result;
}

}  // namespace postern

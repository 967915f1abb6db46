#include "data_files.h"

#include <fmt/format.h>

#include <optional>
#include <unordered_map>

#include "postern/address.h"
#include "postern/text.h"
#include "text_library.h"

namespace postern::lua {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

/// Walks over a file's octets and knows where it stands.
class Reader {
 public:
  Reader(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics)
      : source_(source), diagnostics_(diagnostics), text_(source->text()) {
    if (text_.starts_with(kByteOrderMark)) at_ = line_start_ = kByteOrderMark.size();
  }

  bool at_end() const { return at_ >= text_.size(); }
  char peek() const { return at_end() ? '\n' : text_[at_]; }
  /// A CR counts only before its LF.
  bool at_line_end() const {
    return peek() == '\n' || (peek() == '\r' && (at_ + 1 >= text_.size() || text_[at_ + 1] == '\n'));
  }
  char take() {
    const char c = text_[at_++];
    if (c == '\n') ++line_, line_start_ = at_;
    return c;
  }
  void skip_blanks() {
    while (peek() == ' ' || peek() == '\t') ++at_;
  }
  void next_line() {
    while (!at_end() && take() != '\n') continue;
  }
  /// Up to blanks, the line's end, or one of `stops`.
  std::string_view word(std::string_view stops) {
    const std::size_t begin = at_;
    while (!at_line_end() && peek() != ' ' && peek() != '\t' && stops.find(peek()) == stops.npos) ++at_;
    return text_.substr(begin, at_ - begin);
  }
  std::uint32_t line() const { return line_; }
  std::uint32_t column() const { return static_cast<std::uint32_t>(at_ - line_start_ + 1); }
  std::string_view rest() const { return text_.substr(at_); }

  void error(std::string what) { error(line(), column(), std::move(what)); }
  void error(std::uint32_t line, std::uint32_t column, std::string what) {
    diagnostics_.error({source_, line, column}, std::move(what));
  }
  /// Nothing but a comment may stand on what is left of the line, which is gone over.
  void finish_line(std::string_view what) {
    skip_blanks();
    if (!at_line_end() && peek() != '#') error(fmt::format("{} ends here; a comment begins with #", what));
    next_line();
  }

 private:
  std::shared_ptr<const SourceText> source_;
  Diagnostics& diagnostics_;
  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_start_ = 0;
  std::uint32_t line_ = 1;
};

/// Pairs with keys that are not there yet.
class Pairs {
 public:
  explicit Pairs(Reader& in) : in_(in) {}

  bool full() {
    if (pairs_.size() < kMaxSetEntries) return false;
    in_.error(fmt::format("there are more than {} entries", kMaxSetEntries));
    return true;
  }
  void add(DataPair pair) {
    const auto [known, added] = lines_.emplace(pair.key, pair.line);
    if (!added)
      return in_.error(pair.line, pair.column,
                       fmt::format("\"{}\" stands in line {} already", pair.key, known->second));
    pairs_.push_back(std::move(pair));
  }
  std::vector<DataPair> take() { return std::move(pairs_); }

 private:
  Reader& in_;
  std::vector<DataPair> pairs_;
  std::unordered_map<std::string, std::uint32_t> lines_;
};

/// One field of CSV; nothing when it was reported as wrong.
std::optional<std::string> csv_field(Reader& in) {
  in.skip_blanks();
  std::string out;
  if (in.peek() != '"' || in.at_end()) {
    while (!in.at_line_end() && in.peek() != ',') {
      if (in.peek() == '"') return in.error("a quote inside a field that does not begin with one"), std::nullopt;
      out += in.take();
    }
    return std::string(trim_right(out));
  }
  const std::uint32_t line = in.line(), column = in.column();
  in.take();
  while (!in.at_end()) {
    const char c = in.take();
    if (c == '"') {
      if (in.at_end() || in.peek() != '"') {
        in.skip_blanks();
        return out;
      }
      in.take();
    }
    out += c;
  }
  in.error(line, column, "this quote is never closed");
  return std::nullopt;
}

// ---- TOML ----

void append_utf8(std::string& out, std::uint32_t c) {
  const auto put = [&](std::uint32_t octet) { out += static_cast<char>(octet); };
  if (c < 0x80) return put(c);
  if (c < 0x800) return put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  if (c < 0x10000) return put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
}

/// What follows a backslash; false when it is no escape of TOML.
bool toml_escape(Reader& in, std::string& out) {
  static constexpr std::string_view kLetters = "btnfr\"\\";
  static constexpr std::string_view kMeanings = "\b\t\n\f\r\"\\";
  if (in.at_line_end()) return false;
  const char letter = in.take();
  if (const std::size_t known = kLetters.find(letter); known != kLetters.npos) return out += kMeanings[known], true;
  if (letter != 'u' && letter != 'U') return false;
  std::uint32_t code = 0;
  for (int digits = letter == 'u' ? 4 : 8; digits; --digits) {
    const std::size_t digit = std::string_view("0123456789abcdef").find(ascii_lower(in.peek()));
    if (digit > 15) return false;
    code = code << 4 | static_cast<std::uint32_t>(digit);
    in.take();
  }
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
  append_utf8(out, code);
  return true;
}

/// "basic" or 'literal'.
std::optional<std::string> toml_string(Reader& in) {
  const std::uint32_t line = in.line(), column = in.column();
  if (in.rest().starts_with("\"\"\"") || in.rest().starts_with("'''"))
    return in.error("a string over several lines has no place in this file"), std::nullopt;
  const char quote = in.take();
  std::string out;
  while (!in.at_line_end()) {
    const std::uint32_t here = in.column();
    const char c = in.take();
    if (c == quote) return out;
    if (c == '\\' && quote == '"') {
      if (!toml_escape(in, out)) return in.error(line, here, "not an escape of TOML"), std::nullopt;
      continue;
    }
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F)
      return in.error(line, here, "a control character must be written as an escape"), std::nullopt;
    out += c;
  }
  in.error(line, column, "this quote is never closed");
  return std::nullopt;
}

std::optional<std::string> toml_key(Reader& in) {
  if (in.peek() == '"' || in.peek() == '\'') return toml_string(in);
  std::string key;
  while (!in.at_end() && (is_ascii_alnum(in.peek()) || in.peek() == '_' || in.peek() == '-')) key += in.take();
  if (!key.empty() && in.peek() != '.') return key;
  in.error(in.peek() == '['   ? "a table has no place in this file: key = \"value\" on each line"
           : in.peek() == '.' ? "a dotted key would make a table; write it in quotes"
                              : "not a key: letters, digits, _ and -, or a string in quotes");
  return std::nullopt;
}

std::optional<DataPair> toml_pair(Reader& in) {
  DataPair pair{{}, {}, in.line(), in.column()};
  auto key = toml_key(in);
  if (!key) return std::nullopt;
  in.skip_blanks();
  if (in.at_end() || in.peek() != '=') return in.error("a `=` must follow the key"), std::nullopt;
  in.take();
  in.skip_blanks();
  if (in.peek() != '"' && in.peek() != '\'') return in.error("the value must be a string"), std::nullopt;
  auto value = toml_string(in);
  if (!value) return std::nullopt;
  pair.key = *std::move(key);
  pair.value = *std::move(value);
  return pair;
}

/// Calls `take()` at the first octet of each line that is neither empty nor a comment; false: no more.
template <class Take>
void each_line(Reader& in, Take&& take) {
  while (!in.at_end()) {
    in.skip_blanks();
    if (in.at_line_end() || in.peek() == '#')
      in.next_line();
    else if (!take())
      return;
  }
}

}  // namespace

std::vector<DataEntry> read_list(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics) {
  Reader in(source, diagnostics);
  std::vector<DataEntry> out;
  each_line(in, [&] {
    if (out.size() >= kMaxSetEntries)
      return in.error(fmt::format("there are more than {} entries", kMaxSetEntries)), false;
    const std::uint32_t line = in.line(), column = in.column();
    out.push_back({in.word("#"), line, column});
    in.finish_line("an entry");
    return true;
  });
  return out;
}

std::vector<DataPair> read_csv(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics) {
  Reader in(source, diagnostics);
  Pairs pairs(in);
  each_line(in, [&] {
    if (pairs.full()) return false;
    DataPair pair{{}, {}, in.line(), in.column()};
    auto key = csv_field(in);
    std::optional<std::string> value;
    if (key && (in.at_end() || in.peek() != ','))
      in.error("a line must have two columns, with a comma between them");
    else if (key)
      in.take(), value = csv_field(in);
    if (value && !in.at_line_end()) in.error("a line must have two columns; what holds a comma stands in quotes");
    in.next_line();
    if (!value) return true;
    pair.key = *std::move(key);
    pair.value = *std::move(value);
    pairs.add(std::move(pair));
    return true;
  });
  return pairs.take();
}

std::vector<DataPair> read_flat_toml(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics) {
  Reader in(source, diagnostics);
  Pairs pairs(in);
  if (!is_valid_utf8(source->text())) return in.error("the file is not UTF-8"), pairs.take();
  each_line(in, [&] {
    if (pairs.full()) return false;
    auto pair = toml_pair(in);
    if (!pair) return in.next_line(), true;
    in.finish_line("the value");
    pairs.add(*std::move(pair));
    return true;
  });
  return pairs.take();
}

}  // namespace postern::lua

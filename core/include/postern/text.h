// ASCII text as protocols use it: compared without case, trimmed, split, read as numbers; base64 and hexadecimal.
//
// Nothing here knows locales: octets above 127 are left as they are. All readers are strict: what is not exactly the
// documented form gives nothing.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

constexpr char ascii_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
constexpr char ascii_upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
}
constexpr bool is_ascii_digit(char c) {
  return c >= '0' && c <= '9';
}
constexpr bool is_ascii_alpha(char c) {
  return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}
constexpr bool is_ascii_alnum(char c) {
  return is_ascii_digit(c) || is_ascii_alpha(c);
}
constexpr bool is_ascii_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
void lower_in_place(std::string& text);
bool is_ascii(std::string_view text);

bool equal_folded(std::string_view a, std::string_view b);
int compare_folded(std::string_view a, std::string_view b);  ///< <0, 0, >0
bool starts_with_folded(std::string_view text, std::string_view prefix);
bool ends_with_folded(std::string_view text, std::string_view suffix);

/// For ordered and unordered containers whose keys have no case; transparent.
struct FoldedLess {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const { return compare_folded(a, b) < 0; }
};
struct FoldedEqual {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const { return equal_folded(a, b); }
};
struct FoldedHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const;
};

std::string_view trim(std::string_view text);  ///< without spaces, tabs, CR and LF at both ends
std::string_view trim_left(std::string_view text);
std::string_view trim_right(std::string_view text);

/// All pieces between separators, empty ones too; "" gives one empty piece. Views into `text`.
std::vector<std::string_view> split(std::string_view text, char separator);
/// The pieces between runs of spaces and tabs; never empty ones.
std::vector<std::string_view> split_words(std::string_view text);
/// Takes what stands before the first separator off `text`; all of it, and `text` becomes empty, when there is none.
std::string_view take_until(std::string_view& text, char separator);

/// A decimal number within bounds: digits only (one '-' before, for signed types), no spaces, no '+'.
template <std::integral T>
std::optional<T> to_number(std::string_view text, T low = std::numeric_limits<T>::min(),
                           T high = std::numeric_limits<T>::max()) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value < low || value > high) return std::nullopt;
  return value;
}

/// RFC 4648 §4, padded, without line breaks.
std::string base64_encode(std::string_view octets);
/// Only what base64_encode() can have made: padded, no other characters, no bits beyond the end (RFC 4648 §3.5).
std::optional<std::string> base64_decode(std::string_view text);

std::string hex_encode(std::string_view octets);  ///< lower case
std::optional<std::string> hex_decode(std::string_view text);

}  // namespace postern

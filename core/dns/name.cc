#include "core/dns/name.h"

#include <fmt/format.h>

#include <iterator>

namespace postern::dns {
namespace {

constexpr std::uint8_t kPointerBits = 0xC0;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// One octet of text, escaped or not. Moves `at` behind it.
std::optional<char> read_octet(std::string_view text, std::size_t& at) {
  char c = text[at++];
  if (c != '\\') return lower(c);
  if (at >= text.size()) return std::nullopt;
  if (!is_digit(text[at])) return lower(text[at++]);
  if (at + 3 > text.size() || !is_digit(text[at + 1]) || !is_digit(text[at + 2])) return std::nullopt;
  int value = (text[at] - '0') * 100 + (text[at + 1] - '0') * 10 + (text[at + 2] - '0');
  if (value > 255) return std::nullopt;
  at += 3;
  return lower(static_cast<char>(value));
}

void append_label(std::string& text, std::span<const std::uint8_t> label) {
  if (!text.empty()) text += '.';
  for (std::uint8_t octet : label) {
    char c = lower(static_cast<char>(octet));
    if (c == '.' || c == '\\') {
      text += '\\';
      text += c;
    } else if (octet <= 0x20 || octet >= 0x7F) {
      fmt::format_to(std::back_inserter(text), "\\{:03}", static_cast<unsigned>(octet));
    } else {
      text += c;
    }
  }
}

}  // namespace

std::optional<std::string> name_to_wire(std::string_view text) {
  if (text == ".") return std::string(1, '\0');
  if (text.empty()) return std::nullopt;
  std::string wire;
  std::string label;
  auto end_label = [&] {
    if (label.empty() || label.size() > kMaxLabelOctets) return false;
    wire += static_cast<char>(label.size());
    wire += label;
    label.clear();
    return wire.size() < kMaxNameOctets;
  };
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '.') {
      if (!end_label()) return std::nullopt;
      ++at;
      continue;
    }
    std::optional<char> octet = read_octet(text, at);
    if (!octet) return std::nullopt;
    label += *octet;
  }
  if (!label.empty() && !end_label()) return std::nullopt;
  wire += '\0';
  return wire;
}

std::optional<std::string> normalise_name(std::string_view text) {
  std::optional<std::string> wire = name_to_wire(text);
  if (!wire) return std::nullopt;
  std::size_t offset = 0;
  return read_name({reinterpret_cast<const std::uint8_t*>(wire->data()), wire->size()}, offset);
}

std::optional<std::string> read_name(std::span<const std::uint8_t> packet, std::size_t& offset) {
  std::string text;
  std::size_t at = offset;
  std::size_t run_start = offset;  // of the labels being read; a pointer must go before it
  std::size_t octets = 1;
  std::size_t jumps = 0;
  while (at < packet.size()) {
    const std::uint8_t length = packet[at];
    if (length == 0) {
      if (jumps == 0) offset = at + 1;
      return text.empty() ? "." : text;
    }
    if ((length & kPointerBits) == kPointerBits) {
      if (at + 2 > packet.size()) return std::nullopt;
      const std::size_t target = (length & ~kPointerBits & 0xFFU) << 8 | packet[at + 1];
      if (target >= run_start || jumps == kMaxPointers) return std::nullopt;
      if (jumps++ == 0) offset = at + 2;
      at = run_start = target;
      continue;
    }
    octets += length + 1U;
    if (length > kMaxLabelOctets || octets > kMaxNameOctets || at + 1 + length > packet.size()) return std::nullopt;
    append_label(text, packet.subspan(at + 1, length));
    at += length + 1U;
  }
  return std::nullopt;
}

}  // namespace postern::dns

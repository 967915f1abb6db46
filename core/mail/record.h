// Tagged fields in a byte string: the form in which envelopes, session facts and header edits lie in the spool.
//
// A record is one version octet and then fields: a tag octet, the length as a varint (LEB128), the octets. A reader
// skips tags that it does not know, unless kCritical is set in them. Readers never look past the bytes given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "postern/error.h"

namespace postern::mail {

inline constexpr std::uint8_t kCritical = 0x80;  ///< a tag with this bit must be understood

inline void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
inline void put_text(std::string& out, std::string_view text) {
  put_varint(out, text.size());
  out += text;
}
inline void put_field(std::string& out, std::uint8_t tag, std::string_view text) {
  out += static_cast<char>(tag);
  put_text(out, text);
}
inline std::size_t varint_size(std::uint64_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}
inline void put_number(std::string& out, std::uint8_t tag, std::uint64_t value) {
  out += static_cast<char>(tag);
  put_varint(out, varint_size(value));
  put_varint(out, value);
}
/// Signed numbers with small magnitudes short.
inline std::uint64_t zigzag(std::int64_t value) {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
inline std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

/// Takes values off the front of bytes; after a failure everything fails.
class RecordReader {
 public:
  explicit RecordReader(std::string_view bytes) : rest_(bytes) {}
  bool at_end() const { return rest_.empty(); }
  bool failed() const { return failed_; }

  std::uint8_t octet() {
    if (rest_.empty()) return fail(), std::uint8_t{0};
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const std::uint8_t part = octet();
      if (failed_ || (shift == 63 && part > 1)) break;
      value |= static_cast<std::uint64_t>(part & 0x7f) << shift;
      if (part < 0x80) return value;
    }
    fail();
    return 0;
  }
  std::string_view text() {
    const std::uint64_t size = varint();
    if (size > rest_.size()) fail();
    if (failed_) return {};
    const std::string_view value = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return value;
  }

 private:
  void fail() {
    failed_ = true;
    rest_ = {};
  }
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace postern::mail

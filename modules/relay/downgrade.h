// An 8-bit or binary MIME message as a 7-bit one, while it streams by (RFC 6152 §3, RFC 2045 §6).
//
// Leaf parts whose octets need it get a transfer encoding of their own: quoted-printable for text, base64 for the rest;
// multiparts and nested messages, which may not have one (RFC 2045 §6.4), are declared 7bit and their leaves are
// converted instead. Header fields other than Content-Transfer-Encoding keep their octets. Parts that are 7-bit
// already keep theirs too, so that their signatures hold.
//
// Structure first (a MimeReader saw the same octets), then the octets: feed() in order, finish(). Memory: the structure
// and one part's header. What the structure left whole (too deep, no boundary) is converted as one leaf.
// Owner: Content. Any thread, one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "postern/mime.h"

namespace postern::relay {

class Downgrade {
 public:
  explicit Downgrade(MimeStructure structure);
  void restart();
  void feed(std::string_view piece, std::string& out);  ///< appends
  void finish(std::string& out);

 private:
  enum class Way : std::uint8_t { kCopy, kHeader, kQuoted, kBase64 };
  /// A stretch of the message that is treated alike; they follow each other without gaps.
  struct Span {
    std::uint64_t end;
    Way way;
    std::string_view encoding;  ///< of kHeader: the new Content-Transfer-Encoding
  };
  void add(std::uint64_t end, Way way, std::string_view encoding = {});
  void add_part(const MimePart& part);
  bool needs_7bit(const MimePart& part) const;
  void take(std::string_view octets, Way way, std::string& out);
  void end_span(const Span& span, std::string& out);
  void rewrite_header(std::string_view encoding, std::string& out);
  void quoted(std::string_view octets, std::string& out);
  void quote_octet(char octet, bool as_is, std::string& out);
  void end_quoted(std::string& out);
  void base64(std::string_view octets, std::string& out);
  void end_base64(std::string& out);

  MimeStructure structure_;
  std::vector<Span> spans_;
  std::size_t span_ = 0;
  std::uint64_t offset_ = 0;
  std::string held_;  // a header, or octets of a base64 group, or a blank or CR whose successor decides
  std::size_t column_ = 0;
};

}  // namespace postern::relay

// Giving a message another body while it streams by: encoders, and patches on its octets.
//
// A MimeReader has seen the message; from its structure one makes a list of patches (this stretch is replaced by that
// text, that one gets a transfer encoding), and MimePatcher applies them to the same octets in pieces of any size. What
// no patch covers keeps its octets, as signatures need. Memory: the patches' texts, and one line.
//
//   MimePatcher patcher = patches_to_7bit(structure);
//   while (...) { out.clear(); patcher.feed(piece, out); ... }
//   patcher.finish(out);
//
// Values; one owner, any thread; no exceptions but bad_alloc.
// RFC: 2045 §6 (transfer encodings), 6152 §3 (7 bits for who takes no more), 1428 (8 bits of no stated charset).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "postern/mime.h"

namespace postern {

/// Quoted-printable in pieces (RFC 2045 §6.7). Line ends stay; blanks before them, and lone CR or LF, are quoted.
class QuotedPrintableEncoder {
 public:
  void feed(std::string_view piece, std::string& out);  ///< appends
  void finish(std::string& out);

 private:
  void quote(char octet, bool as_is, std::string& out);
  std::string held_;  ///< a blank or CR, whose successor decides
  std::size_t column_ = 0;
};

/// Base64 in pieces, in lines of 76 characters that each end in CRLF (RFC 2045 §6.8); the last one by choice.
class Base64LineEncoder {
 public:
  void feed(std::string_view piece, std::string& out);  ///< appends
  void finish(bool line_end, std::string& out);

 private:
  std::string held_;  ///< octets of a line that is not full
};

std::string encode_quoted_printable(std::string_view text);
std::string encode_base64_lines(std::string_view octets);  ///< no line end behind the last line

/// Patches on the octets of a message, and their application.
class MimePatcher {
 public:
  // Patches are made in the order of their octets and do not overlap; what is behind an earlier one is passed over.

  /// `text` instead of the octets from `begin` up to `end`; an insertion when they are equal.
  void replace(std::uint64_t begin, std::uint64_t end, std::string text);
  void quote(std::uint64_t begin, std::uint64_t end);                  ///< as quoted-printable
  void base64(std::uint64_t begin, std::uint64_t end, bool line_end);  ///< with a line end behind it
  bool empty() const { return spans_.empty(); }

  void restart();                                       ///< before the first octet again
  void feed(std::string_view piece, std::string& out);  ///< appends
  void finish(std::string& out);                        ///< what is behind the last octet

 private:
  enum class Way : std::uint8_t { kCopy, kReplace, kQuoted, kBase64 };
  /// A stretch of the message that is treated alike; they follow each other without gaps.
  struct Span {
    std::uint64_t end;
    Way way;
    bool line_end;
    std::string text;
  };
  void add(std::uint64_t begin, std::uint64_t end, Way way, bool line_end, std::string text);
  void take(std::string_view octets, std::string& out);
  void end_span(std::string& out);

  std::vector<Span> spans_;
  std::size_t span_ = 0;
  std::uint64_t offset_ = 0;
  QuotedPrintableEncoder quoted_;
  Base64LineEncoder base64_;
};

/// An 8-bit or binary message as a 7-bit one. Leaf parts whose octets need it get a transfer encoding: quoted-printable
/// for text, base64 for the rest. Multiparts and nested messages, which may not have one (RFC 2045 §6.4), are declared
/// 7bit and their leaves are converted instead. Header fields other than Content-Transfer-Encoding keep their octets,
/// and so do parts that are 7-bit already. What the structure left whole (too deep, no boundary) is converted as one
/// leaf.
MimePatcher patches_to_7bit(const MimeStructure& structure);

/// A part's header fields with this Content-Transfer-Encoding instead of what it had. `root`: of a message, which then
/// says that it is MIME, and, had it said nothing, that its charset is unknown.
std::string with_encoding(std::string_view fields, std::string_view encoding, bool root);

}  // namespace postern

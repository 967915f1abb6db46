// The MIME structure of a message, found while it streams by, and decoders for its parts.
//
// MimeReader takes a message in chunks of any size and keeps none of the bodies: only the part headers, bounded by
// MimeLimits, and byte ranges. What passes a limit is not an error; the part is left whole as a leaf and the structure
// says so, since mail that we only carry must not be refused for its shape. Linear in the message's length whatever its
// shape; no exceptions but bad_alloc. One owner, any thread.
//
// RFC: 2045, 2046 (parts, boundaries), 2183 (disposition), 2231 (parameters), 2557 (location), 3282 (language),
//      1864 (MD5), 6532 (message/global), 9051 §7.5.2 (what BODYSTRUCTURE needs).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/message.h"

namespace postern {

struct MimeLimits {
  std::size_t max_depth = 32;  ///< of parts in parts
  std::size_t max_parts = 1000;
  std::size_t max_boundary = 200;             ///< octets; RFC 2046 says 70, some write more
  std::size_t max_header_bytes = 64 * 1024;   ///< of one part's header; the rest of it is passed over
  std::size_t max_all_headers = 1024 * 1024;  ///< of all parts together
};

enum class TransferEncoding : std::uint8_t { k7Bit, k8Bit, kBinary, kBase64, kQuotedPrintable, kUnknown };

/// One part. Offsets count octets from the start of the message; line counts count line ends.
struct MimePart {
  static constexpr std::uint32_t kNone = 0xffffffff;
  std::uint32_t index = 0;  ///< of this part in MimeStructure::parts; 0 is the message itself
  std::uint32_t parent = kNone;
  std::uint32_t first_child = kNone;  ///< of a multipart; the nested message of a message/rfc822
  std::uint32_t next_sibling = kNone;
  std::uint16_t depth = 0;

  std::uint64_t header_start = 0;
  std::uint64_t body_start = 0;  ///< behind the empty line
  std::uint64_t end = 0;         ///< before the line end that belongs to the next delimiter
  std::uint32_t header_lines = 0;
  std::uint32_t body_lines = 0;

  std::string type = "text";          ///< lower case
  std::string subtype = "plain";      ///< lower case
  std::vector<Parameter> parameters;  ///< of Content-Type
  TransferEncoding encoding = TransferEncoding::k7Bit;
  std::string encoding_name;  ///< as written, if anything was
  std::string id;             ///< Content-ID with brackets
  std::string description;    ///< not decoded
  std::string md5;
  std::string disposition;  ///< lower case: "attachment", "inline"; empty: none
  std::vector<Parameter> disposition_parameters;
  std::vector<std::string> languages;
  std::string location;
  std::string header;  ///< its fields as they came, for HeaderBlock (cut at max_header_bytes)

  bool header_truncated = false;
  bool closed = false;  ///< of a multipart: its closing delimiter was seen
  bool has_8bit = false;
  bool has_nul = false;

  std::uint64_t size() const { return end - body_start; }
  bool is_multipart() const { return type == "multipart"; }
  bool is_message() const { return type == "message" && (subtype == "rfc822" || subtype == "global"); }
  bool is_leaf() const { return first_child == kNone; }
  const std::string* parameter(std::string_view name) const;
  std::string charset() const;  ///< lower case; "us-ascii" when a text part names none
  /// Of Content-Disposition's filename, else Content-Type's name, decoded (encoded words in quotes too); no folders.
  std::string file_name() const;
  /// All names that some program may show, in either field and form, file_name() among them. Usually one or none.
  std::vector<std::string> file_names() const;
  bool is_attachment() const;  ///< disposition attachment, or a name on what is no text to be shown inline
};

struct MimeStructure {
  std::vector<MimePart> parts;  ///< in the order of their headers; never empty
  bool too_deep = false;
  bool too_many = false;
  bool broken_boundary = false;  ///< a multipart without a usable boundary

  const MimePart& root() const { return parts.front(); }
  std::vector<std::uint32_t> children(std::uint32_t index) const;
  /// The part of an IMAP section number, "2.1" (RFC 9051 §6.4.5): through nested messages, "1" of a leaf is itself.
  const MimePart* find(std::string_view section) const;
};

/// Told of parts as they come. Body pieces are raw (transfer encoding in place) and without the delimiter's line end.
class MimeSink {
 public:
  virtual void on_part(const MimePart& part) = 0;                          ///< its header is complete
  virtual void on_body(const MimePart& part, std::string_view piece) = 0;  ///< of leaves only
  virtual void on_part_end(const MimePart& part) = 0;

 protected:
  ~MimeSink() = default;
};

class MimeReader {
 public:
  explicit MimeReader(MimeLimits limits = {}, MimeSink* sink = nullptr);
  void feed(std::string_view chunk);
  /// Ends the message and gives its structure; the reader is spent.
  MimeStructure finish();

 private:
  struct Open {  ///< a part that has not ended
    std::uint32_t part = 0;
    std::uint32_t last_child = MimePart::kNone;
    std::uint64_t lines_before = 0;  ///< line ends in the message before this part's header, then before its body
    std::string boundary;            ///< of a multipart with a usable one, with its two hyphens
    bool passing = false;            ///< multipart: behind the closing delimiter, or max_parts is reached
  };
  struct Delimiter {
    std::size_t level;  ///< in open_
    bool closing;
  };

  std::string_view take_header(std::string_view chunk);  ///< these give what they left of the chunk
  std::string_view take_line_start(std::string_view chunk);
  std::string_view take_body(std::string_view chunk);
  void header_line();
  void body_line(bool last);
  void begin_part(std::uint32_t parent);
  void end_header(bool by_delimiter);
  void open_inner();
  std::optional<Delimiter> delimiter() const;
  void take_delimiter(Delimiter found);
  void end_parts_above(std::size_t level, std::uint64_t end, std::uint64_t lines);
  void pass(std::string_view piece);
  void release_line_end();
  MimePart& current() { return structure_.parts[open_.back().part]; }

  MimeLimits limits_;
  MimeSink* sink_;
  MimeStructure structure_;
  std::vector<Open> open_;
  std::string line_;              ///< a header line, or the start of a body line that may be a delimiter
  std::string_view held_;         ///< line end (or lone CR) that may belong to the next delimiter
  std::size_t headers_ = 0;       ///< octets kept of the headers that are complete
  std::uint64_t offset_ = 0;      ///< octets taken
  std::uint64_t lines_ = 0;       ///< line ends taken
  std::uint64_t line_start_ = 0;  ///< of the line under way
  std::size_t boundaries_ = 0;    ///< open parts that have one
  bool in_header_ = true;
  bool in_line_ = false;  ///< the body line under way is known to be no delimiter
};

/// Base64 in pieces (RFC 2045 §6.8): octets outside the alphabet are passed over, '=' ends a group.
class Base64Decoder {
 public:
  void feed(std::string_view piece, std::string& out);  ///< appends
  void finish(std::string& out);                        ///< a last incomplete group
  bool damaged() const { return damaged_; }

 private:
  char* take(std::uint8_t digit, char* to);
  std::uint32_t bits_ = 0;
  std::uint8_t count_ = 0;
  bool padded_ = false;
  bool damaged_ = false;
};

/// Quoted-printable in pieces (RFC 2045 §6.7): soft line ends go, trailing blanks go, a broken "=" stays as it is.
class QuotedPrintableDecoder {
 public:
  void feed(std::string_view piece, std::string& out);  ///< appends
  void finish(std::string& out);
  bool damaged() const { return damaged_; }

 private:
  void step(char octet, std::string& out);
  void plain(char octet, std::string& out);
  void behind_equals(char octet, std::string& out);
  void give_up(char octet, std::string_view written, std::string& out);
  std::string blanks_;  ///< white space that may end a line; bounded by kMaxBlanks
  enum class State : std::uint8_t { kPlain, kEquals, kHex, kSoft, kSoftCr, kCr } state_ = State::kPlain;
  char first_ = 0;
  bool damaged_ = false;
  static constexpr std::size_t kMaxBlanks = 1024;
};

/// Decodes any transfer encoding in pieces; what needs none passes through.
class BodyDecoder {
 public:
  explicit BodyDecoder(TransferEncoding encoding) : encoding_(encoding) {}
  void feed(std::string_view piece, std::string& out);
  void finish(std::string& out);
  bool damaged() const { return base64_.damaged() || quoted_.damaged(); }

 private:
  TransferEncoding encoding_;
  Base64Decoder base64_;
  QuotedPrintableDecoder quoted_;
};

}  // namespace postern

// The header of a message: reading it where it lies, decoding its values, and editing it without touching the rest.
//
// HeaderBlock is a view of bytes that someone else owns; HeaderField is a view of one field in it. Both accept what
// mail really looks like: bare LF as a line end, lines without a colon, obsolete white space before the colon, a first
// line that continues nothing. Every octet of the block belongs to exactly one field, so that edits and signatures can
// count on offsets. All parsers are linear, bounded by named limits and throw nothing but bad_alloc. Values; any
// thread.
//
// RFC: 5322 (§2.2 fields, §3.4 addresses, §4 obsolete forms), 6532 (UTF-8), 2047 (encoded words), 2231 (parameters).
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/address.h"
#include "postern/error.h"
#include "postern/time.h"

namespace postern {

struct HeaderLimits {
  std::size_t max_bytes = 256 * 1024;  ///< of the whole header block
  std::size_t max_fields = 2000;
};
inline constexpr std::size_t kMaxHeaderAddresses = 10'000;  ///< that parse_address_list() keeps of one field
inline constexpr std::size_t kMaxParameters = 64;           ///< that parse_parameters() keeps of one field
inline constexpr std::size_t kMaxMessageIds = 1000;         ///< that parse_message_ids() keeps of one field

/// One field, with its folded lines. A line that is no field has an empty name and stands whole in raw_value.
struct HeaderField {
  std::string_view raw;        ///< all its octets, with the last line end
  std::string_view name;       ///< without colon and white space; empty: not a field
  std::string_view raw_value;  ///< what follows the colon up to the last line end, folds and leading blank included
  std::size_t offset = 0;      ///< of raw in the block

  bool is(std::string_view other) const;  ///< compares the name without regard to case
  bool well_formed() const { return !name.empty(); }
  /// Unfolded (line ends taken out) and trimmed at both ends; not decoded.
  std::string value() const;
  /// value() with its encoded words as UTF-8.
  std::string decoded() const;
};

/// A header, from its first octet to the empty line or the end of the bytes.
class HeaderBlock {
 public:
  HeaderBlock() = default;
  explicit HeaderBlock(std::string_view bytes) : bytes_(bytes) {}
  /// Checks the limits first: Fault "header.too-large" or "header.too-many-fields".
  static Result<HeaderBlock> checked(std::string_view bytes, const HeaderLimits& limits);

  class Iterator {
   public:
    using value_type = HeaderField;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    Iterator() = default;
    explicit Iterator(std::string_view bytes) : bytes_(bytes) { read(0); }
    const HeaderField& operator*() const { return field_; }
    const HeaderField* operator->() const { return &field_; }
    Iterator& operator++() {
      read(field_.offset + field_.raw.size());
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return done_; }

   private:
    void read(std::size_t offset);
    std::string_view bytes_;
    HeaderField field_;
    bool done_ = true;
  };
  Iterator begin() const { return Iterator(bytes_); }
  std::default_sentinel_t end() const { return {}; }

  /// The nth (from 0, from the top) field of that name.
  std::optional<HeaderField> find(std::string_view name, std::size_t nth = 0) const;
  std::optional<HeaderField> find_last(std::string_view name) const;
  std::size_t count(std::string_view name) const;
  std::string value(std::string_view name) const;    ///< of the first one, unfolded; empty when there is none
  std::string decoded(std::string_view name) const;  ///< of the first one, as UTF-8

  std::size_t fields_size() const;  ///< octets of all fields, without the empty line
  std::size_t body_offset() const;  ///< octets with the empty line: where the body begins in the bytes given
  std::string_view bytes() const { return bytes_; }

 private:
  std::string_view bytes_;
};

/// Finds the end of a header in a stream, chunk by chunk, without keeping any of it.
class HeaderScanner {
 public:
  explicit HeaderScanner(HeaderLimits limits = {}) : limits_(limits) {}
  /// Returns how many octets of the chunk belong to the header, with its empty line. Less than all, or done(), ends it.
  std::size_t feed(std::string_view chunk);

  bool done() const { return done_; }  ///< the empty line has been seen
  bool over_limit() const { return size_ > limits_.max_bytes || fields_ > limits_.max_fields; }
  std::size_t size() const { return size_; }  ///< octets so far
  std::size_t fields() const { return fields_; }
  std::size_t longest_line() const { return longest_line_; }  ///< octets without line end (RFC 5322 §2.1.1: 998)
  bool has_8bit() const { return has_8bit_; }

 private:
  HeaderLimits limits_;
  std::size_t size_ = 0;
  std::size_t fields_ = 0;
  std::size_t line_ = 0;  ///< octets of the present line
  std::size_t longest_line_ = 0;
  bool cr_ = false;  ///< the last octet was CR
  bool done_ = false;
  bool has_8bit_ = false;
};

// --- Values ---------------------------------------------------------------------------------------------------------

/// Text of a charset as UTF-8. Own tables for us-ascii, utf-8, iso-8859-1, iso-8859-15 and windows-1252, iconv for the
/// rest. What does not convert becomes U+FFFD; nothing when the charset is unknown.
std::optional<std::string> to_utf8(std::string_view text, std::string_view charset);
/// Text as well-formed UTF-8, ill-formed octets taken as windows-1252: for raw 8-bit headers of no stated charset.
std::string scrub_utf8(std::string_view text);

/// Decodes the encoded words of an unfolded value (RFC 2047 §6.2: white space between two of them goes).
std::string decode_words(std::string_view value);
/// Encodes UTF-8 text for an unstructured field or a phrase; plain ASCII stays as it is.
std::string encode_words(std::string_view utf8);
/// A value as somebody wrote it, for a field that may hold addresses or ids: encodes what is not ASCII, but never what
/// stands in <>, where no program would find it encoded (RFC 2047 §5).
std::string encode_field_value(std::string_view utf8);

struct Parameter {
  std::string name;   ///< lower case, without RFC 2231 marks
  std::string value;  ///< unquoted, continuations joined, UTF-8
};

/// "value; name=value; name*0*=utf-8''va; name*1=lue" of Content-Type, Content-Disposition and the like. Of a name that
/// is given more than once the first is the one that counts (RFC 2231 §4 before the plain form); behind it stand the
/// other values, since programs differ in which they believe.
struct ParameterizedValue {
  std::string value;  ///< lower case, comments taken out: "text/plain", "attachment"
  std::vector<Parameter> parameters;
  const std::string* find(std::string_view name) const;  ///< by lower-case name
};
ParameterizedValue parse_parameters(std::string_view value);

/// One entry of From, To, Cc and their like, in the flat shape that IMAP's ENVELOPE has.
struct HeaderAddress {
  enum class Kind : std::uint8_t { kMailbox, kGroupStart, kGroupEnd };
  Kind kind = Kind::kMailbox;
  std::string name;    ///< display name or group name, unquoted, not decoded; a trailing comment if there is no phrase
  std::string route;   ///< obsolete source route "@a,@b"; usually empty
  std::string local;   ///< unquoted
  std::string domain;  ///< as written, without comments; may be empty or broken

  std::string display_name() const { return decode_words(name); }
  /// The checked address, if it is one (UTF-8 allowed, RFC 6532).
  std::optional<Address> address() const;
};

struct AddressList {
  std::vector<HeaderAddress> items;
  bool broken = false;     ///< something was skipped or guessed
  bool truncated = false;  ///< more than kMaxHeaderAddresses
  std::size_t mailboxes() const;
};
/// An address-list of RFC 5322 §3.4 with groups, comments, routes and other obsolete forms; never fails, see `broken`.
AddressList parse_address_list(std::string_view value);

/// The "<id@host>" items of Message-ID, In-Reply-To or References, with brackets, in order.
std::vector<std::string> parse_message_ids(std::string_view value);
/// "<20261121230437.1a2b3c4d5e6f7081@host>"; `random` makes it unique.
std::string make_message_id(WallTime now, std::uint64_t random, std::string_view host);

// --- Edits ----------------------------------------------------------------------------------------------------------

/// A header field's name that may be written: 1..76 printable ASCII octets without colon (RFC 5322 §2.2).
bool is_field_name(std::string_view name);
/// "Name: value\r\n". Line breaks in the value survive only as folds, so that nothing can be injected; a value without
/// breaks is folded at its blanks towards 78 columns.
std::string make_field(std::string_view name, std::string_view value);

/// Changes to a header, kept apart from it: what is not edited keeps its octets, as signatures need.
///
/// Numbers count fields of that name in the header as it came, from 0 at the top. Later edits of one field win, and
/// remove_all() takes back what was added under that name before it.
class HeaderEdits {
 public:
  /// All return false, and do nothing, when the name is not is_field_name() or kMaxEdits is reached.
  bool add_top(std::string_view name, std::string_view value);  ///< above all; a later one stands above an earlier one
  bool append(std::string_view name, std::string_view value);   ///< below all fields
  bool remove(std::string_view name, std::size_t nth = 0);
  bool remove_all(std::string_view name);
  bool replace(std::string_view name, std::size_t nth, std::string_view value);  ///< appends when there is no nth

  bool empty() const { return edits_.empty(); }
  std::size_t size() const { return edits_.size(); }
  void clear() { edits_.clear(); }
  /// Takes over the edits of another list as if they had been made after these.
  bool merge(const HeaderEdits& later);

  /// The new header as pieces that view the edits and the block: both must outlive the pieces. The empty line and the
  /// body are not among them; send them after it from HeaderBlock::fields_size() on.
  struct Pieces {
    std::vector<std::string_view> parts;
    std::size_t size = 0;      ///< octets in all parts
    std::size_t consumed = 0;  ///< octets of the block that they stand for
    std::string join() const;
  };
  Pieces apply(const HeaderBlock& block) const;

  /// One line for each edit, for trails: "add-top X-Spam: yes", "remove Subject 0".
  std::vector<std::string> describe() const;

  void encode(std::string& out) const;  ///< appends; versioned like Envelope
  static Result<HeaderEdits> decode(std::string_view bytes);
  bool operator==(const HeaderEdits&) const = default;

  static constexpr std::size_t kMaxEdits = 1000;

 private:
  enum class Kind : std::uint8_t { kAddTop, kAppend, kRemove, kRemoveAll, kReplace };
  struct Edit {
    Kind kind;
    std::uint32_t nth;
    std::string name;
    std::string field;  ///< the whole new field with its line end
    bool operator==(const Edit&) const = default;
  };
  bool push(Kind kind, std::size_t nth, std::string_view name, std::string field);
  std::vector<Edit> edits_;
};

}  // namespace postern

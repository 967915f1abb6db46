// What is looked at, and mended, in the header of a message while it is taken in.
//
// OpeningCheck tells a text that begins with a header from one that is only words; those get an empty line in front, so
// that they do not become part of our own header. One pass over the fields then gathers the facts; mend_header() makes
// a new header only when something is to change, so that an ordinary message keeps its octets. On all listeners: an
// incoming Return-Path goes (RFC 5321 §4.4), and so does the "From " line of a mailbox file. On submission (RFC 6409
// §8): Date, Message-ID, From and Sender are added where RFC 5322 §3.6 wants them and they are missing; Bcc goes
// (§3.6.3).
//
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "postern/address.h"
#include "postern/time.h"

namespace postern::smtp {

/// Looks at the first octets of a text, piece by piece, until it is certain.
class OpeningCheck {
 public:
  static constexpr std::size_t kMaxName = 200;  ///< octets without a colon: no field has such a name
  enum class Answer : std::uint8_t { kUndecided, kHeader, kWords };
  Answer feed(std::string_view piece);

 private:
  std::size_t seen_ = 0;
  bool from_line_ = true;  // so far the beginning of "From "
  bool blank_ = false;     // behind a name's last octet
};

struct HeaderFacts {
  std::uint32_t fields = 0;
  std::uint32_t received = 0;
  std::uint32_t return_path = 0;
  std::uint32_t bcc = 0;
  std::uint32_t date = 0;
  std::uint32_t message_id = 0;
  std::uint32_t from = 0;
  std::uint32_t sender = 0;
  bool many_authors = false;  ///< From names several mailboxes: a Sender is wanted (RFC 5322 §3.6.2)
  bool mailbox_line = false;  ///< the first line is the "From " of a mailbox file
};

HeaderFacts read_header(std::string_view header);

struct MendRules {
  bool submission = false;
  bool strip_bcc = true;
  const Address& sender;      ///< of the envelope
  std::string_view hostname;  ///< for Message-ID
  WallTime now{};
  std::uint64_t random = 0;
};

/// The header as it should be; nothing when it is right as it is.
std::optional<std::string> mend_header(std::string_view header, const HeaderFacts& facts, const MendRules& rules);

}  // namespace postern::smtp

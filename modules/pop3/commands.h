// POP3 command lines: their words, what each may be given, and in which state it works.
//
// Words are read without regard to case, and blanks around arguments do not matter, since people type these by hand;
// PASS keeps its argument as it came, for a password may hold blanks (RFC 1939 §7).
//
// Thread: any. Errors: a command that is not right carries the text of its -ERR.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace postern::pop3 {

inline constexpr std::size_t kMaxCommandBytes = 255;     ///< with CRLF; RFC 2449 §4
inline constexpr std::size_t kMaxResponseBytes = 512;    ///< likewise
inline constexpr std::size_t kMaxSaslLineBytes = 12288;  ///< of a client's answer in AUTH; RFC 5034 §4

enum class Verb : std::uint8_t {
  kUnknown,
  kApop,
  kAuth,
  kCapa,
  kDele,
  kLang,
  kLast,
  kList,
  kNoop,
  kPass,
  kQuit,
  kRetr,
  kRset,
  kStat,
  kStls,
  kTop,
  kUidl,
  kUser,
  kUtf8,
};

enum class State : std::uint8_t { kAuthorization, kTransaction };

struct Command {
  Verb verb = Verb::kUnknown;
  std::string argument;  ///< without blanks around it, but for PASS
  std::string second;    ///< of AUTH, APOP and TOP
  std::string error;     ///< not empty: the text after "-ERR "
};

/// Takes a line apart and checks it against the state; always returns something to answer.
Command parse_command(std::string_view line, State state);

}  // namespace postern::pop3

// Command lines of SMTP and LMTP: the verbs that exist, what each wants, and how a line is taken apart.
//
// Pure: views into the caller's line, no memory, no errors beyond an unknown verb. The table is the one place that
// knows a verb's name, its longest line, when it may come and what help to give.
//
// RFC: 5321 §4.1, §4.1.4 (order), §4.5.3.1.4 (lengths); 2033 (LHLO); 3030 (BDAT); 3207; 4954; 821 (SEND and its like).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace postern::smtp {

enum class Verb : std::uint8_t {
  kUnknown,
  kEhlo,
  kHelo,
  kLhlo,
  kMail,
  kRcpt,
  kData,
  kBdat,
  kRset,
  kNoop,
  kQuit,
  kVrfy,
  kExpn,
  kHelp,
  kStartTls,
  kAuth,
  kXclient,
  kEtrn,
  kObsolete,  ///< SEND, SOML, SAML, TURN, ATRN: known, never implemented (502)
  kForeign,   ///< another protocol's first word: somebody makes a browser talk to us
};
inline constexpr std::size_t kVerbs = static_cast<std::size_t>(Verb::kForeign) + 1;

/// When a command may come; a set of these bits.
enum Rule : std::uint8_t {
  kAnyTime = 0,
  kAfterHello = 1,       ///< 503 before EHLO, HELO or LHLO
  kOutsideMail = 2,      ///< 503 between MAIL and the end of its transaction
  kInsideMail = 4,       ///< 503 without MAIL
  kNotWithinChunks = 8,  ///< 503 between the first BDAT and the last (RFC 3030 §2)
  kNoArgument = 16,      ///< 501 when one is given
  kNeedsTls = 32,        ///< 530 on a listener that requires TLS, until there is TLS (RFC 3207 §4)
  kAnswersNow = 64,      ///< its answer is not held back for more commands (RFC 2920 §3.2)
};

/// Octets of a command line, with its CRLF.
inline constexpr std::size_t kPlainLine = 512;  ///< RFC 5321 §4.5.3.1.4
inline constexpr std::size_t kMailLine =
    512 + 26 + 17 + 500 + 107 + 9 + 10 + 100;                        ///< SIZE, BODY, AUTH, ENVID, RET, SMTPUTF8; slack
inline constexpr std::size_t kRcptLine = 512 + 500 + 10 + 28 + 100;  ///< ORCPT, NOTIFY (RFC 3461 §4); slack
inline constexpr std::size_t kAuthLine = 12288;                      ///< RFC 4954 §4
inline constexpr std::size_t kXclientLine = 2048;
inline constexpr std::size_t kLongestLine = kAuthLine;

struct CommandInfo {
  std::string_view name;
  Verb verb;
  std::uint8_t rules;
  std::uint16_t max_line;
  std::string_view syntax;   ///< "MAIL FROM:<address> [SIZE=n] ..."; shown by HELP and with a 501
  std::string_view example;  ///< "MAIL FROM:<you@example.org>"
};

/// All verbs; those without syntax are not shown by HELP.
std::span<const CommandInfo> commands();
const CommandInfo& info(Verb verb);

struct Command {
  const CommandInfo* info;    ///< never null; kUnknown for what is no verb
  std::string_view verb;      ///< as it came
  std::string_view argument;  ///< without the blanks around it
};

/// Takes a line (without its end) apart.
Command parse_command(std::string_view line);

/// Whether a line holds an octet that no command may: NUL, a stray CR, another control character but TAB, DEL.
bool has_control(std::string_view line);

}  // namespace postern::smtp

#include "command.h"

#include <array>

#include "postern/text.h"

namespace postern::smtp {

namespace {

constexpr std::uint8_t kHello = kOutsideMail | kNotWithinChunks | kAnswersNow;

constexpr std::array kCommands{
    CommandInfo{"", Verb::kUnknown, kAnyTime, kPlainLine, "", ""},
    CommandInfo{"EHLO", Verb::kEhlo, kNotWithinChunks | kAnswersNow, kPlainLine, "EHLO your.host.name",
                "EHLO client.example.org"},
    CommandInfo{"HELO", Verb::kHelo, kNotWithinChunks | kAnswersNow, kPlainLine, "HELO your.host.name",
                "HELO client.example.org"},
    CommandInfo{"LHLO", Verb::kLhlo, kNotWithinChunks | kAnswersNow, kPlainLine, "LHLO your.host.name",
                "LHLO client.example.org"},
    CommandInfo{"MAIL", Verb::kMail, kAfterHello | kOutsideMail | kNeedsTls, kMailLine,
                "MAIL FROM:<address> [SIZE=octets] [BODY=7BIT|8BITMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=id] [PRDR]",
                "MAIL FROM:<you@example.org>"},
    CommandInfo{"RCPT", Verb::kRcpt, kAfterHello | kInsideMail | kNotWithinChunks | kNeedsTls, kRcptLine,
                "RCPT TO:<address> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=type;address]",
                "RCPT TO:<friend@example.net>"},
    CommandInfo{"DATA", Verb::kData,
                kAfterHello | kInsideMail | kNotWithinChunks | kNoArgument | kNeedsTls | kAnswersNow, kPlainLine,
                "DATA", "DATA"},
    CommandInfo{"BDAT", Verb::kBdat, kAnyTime, kPlainLine, "BDAT octets [LAST]", "BDAT 1000 LAST"},
    CommandInfo{"RSET", Verb::kRset, kNoArgument, kPlainLine, "RSET", "RSET"},
    CommandInfo{"NOOP", Verb::kNoop, kAnswersNow, kPlainLine, "NOOP", "NOOP"},
    CommandInfo{"QUIT", Verb::kQuit, kNoArgument | kAnswersNow, kPlainLine, "QUIT", "QUIT"},
    CommandInfo{"VRFY", Verb::kVrfy, kNotWithinChunks | kNeedsTls | kAnswersNow, kPlainLine, "VRFY name",
                "VRFY postmaster"},
    CommandInfo{"EXPN", Verb::kExpn, kNotWithinChunks | kNeedsTls | kAnswersNow, kPlainLine, "EXPN list", "EXPN staff"},
    CommandInfo{"HELP", Verb::kHelp, kAnswersNow, kPlainLine, "HELP [command]", "HELP MAIL"},
    CommandInfo{"STARTTLS", Verb::kStartTls, kAfterHello | kNotWithinChunks | kNoArgument | kAnswersNow, kPlainLine,
                "STARTTLS", "STARTTLS"},
    CommandInfo{"AUTH", Verb::kAuth, kAfterHello | kHello | kNeedsTls, kAuthLine, "AUTH mechanism [initial-response]",
                "AUTH PLAIN"},
    CommandInfo{"XCLIENT", Verb::kXclient, kHello, kXclientLine, "", ""},
    // RFC 1985 §5.1: 503 before a greeting; it is no part of a mail transaction.
    CommandInfo{"ETRN", Verb::kEtrn, kAfterHello | kOutsideMail | kNotWithinChunks | kNeedsTls | kAnswersNow,
                kPlainLine, "ETRN domain", "ETRN example.org"},
    CommandInfo{"SEND", Verb::kObsolete, kAnyTime, kPlainLine, "", ""},
    CommandInfo{"SOML", Verb::kObsolete, kAnyTime, kPlainLine, "", ""},
    CommandInfo{"SAML", Verb::kObsolete, kAnyTime, kPlainLine, "", ""},
    CommandInfo{"TURN", Verb::kObsolete, kAnyTime, kPlainLine, "", ""},
    CommandInfo{"ATRN", Verb::kObsolete, kAnyTime, kPlainLine, "", ""},
    CommandInfo{"GET", Verb::kForeign, kAnyTime, kLongestLine, "", ""},
    CommandInfo{"POST", Verb::kForeign, kAnyTime, kLongestLine, "", ""},
    CommandInfo{"PUT", Verb::kForeign, kAnyTime, kLongestLine, "", ""},
    CommandInfo{"CONNECT", Verb::kForeign, kAnyTime, kLongestLine, "", ""},
    CommandInfo{"OPTIONS", Verb::kForeign, kAnyTime, kLongestLine, "", ""},
};

constexpr std::size_t kLongestVerb = 8;

/// A verb of up to eight letters as one number, upper case.
constexpr std::uint64_t key_of(std::string_view verb) {
  if (verb.empty() || verb.size() > kLongestVerb) return 0;
  std::uint64_t key = 0;
  for (const char c : verb) key = key << 8 | static_cast<unsigned char>(ascii_upper(c));
  return key;
}

constexpr auto kKeys = [] {
  std::array<std::uint64_t, kCommands.size()> keys{};
  for (std::size_t at = 0; at < keys.size(); ++at) keys[at] = key_of(kCommands[at].name);
  return keys;
}();

constexpr bool blank(char c) {
  return c == ' ' || c == '\t';
}

}  // namespace

std::span<const CommandInfo> commands() {
  return kCommands;
}

const CommandInfo& info(Verb verb) {
  for (const CommandInfo& command : kCommands)
    if (command.verb == verb) return command;
  return kCommands[0];
}

Command parse_command(std::string_view line) {
  std::size_t end = 0;
  while (end < line.size() && !blank(line[end])) ++end;
  const std::string_view verb = line.substr(0, end);
  std::string_view argument = line.substr(end);
  while (!argument.empty() && blank(argument.front())) argument.remove_prefix(1);
  while (!argument.empty() && blank(argument.back())) argument.remove_suffix(1);
  const std::uint64_t key = key_of(verb);
  for (std::size_t at = 1; key != 0 && at < kKeys.size(); ++at)
    if (kKeys[at] == key) return {&kCommands[at], verb, argument};
  return {&kCommands[0], verb, argument};
}

bool has_control(std::string_view line) {
  for (const char c : line)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F) return true;
  return false;
}

}  // namespace postern::smtp

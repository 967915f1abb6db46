// Commands that need nobody's opinion.
#include <fmt/format.h>

#include "postern/text.h"
#include "replies.h"
#include "session.h"

namespace postern::smtp {

namespace {

std::string help_for(std::string_view word) {
  for (const CommandInfo& command : commands())
    if (!command.syntax.empty() && equal_folded(command.name, word))
      return fmt::format("214-2.0.0 {}\r\n214 2.0.0 For example: {}\r\n", command.syntax, command.example);
  return {};
}

std::string help_all(bool lmtp) {
  std::string out = "214-2.0.0 Commands, each explained by HELP and its name:\r\n214 2.0.0";
  for (const CommandInfo& command : commands()) {
    const bool other_hello =
        lmtp ? command.verb == Verb::kEhlo || command.verb == Verb::kHelo : command.verb == Verb::kLhlo;
    if (!command.syntax.empty() && !other_hello) out += fmt::format(" {}", command.name);
  }
  return out + "\r\n";
}

}  // namespace

Task<void> Session::on_noop(Command) {
  say(replies::kOk);
  return Task<void>::ready();
}

Task<void> Session::on_rset(Command) {
  end_transaction("RSET");
  say(replies::kReset);
  return Task<void>::ready();
}

Task<void> Session::on_quit(Command) {
  end_transaction("QUIT");
  quit_ = true;
  say_last(replies::kBye);
  return Task<void>::ready();
}

/// VRFY and EXPN never tell strangers who exists (RFC 5321 §7.3); 252 is the answer for that (§3.5.3).
Task<void> Session::on_vrfy(Command command) {
  if (settings().vrfy == VrfyAnswer::kDisabled)
    say(replies::kNoVrfy);
  else if (command.argument.empty())
    say(replies::kNeedArgument);
  else
    say(replies::kVrfy);
  return Task<void>::ready();
}

Task<void> Session::on_help(Command command) {
  std::string text;
  if (!command.argument.empty()) text = help_for(command.argument);
  if (text.empty() && !command.argument.empty())
    say(Reply{504, "5.5.4", "No such command"});
  else
    say(text.empty() ? help_all(listener().is_lmtp()) : text);
  return Task<void>::ready();
}

Task<void> Session::on_obsolete(Command) {
  say(replies::kNotImplemented);  // RFC 5321 App. F.6; TURN would hand mail to whoever asks
  return Task<void>::ready();
}

Task<void> Session::on_unknown(Command) {
  say(replies::kUnknown);
  if (++unknown_ > settings().max_unknown_commands) say_last(replies::kTooManyErrors);
  return Task<void>::ready();
}

/// A browser or proxy was made to talk to us; what follows its headers could be commands. End it.
Task<void> Session::on_foreign(Command command) {
  server_.log().info("smtp.foreign-protocol",
                     {{"session", state_.id}, {"ip", state_.client.ip.to_string()}, {"verb", command.info->name}});
  if (!state_.told) leave_trail(fmt::format("spoke another protocol: {}", command.info->name));
  say_last(replies::kForeign);
  return Task<void>::ready();
}

}  // namespace postern::smtp

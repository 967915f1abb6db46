// Where postern-sendmail finds the server. It runs as whoever calls it, who may not read postern.toml, so that it has a
// small file of its own: /etc/postern/sendmail.conf, lines "key = value", '#' for comments.
//
//   socket  = /run/postern/submission.sock    the server's submission socket
//   drop    = /var/spool/postern/drop         the drop folder ([pickup] folder)
//   control = /var/lib/postern/control.sock   for -bp and -q
//   domain  = example.org                     completes names without one; else /etc/mailname, else the host's name
//   max_message_size = 52428800
//
// POSTERN_SENDMAIL_CONF names another file. The program has no rights of its own to lose, so a caller may.
#pragma once

#include <cstdint>
#include <string>

#include "postern/error.h"

namespace postern::sendmail {

struct Settings {
  std::string socket = "/run/postern/submission.sock";
  std::string drop = "/var/spool/postern/drop";
  std::string control = "/var/lib/postern/control.sock";
  std::string domain;
  std::uint64_t max_message_size = 50ULL << 20;
};

/// The file, and for what it does not say the defaults. A file that is not there is empty.
/// Errors: "sendmail.config" with file and line.
Result<Settings> read_settings();
Result<Settings> parse_settings(std::string_view text, std::string_view file);

/// Who calls: the system's names of the real user.
struct Caller {
  std::string login;      ///< "ann"; the number when the system has no name
  std::string full_name;  ///< of the user entry; may be empty
};
Caller this_caller();

}  // namespace postern::sendmail

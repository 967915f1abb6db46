// The command line of sendmail, as programs have called it for forty years.
//
// Flags stand together or alone, with their values behind them or in the next word: -oi, -o i, -fann@x, -f ann@x. What
// has no meaning here (-oXX, -OXX=..., -h, -B, -p, -L ...) is read and passed over, so that old callers go on. The name
// of the program decides as well: mailq is -bp, newaliases is -bi.
//
// Values. Errors: "sendmail.usage" with words for the caller (exit code EX_USAGE).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "postern/error.h"

namespace postern::sendmail {

enum class Mode { kDeliver, kSmtp, kQueueList, kQueueRun, kNewAliases };

struct Options {
  Mode mode = Mode::kDeliver;
  bool recipients_from_header = false;  ///< -t
  bool ignore_dots = false;             ///< -i, -oi
  bool verbose = false;                 ///< -v
  std::optional<std::string> sender;    ///< -f, -r; empty: the null sender
  std::string full_name;                ///< -F
  std::string notify;                   ///< -N, upper case, checked
  std::string ret;                      ///< -R: FULL or HDRS
  std::string envid;                    ///< -V, as xtext
  std::vector<std::string> recipients;
};

Result<Options> parse_options(const std::vector<std::string>& arguments, std::string_view program);

}  // namespace postern::sendmail

// From what a program wrote to a message that may travel: line ends, the header that is missing, the recipients that -t
// finds in it.
//
// Pure but for what Facts bring. Errors: "sendmail.no_recipients", "sendmail.address" (with the address).
// RFC: 5322 §3.6 (fields that must be there), 6409 §8 (what submission may mend).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/sendmail/options.h"
#include "core/sendmail/settings.h"
#include "postern/envelope.h"
#include "postern/error.h"
#include "postern/time.h"

namespace postern::sendmail {

/// A message with its envelope, ready to be sent.
struct Submission {
  Envelope envelope;
  std::string message;  ///< lines end in CR LF, the last one too
};

struct Facts {
  std::string domain;
  Caller caller;
  WallTime now{};
  std::uint64_t random = 0;  ///< for the Message-ID
};

/// The whole input, up to its end, or to a line with a single dot unless `ignore_dots`. CR LF, LF and CR all end a
/// line.
std::string mend_lines(std::string_view input, bool ignore_dots);

/// An address as a person or a program writes it: with brackets, with a display name, without a domain.
Result<Address> complete_address(std::string_view text, std::string_view domain);

Result<Submission> compose(const Options& options, std::string input, const Facts& facts);

}  // namespace postern::sendmail

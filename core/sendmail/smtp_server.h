// sendmail -bs: SMTP on standard input and output, as mail programs speak it to a program instead of a port.
//
// Each message is delivered as one that came with arguments would be; its answer is the way it went. Limits: lines of
// kMaxLine octets, messages of Settings::max_message_size, kMaxRecipients.
//
// Blocking; one thread. RFC: 5321 (no extensions but 8BITMIME, SMTPUTF8, DSN, SIZE).
#pragma once

#include <functional>
#include <iosfwd>

#include "core/sendmail/compose.h"

namespace postern::sendmail {

using Deliver = std::function<Result<void>(const Submission&)>;

void serve_smtp(std::istream& in, std::ostream& out, const Settings& settings, const Facts& facts,
                const Deliver& deliver);

}  // namespace postern::sendmail

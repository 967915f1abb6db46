// How a submission reaches the server: over the submission socket when somebody listens there, else by the drop folder,
// which the server empties when it comes back (modules/queue/pickup).
//
// When deliver() says yes, the message is on disk: the server's 250, or a synced file. The server takes a refusal back
// to us only when it refuses all recipients, or the message, for good; whatever is refused for now, or in part, goes to
// the drop folder, where the server deals with it as it does with all mail (retry, reports to the sender).
//
// Blocking; one thread. Errors: "sendmail.refused" (Fault::detail has the server's reply), "sendmail.no_user" (it was
// 5.1.x), "sendmail.drop" (neither way was open: try again).
#pragma once

#include <string>

#include "core/sendmail/compose.h"
#include "postern/error.h"

namespace postern::sendmail {

enum class Sent { kYes, kTryOther };

/// Over the socket. kTryOther: nobody listens, or not for all of this; nothing was accepted.
Result<Sent> send_over_socket(const std::string& path, const Submission& mail, bool verbose);

/// Into the folder: written under a name that nobody looks at, synced, renamed, synced again.
Result<void> drop(const std::string& folder, const Submission& mail);
/// The envelope lines of a dropped file (modules/queue/pickup_file.h).
std::string drop_header(const Envelope& envelope);

Result<void> deliver(const Settings& settings, const Submission& mail, bool verbose);

}  // namespace postern::sendmail

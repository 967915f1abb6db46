// One mail taken through the policy as modules/smtp takes it, without a socket: connect, ehlo, starttls, auth, mail,
// rcpt, data, message, disconnect, with the facts that a session has at each of them.
//
// For:    specs, `postern explain` and `postern replay`. Nothing is committed: what would be delivered, relayed or
//         written is in the result. Of what modules/smtp itself does to a text, nothing is repeated: no Received field
//         is put in front, no missing Date added on submission; a recorded text has been through that already.
// Owner:  the caller; what it names outlives the run.
// Thread: that of the executor that it runs on.
// Errors: refusals are outcomes; "offline.text" when the spool does not take the text, "offline.address" for what is no
//         address, "offline.threw" for what a module threw (of what rules throw the policy makes an outcome). Only
//         Cancelled is thrown.
// RFC:    5321 §4.1.4 (order of commands), 3207 §4.2 (a second EHLO after STARTTLS).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/pipeline.h"
#include "postern/spec.h"

namespace postern {

struct OfflineMail {
  /// Something that happened in the session before MAIL, and what is known of the client from then on.
  struct Step {
    Stage stage = Stage::kConnect;
    ClientInfo client;
  };
  std::string session = "offline";
  std::vector<Step> steps;  ///< the first is kConnect
  std::optional<IpAddress> proxy;
  std::optional<SessionState::Reverse> reverse;
  std::vector<std::pair<std::string, NoteValue>> notes;  ///< of the session, from mails before this one
  bool notes_win = true;                                 ///< over what the hooks of this run wrote under the same name
  bool mails = true;                                     ///< else the session ends before MAIL
  Envelope envelope;                                     ///< without recipients
  std::vector<Recipient> recipients;                     ///< as RCPT names them, in order
  std::optional<std::string> text;  ///< with CRLF; nothing: it is not known, and the run ends after RCPT
  bool answers_each = false;        ///< LMTP, PRDR
  bool trail_only = false;          ///< neither outcomes of the message nor the story: a replay compares trails
};

/// The session of a client who says EHLO, then uses TLS and logs in if `client` says so.
std::vector<OfflineMail::Step> steps_of(const ClientInfo& client);
/// A described mail as a run takes it. Errors: "offline.address".
Result<OfflineMail> offline_mail(const SpecMail& mail);
/// The text with every line end as CRLF.
std::string with_crlf(std::string_view text);

struct OfflineParts {
  Policy& policy;
  Spool& spool;
};
Task<Result<SpecResult>> run_offline(OfflineParts parts, const OfflineMail* mail);

}  // namespace postern

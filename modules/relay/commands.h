// The command lines of a transaction, as this host understands them.
//
// All append whole lines with CRLF. Addresses were checked when they were read, and their domains are A-labels.
// RFC: 1870 (SIZE), 2852 (BY), 3030 and 6152 (BODY), 3461 §5 (DSN), 6531 (SMTPUTF8), 6710 (MT-PRIORITY), 8689
//      (REQUIRETLS); XFORWARD and XCLIENT as Postfix documents them; PROXY as HAProxy does.
#pragma once

#include <optional>
#include <string>

#include "capabilities.h"
#include "mail.h"
#include "settings.h"

namespace postern::relay {

struct MailLine {
  bool smtputf8 = false;
  bool prdr = false;
  bool seven_bit = false;  ///< the text was converted
  std::uint64_t size = 0;
};
void append_mail(std::string& out, const Mail& mail, const Capabilities& can, const MailLine& line);
void append_rcpt(std::string& out, const Recipient& recipient, const Capabilities& can);

/// "XFORWARD NAME=... ADDR=..." and "XCLIENT ..." with all attributes that the host knows, each in one line.
void append_xforward(std::string& out, const ClientInfo& client, std::uint32_t attributes);
void append_xclient(std::string& out, const ClientInfo& client, std::uint32_t attributes);
/// The header that begins a connection, version 1 or 2; of an unknown client "UNKNOWN" or LOCAL.
void append_proxy_header(std::string& out, const ClientInfo& client, ProxyHeader version);

/// The sender that names the recipient: list+bob=example.org@here.example; the null sender stays what it is.
Address verp_sender(const Address& sender, const Address& recipient);

/// Why this mail cannot go to this host at all; nothing when it can.
std::optional<Reply> misfit(const Mail& mail, const Capabilities& can, bool secure);
/// Whether SMTPUTF8 must be said: an address or the header is not ASCII (RFC 6531 §3.2).
bool needs_smtputf8(const Mail& mail);

}  // namespace postern::relay

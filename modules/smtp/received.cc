#include "received.h"

#include "parameters.h"
#include "postern/mail_date.h"

namespace postern::smtp {

namespace {

constexpr std::size_t kMaxName = 255;  // of a client's text within the field

/// Text for a comment or a word: octets that would end it, or break the line, are left out.
void append_safe(std::string& out, std::string_view text) {
  for (const char c : text.substr(0, kMaxName))
    if (static_cast<unsigned char>(c) > 0x20 && c != 0x7F && c != '(' && c != ')' && c != '\\' && c != '"' && c != ';')
      out += c;
}

void append_from(std::string& out, const ClientInfo& client, bool name_asked) {
  // The ABNF wants a domain or literal here; what is neither was let in for a user's program and is shown in the
  // comment.
  const bool usable = is_helo_name(client.ehlo);
  out += "from ";
  if (usable)
    append_safe(out, client.ehlo);
  else
    out += client.ip.literal();
  out += " (";
  if (!usable && !client.ehlo.empty()) {
    out += "helo=";
    append_safe(out, client.ehlo);
    out += ' ';
  }
  if (!client.reverse_name.empty()) {
    append_safe(out, client.reverse_name);
    out += client.reverse_verified ? " " : " (may be forged) ";
  } else if (name_asked) {
    out += "unknown ";
  }
  out += client.ip.literal();
  out += ')';
}

void append_tls(std::string& out, const ClientInfo& client) {
  if (!client.secure()) return;
  out += "\r\n\t(using ";
  append_safe(out, client.tls_version);
  out += " with cipher ";
  append_safe(out, client.tls_cipher);
  if (!client.tls_peer.empty()) {
    out += " certificate ";
    append_safe(out, client.tls_peer);
  }
  out += ')';
}

/// As mail of the drop folder says it: no host sent this, but a user whose number tells strangers less than a name.
void append_local(std::string& out, std::string_view hostname, std::uint32_t uid) {
  out += "by ";
  out += hostname;
  out += " (Postern, from userid ";
  out += std::to_string(uid);
  out += ")\r\n\tid ";
}

}  // namespace

std::string make_received(const ReceivedFacts& facts) {
  std::string out;
  out.reserve(320);
  out += "Received: ";
  if (facts.uid) {
    append_local(out, facts.hostname, *facts.uid);
  } else {
    append_from(out, facts.client, facts.name_asked);
    append_tls(out, facts.client);
    out += "\r\n\tby ";
    out += facts.hostname;
    out += " with ";
    out += facts.client.protocol(facts.envelope.smtputf8);
    out += " id ";
  }
  out += facts.id.to_string();
  if (facts.envelope.recipients.size() == 1) {
    out += "\r\n\tfor <";
    facts.envelope.recipients.front().address.append_to(out);
    out += '>';
  }
  out += ";\r\n\t";
  append_mail_date(out, facts.when);
  out += "\r\n";
  return out;
}

}  // namespace postern::smtp

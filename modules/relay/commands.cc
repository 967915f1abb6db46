#include "commands.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/text.h"

namespace postern::relay {

namespace {

constexpr std::string_view kProxySignature("\r\n\r\n\0\r\nQUIT\n", 12);

void append_number(std::string& out, std::uint64_t number) {
  fmt::format_to(std::back_inserter(out), "{}", number);
}

void append_deliver_by(std::string& out, const DeliverBy& by, WallTime now) {
  const auto left = std::chrono::duration_cast<std::chrono::seconds>(by.when - now).count();
  fmt::format_to(std::back_inserter(out), " BY={};{}{}", left, by.return_if_late ? 'R' : 'N', by.trace ? "T" : "");
}

/// Attribute values are xtext; what is not known is "[UNAVAILABLE]".
void append_attribute(std::string& out, std::string_view name, std::string_view value) {
  out += ' ';
  out += name;
  out += '=';
  out += value.empty() ? "[UNAVAILABLE]" : xtext_encode(value);
}

std::string address_text(const IpAddress& ip) {
  return ip.is_v6() ? "IPv6:" + ip.to_string() : ip.to_string();
}

void append_client(std::string& out, std::string_view verb, const ClientInfo& client, std::uint32_t attributes) {
  out += verb;
  if (attributes & Capabilities::kName) append_attribute(out, "NAME", client.reverse_name);
  if (attributes & Capabilities::kAddr) append_attribute(out, "ADDR", address_text(client.ip));
  if (attributes & Capabilities::kPort) append_attribute(out, "PORT", client.port ? std::to_string(client.port) : "");
  if (attributes & Capabilities::kProto) append_attribute(out, "PROTO", client.esmtp ? "ESMTP" : "SMTP");
  if (attributes & Capabilities::kHelo) append_attribute(out, "HELO", client.ehlo);
}

void append_port(std::string& out, std::uint16_t port) {
  out += static_cast<char>(port >> 8);
  out += static_cast<char>(port & 0xff);
}

}  // namespace

void append_mail(std::string& out, const Mail& mail, const Capabilities& can, const MailLine& line) {
  const Envelope& envelope = mail.envelope;
  out += "MAIL FROM:<";
  mail.sender.append_to(out);
  out += '>';
  if (can.size) {
    out += " SIZE=";
    append_number(out, line.size);
  }
  if (!line.seven_bit && envelope.body == BodyType::kBinaryMime && can.binarymime)
    out += " BODY=BINARYMIME";
  else if (!line.seven_bit && envelope.body != BodyType::k7Bit && can.eightbitmime)
    out += " BODY=8BITMIME";
  if (line.smtputf8) out += " SMTPUTF8";
  if (can.dsn && envelope.ret != DsnReturn::kUnset) out += envelope.ret == DsnReturn::kFull ? " RET=FULL" : " RET=HDRS";
  if (can.dsn && !envelope.envid.empty()) {
    out += " ENVID=";
    out += envelope.envid;
  }
  if (envelope.require_tls) out += " REQUIRETLS";
  if (can.mt_priority && envelope.priority)
    fmt::format_to(std::back_inserter(out), " MT-PRIORITY={}", *envelope.priority);
  if (can.deliver_by && envelope.deliver_by) append_deliver_by(out, *envelope.deliver_by, mail.now);
  if (line.prdr) out += " PRDR";
  out += "\r\n";
}

void append_rcpt(std::string& out, const Recipient& recipient, const Capabilities& can) {
  out += "RCPT TO:<";
  recipient.address.append_to(out);
  out += '>';
  if (can.dsn && recipient.notify != kNotifyUnset) {
    out += " NOTIFY=";
    out += recipient.notify == kNotifyNever ? "NEVER" : format_notify(recipient.notify);
  }
  if (can.dsn && !recipient.orcpt.empty()) {
    out += " ORCPT=";
    out += recipient.orcpt;
  }
  out += "\r\n";
}

void append_xforward(std::string& out, const ClientInfo& client, std::uint32_t attributes) {
  append_client(out, "XFORWARD", client, attributes);
  if (attributes & Capabilities::kSource)
    append_attribute(out, "SOURCE", client.role == SessionRole::kLocal ? "LOCAL" : "REMOTE");
  out += "\r\n";
}

void append_xclient(std::string& out, const ClientInfo& client, std::uint32_t attributes) {
  append_client(out, "XCLIENT", client, attributes);
  if (attributes & Capabilities::kLogin) append_attribute(out, "LOGIN", client.auth_user);
  if (attributes & Capabilities::kDestAddr) append_attribute(out, "DESTADDR", address_text(client.local_ip));
  if (attributes & Capabilities::kDestPort)
    append_attribute(out, "DESTPORT", client.local_port ? std::to_string(client.local_port) : "");
  out += "\r\n";
}

void append_proxy_header(std::string& out, const ClientInfo& client, ProxyHeader version) {
  const bool known = client.port != 0 && client.ip.is_v6() == client.local_ip.is_v6();
  const bool v6 = client.ip.is_v6();
  if (version == ProxyHeader::kV1) {
    if (known)
      out += fmt::format("PROXY TCP{} {} {} {} {}\r\n", v6 ? 6 : 4, client.ip.to_string(), client.local_ip.to_string(),
                         client.port, client.local_port);
    else
      out += "PROXY UNKNOWN\r\n";
  } else if (version == ProxyHeader::kV2) {
    out += kProxySignature;
    out += known ? '\x21' : '\x20';  // version 2; PROXY or LOCAL
    out += !known ? '\0' : v6 ? '\x21' : '\x11';
    append_port(out, known ? static_cast<std::uint16_t>(2 * client.ip.size() + 4) : 0);
    if (!known) return;
    out.append(reinterpret_cast<const char*>(client.ip.octets()), client.ip.size());
    out.append(reinterpret_cast<const char*>(client.local_ip.octets()), client.local_ip.size());
    append_port(out, client.port);
    append_port(out, client.local_port);
  }
}

Address verp_sender(const Address& sender, const Address& recipient) {
  if (sender.is_null() || sender.domain().empty()) return sender;
  auto made =
      Address::make(sender.local() + "+" + recipient.local() + "=" + recipient.domain().ascii(), sender.domain());
  return made ? *made : sender;
}

bool needs_smtputf8(const Mail& mail) {
  if (!mail.envelope.smtputf8) return false;
  if (mail.sender.needs_smtputf8() || !mail.content.header_is_ascii()) return true;
  return std::ranges::any_of(mail.recipients,
                             [&](std::uint32_t one) { return mail.envelope.recipients[one].address.needs_smtputf8(); });
}

std::optional<Reply> misfit(const Mail& mail, const Capabilities& can, bool secure) {
  const Envelope& envelope = mail.envelope;
  if (can.size && can.max_size != 0 && mail.content.size() > can.max_size)  // RFC 1870 §6.1: asked before, not after
    return Reply{552, "5.3.4",
                 fmt::format("the message has {} octets, the host takes {}", mail.content.size(), can.max_size)};
  if (!can.smtputf8 && needs_smtputf8(mail)) {  // RFC 6531 §3.7.4
    if (mail.content.header_is_ascii())
      return Reply{550, "5.6.7", "the host takes no addresses beyond ASCII (SMTPUTF8)"};
    return Reply{550, "5.6.9", "the host takes no headers beyond ASCII (SMTPUTF8)"};
  }
  if (envelope.require_tls && (!can.requiretls || !secure))  // RFC 8689 §4.2.1
    return Reply{550, "5.7.30", "the host does not support REQUIRETLS"};
  if (envelope.deliver_by && envelope.deliver_by->return_if_late) {  // RFC 2852 §4.1
    if (envelope.deliver_by->when <= mail.now) return Reply{554, "5.4.7", "the time to deliver by has passed"};
    if (!can.deliver_by) return Reply{554, "5.4.7", "the host cannot promise to deliver by a time (DELIVERBY)"};
  }
  return std::nullopt;
}

}  // namespace postern::relay

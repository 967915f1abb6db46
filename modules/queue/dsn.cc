// A report's frame and its part for programs; the part for people is in dsn_text.cc.
#include "dsn.h"

#include <fmt/format.h>

#include <algorithm>

#include "dsn_text.h"
#include "postern/mail_date.h"
#include "postern/message.h"
#include "postern/text.h"
#include "report_class.h"

namespace postern::queue {

namespace {

bool wants_utf8(const DsnFacts& facts) {
  return std::ranges::any_of(facts.outcomes, [&](const Outcome& one) {
    const Recipient& recipient = facts.envelope->recipients[one.recipient];
    return recipient.address.needs_smtputf8() || starts_with_folded(recipient.orcpt, "utf-8;");
  });
}

std::string_view action(Outcome::Kind kind) {
  static constexpr std::string_view kActions[] = {"failed", "delayed", "delivered", "relayed", "expanded"};
  return kActions[static_cast<std::size_t>(kind)];
}

/// "rfc822; bob@example.org". ORCPT comes as xtext and is written plainly (RFC 3461 §6.3); an address of type utf-8 is
/// plain only where UTF-8 may stand (RFC 6533 §3).
std::string original_recipient(const Recipient& recipient, bool utf8) {
  const auto parsed = parse_orcpt(recipient.orcpt);
  if (!parsed) return {};
  if (parsed->type == "utf-8" && !utf8) {
    const std::string coded = format_orcpt("utf-8", parsed->address);
    return "utf-8; " + coded.substr(coded.find(';') + 1);
  }
  return parsed->type + "; " + clean_text(parsed->address, kMaxOrcpt, utf8);
}

void field(std::string& out, std::string_view name, std::string_view value) {
  if (!value.empty()) out += make_field(name, value);
}

std::string diagnostic(const Outcome& one, bool utf8) {
  if (one.reply.code == 0 && one.reply.text.empty()) return {};
  const std::string words = reply_text(one.reply, utf8);
  return (one.host.empty() ? "x-postern; " : "smtp; ") + words;
}

void append_recipient(std::string& out, const DsnFacts& facts, const Outcome& one, bool utf8) {
  const Recipient& recipient = facts.envelope->recipients[one.recipient];
  out += "\r\n";
  field(out, "Original-Recipient", original_recipient(recipient, utf8));
  const bool wide = recipient.address.needs_smtputf8();
  field(out, "Final-Recipient", (wide ? "utf-8; " : "rfc822; ") + recipient.address.to_string());
  field(out, "Action", action(one.kind));
  field(out, "Status", status_of(one.reply));
  if (!one.host.empty()) field(out, "Remote-MTA", "dns; " + clean_text(one.host, 255, false));
  field(out, "Diagnostic-Code", diagnostic(one, utf8));
  if (one.last_attempt != WallTime{}) field(out, "Last-Attempt-Date", format_mail_date(one.last_attempt));
  if (one.kind == Outcome::Kind::kDelayed && one.will_retry_until)
    field(out, "Will-Retry-Until", format_mail_date(*one.will_retry_until));
  field(out, "Final-Log-ID", facts.original.to_string());
}

std::string status_part(const DsnFacts& facts, bool utf8) {
  std::string out;
  // Only what the sender gave is given back, without its xtext (RFC 3461 §6.3).
  if (const auto envid = parse_envid(facts.envelope->envid))
    field(out, "Original-Envelope-Id", clean_text(*envid, kMaxEnvid, false));
  field(out, "Reporting-MTA", "dns; " + facts.hostname);
  field(out, "Arrival-Date", format_mail_date(facts.original.arrival()));
  for (const Outcome& one : facts.outcomes) append_recipient(out, facts, one, utf8);
  return out;
}

std::string subject(const DsnFacts& facts) {
  static constexpr std::string_view kWords[] = {"Not delivered", "Delayed", "Delivered", "Handed on", "Handed on"};
  const std::string_view word = kWords[static_cast<std::size_t>(facts.outcomes.front().kind)];
  const std::string theirs = clean_text(HeaderBlock(facts.header).decoded("subject"), kMaxReportSubject, true);
  return theirs.empty() ? fmt::format("{}: your message", word) : fmt::format("{}: {}", word, theirs);
}

/// The header of the report itself.
std::string outer_header(const DsnFacts& facts) {
  std::string out;
  field(out, "Date", format_mail_date(facts.now));
  const std::string name = encode_words(facts.from_name);
  // Quoted unless it is encoded words or plain atoms: the name is an administrator's text.
  std::string phrase = name;
  if (is_ascii(facts.from_name)) {
    phrase = "\"";
    for (const char c : name)
      if (c != '"' && c != '\\') phrase += c;
    phrase += '"';
  }
  field(out, "From", phrase + " " + facts.from.path());
  field(out, "To", facts.to.path());
  field(out, "Subject", encode_words(subject(facts)));
  field(out, "Message-ID", fmt::format("<{}@{}>", facts.message_id, facts.hostname));
  const auto ids = parse_message_ids(HeaderBlock(facts.header).value("message-id"));
  if (!ids.empty() && ids.front().size() < 900 && is_ascii(ids.front())) {
    field(out, "In-Reply-To", ids.front());
    field(out, "References", ids.front());
  }
  field(out, "Auto-Submitted", facts.to_postmaster ? "auto-generated" : "auto-replied");
  field(out, "MIME-Version", "1.0");
  out += fmt::format("Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{}\"\r\n",
                     facts.boundary);
  return out;
}

std::string_view encoding(bool eight_bit) {
  return eight_bit ? "8bit" : "7bit";
}

}  // namespace

std::string_view returned_header(std::string_view header) {
  if (header.size() <= kMaxReturnedHeader) return header;
  const std::size_t end = header.rfind('\n', kMaxReturnedHeader - 1);
  return header.substr(0, end == header.npos ? 0 : end + 1);
}

Dsn compose_dsn(const DsnFacts& facts) {
  const bool utf8 = wants_utf8(facts);
  const std::string_view header = facts.full ? facts.header : returned_header(facts.header);
  const bool header_8bit = !is_ascii(header);
  const bool global = header_8bit && facts.envelope->smtputf8 && is_valid_utf8(header);
  const bool content_8bit = header_8bit || (facts.full && facts.body_8bit);
  const std::string words = people_part(facts);
  const std::string status = status_part(facts, utf8);

  Dsn out;
  out.smtputf8 = facts.to.needs_smtputf8();
  const bool eight_bit = content_8bit || !is_ascii(words) || !is_ascii(status);
  if (eight_bit) out.body = BodyType::k8BitMime;
  out.head = outer_header(facts);
  out.head += fmt::format("Content-Transfer-Encoding: {}\r\n\r\n", encoding(eight_bit));
  out.head += "This is a report about mail, in the form of RFC 3464.\r\n";
  const auto part = [&](std::string_view type, std::string_view description, bool wide) {
    out.head +=
        fmt::format("\r\n--{}\r\nContent-Type: {}\r\nContent-Description: {}\r\nContent-Transfer-Encoding: {}\r\n\r\n",
                    facts.boundary, type, description, encoding(wide));
  };
  part("text/plain; charset=utf-8", "Explanation", !is_ascii(words));
  out.head += words;
  part(utf8 ? "message/global-delivery-status" : "message/delivery-status", "Delivery report", !is_ascii(status));
  out.head += status;
  if (facts.full)
    part(global ? "message/global" : "message/rfc822", "Your message", content_8bit);
  else
    part(global ? "message/global-headers" : "text/rfc822-headers", "Header of your message", content_8bit);
  out.tail = fmt::format("\r\n--{}--\r\n", facts.boundary);
  return out;
}

}  // namespace postern::queue

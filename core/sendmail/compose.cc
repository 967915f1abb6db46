#include "core/sendmail/compose.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "postern/mail_date.h"
#include "postern/message.h"
#include "postern/text.h"

namespace postern::sendmail {

namespace {

constexpr std::array<std::string_view, 3> kFields = {"To", "Cc", "Bcc"};
constexpr std::array<std::string_view, 3> kResent = {"Resent-To", "Resent-Cc", "Resent-Bcc"};

/// Octets at the start of `text` that are header fields with their folded lines. What has none is all body.
std::size_t header_size(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find("\r\n", at);
    const std::string_view line = text.substr(at, end == text.npos ? text.npos : end - at);
    const bool folded = at > 0 && (line.starts_with(' ') || line.starts_with('\t'));
    const std::size_t colon = line.find(':');
    const std::string_view name = trim_right(line.substr(0, colon == line.npos ? 0 : colon));
    if (!folded && !is_field_name(name)) break;
    at = end == text.npos ? text.size() : end + 2;
  }
  return at;
}

/// "From ann Sat ..." above the header, of mail that comes out of a mailbox file.
std::string_view without_mbox_line(std::string_view text) {
  if (!text.starts_with("From ")) return text;
  const std::size_t end = text.find("\r\n");
  return end == text.npos ? std::string_view() : text.substr(end + 2);
}

Result<void> add_recipient(Envelope& envelope, Result<Address> address, const Options& options) {
  if (!address) return std::unexpected(address.error());
  for (const Recipient& known : envelope.recipients)
    if (known.address == *address) return {};
  Recipient& one = envelope.recipients.emplace_back();
  one.address = std::move(*address);
  if (const auto notify = parse_notify(options.notify); notify && !options.notify.empty()) one.notify = *notify;
  return {};
}

Result<Address> address_of(const HeaderAddress& found, std::string_view domain) {
  auto parsed = Domain::parse(found.domain.empty() ? domain : std::string_view(found.domain));
  if (!parsed)
    return fault("sendmail.address", fmt::format("{}@{}: {}", found.local, found.domain, parsed.error().to_string()));
  auto made = Address::make(found.local, *parsed);
  if (!made || found.local.empty())
    return fault("sendmail.address",
                 fmt::format("\"{}\" is no address", found.local + (found.domain.empty() ? "" : "@" + found.domain)));
  return *made;
}

Result<void> add_from_list(Envelope& envelope, std::string_view text, const Options& options, std::string_view domain,
                           bool strict) {
  const AddressList list = parse_address_list(text);
  if (strict && list.broken) return fault("sendmail.address", fmt::format("\"{}\" is no address", text));
  for (const HeaderAddress& one : list.items) {
    if (one.kind != HeaderAddress::Kind::kMailbox) continue;
    if (strict && one.domain.empty() && text.ends_with('@'))
      return fault("sendmail.address", fmt::format("\"{}\" has no domain", text));
    if (auto added = add_recipient(envelope, address_of(one, domain), options); !added) return added;
  }
  return {};
}

Result<void> find_recipients(Envelope& envelope, const HeaderBlock& header, const Options& options,
                             std::string_view domain) {
  for (const std::string& one : options.recipients)
    if (auto added = add_from_list(envelope, one, options, domain, true); !added) return added;
  if (options.recipients_from_header) {
    // Mail that is sent again goes to whom it is sent again, not to its first readers (RFC 5322 §3.6.6).
    const bool resent = std::ranges::any_of(kResent, [&](std::string_view name) { return header.count(name) > 0; });
    for (const HeaderField& field : header)
      if (std::ranges::any_of(resent ? kResent : kFields, [&](std::string_view name) { return field.is(name); }))
        if (auto added = add_from_list(envelope, field.value(), options, domain, false); !added) return added;
  }
  if (envelope.recipients.empty()) return fault("sendmail.no_recipients", "no recipient addresses");
  return {};
}

std::string from_field(const Options& options, const Facts& facts, const Address& sender) {
  const std::string& name = options.full_name.empty() ? facts.caller.full_name : options.full_name;
  const std::string address = sender.is_null() ? facts.caller.login + "@" + facts.domain : sender.to_string();
  if (name.empty()) return address;
  if (!is_ascii(name)) return fmt::format("{} <{}>", encode_words(scrub_utf8(name)), address);
  std::string quoted;
  for (const char c : name)
    if (c != '"' && c != '\\') quoted += c;
  return fmt::format("\"{}\" <{}>", quoted, address);
}

/// The header with what must be there, and without what must not travel.
std::string mend_header(const HeaderBlock& header, const Options& options, const Facts& facts, const Address& sender) {
  HeaderEdits edits;
  edits.remove_all("Bcc");
  edits.remove_all("Resent-Bcc");
  edits.remove_all("Return-Path");  // the last server's to write (RFC 5321 §4.4)
  if (header.count("From") == 0) edits.append("From", from_field(options, facts, sender));
  if (header.count("Date") == 0) edits.append("Date", format_mail_date(facts.now));
  if (header.count("Message-ID") == 0)
    edits.append("Message-ID", make_message_id(facts.now, facts.random, facts.domain));
  return edits.apply(header).join();
}

}  // namespace

std::string mend_lines(std::string_view input, bool ignore_dots) {
  std::string out;
  out.reserve(input.size() + input.size() / 32 + 2);
  while (!input.empty()) {
    const std::size_t end = input.find_first_of("\r\n");
    const std::string_view line = input.substr(0, end);
    if (!ignore_dots && line == ".") break;
    out += line;
    out += "\r\n";
    if (end == input.npos) break;
    input.remove_prefix(end + (input.substr(end).starts_with("\r\n") ? 2 : 1));
  }
  return out;
}

Result<Address> complete_address(std::string_view text, std::string_view domain) {
  const AddressList list = parse_address_list(text);
  if (list.broken || list.items.size() != 1 || list.items.front().kind != HeaderAddress::Kind::kMailbox)
    return fault("sendmail.address", fmt::format("\"{}\" is not one address", text));
  return address_of(list.items.front(), domain);
}

Result<Submission> compose(const Options& options, std::string input, const Facts& facts) {
  Submission out;
  Envelope& envelope = out.envelope;
  const std::string text = mend_lines(input, options.ignore_dots);
  input = std::string();
  const std::string_view whole = without_mbox_line(text);
  const HeaderBlock header(whole.substr(0, header_size(whole)));

  if (!options.sender || !options.sender->empty()) {
    auto sender = complete_address(options.sender.value_or(facts.caller.login), facts.domain);
    if (!sender) return std::unexpected(sender.error());
    envelope.sender = std::move(*sender);
  }
  if (auto found = find_recipients(envelope, header, options, facts.domain); !found)
    return std::unexpected(found.error());
  if (const auto ret = parse_ret(options.ret)) envelope.ret = *ret;
  envelope.envid = options.envid;

  out.message = mend_header(header, options, facts, envelope.sender);
  std::string_view body = whole.substr(header.bytes().size());
  if (!body.starts_with("\r\n")) out.message += "\r\n";
  out.message += body;
  if (!is_ascii(out.message)) envelope.body = BodyType::k8BitMime;
  envelope.smtputf8 =
      envelope.sender.needs_smtputf8() ||
      std::ranges::any_of(envelope.recipients, [](const Recipient& one) { return one.address.needs_smtputf8(); });
  return out;
}

}  // namespace postern::sendmail

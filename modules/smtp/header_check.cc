#include "header_check.h"

#include "postern/mail_date.h"
#include "postern/message.h"

namespace postern::smtp {

namespace {
constexpr std::string_view kMailboxLine = "From ";
}

OpeningCheck::Answer OpeningCheck::feed(std::string_view piece) {
  for (const char c : piece) {
    const bool starts_line = seen_ == 0;
    from_line_ = from_line_ && seen_ < kMailboxLine.size() && c == kMailboxLine[seen_];
    if (++seen_ == kMailboxLine.size() && from_line_) return Answer::kHeader;
    if (c == ':') return starts_line ? Answer::kWords : Answer::kHeader;
    if (starts_line && c == '\r') return Answer::kHeader;  // an empty header
    const bool blank = c == ' ' || c == '\t';
    const bool name = c > ' ' && c < 0x7F;
    if (starts_line ? !name : !(blank || (name && !blank_)) || seen_ > kMaxName) return Answer::kWords;
    blank_ = blank;
  }
  return Answer::kUndecided;
}

HeaderFacts read_header(std::string_view header) {
  HeaderFacts facts;
  facts.mailbox_line = header.starts_with(kMailboxLine);
  for (const HeaderField& field : HeaderBlock(header)) {
    ++facts.fields;
    switch (field.name.size()) {  // most fields are told apart by length alone
      case 3:
        facts.bcc += field.is("Bcc");
        break;
      case 4:
        facts.date += field.is("Date");
        if (field.is("From")) {
          ++facts.from;
          facts.many_authors |=
              field.raw_value.find(',') != std::string_view::npos && parse_address_list(field.value()).mailboxes() > 1;
        }
        break;
      case 6:
        facts.sender += field.is("Sender");
        break;
      case 8:
        facts.received += field.is("Received");
        break;
      case 10:
        facts.message_id += field.is("Message-ID");
        break;
      case 11:
        facts.return_path += field.is("Return-Path");
        break;
      default:
        break;
    }
  }
  return facts;
}

namespace {

std::string missing_fields(const HeaderFacts& facts, const MendRules& rules) {
  std::string out;
  if (facts.date == 0) out += make_field("Date", format_mail_date(rules.now));
  if (facts.message_id == 0) out += make_field("Message-ID", make_message_id(rules.now, rules.random, rules.hostname));
  if (facts.from == 0 && !rules.sender.is_null()) out += make_field("From", rules.sender.path());
  if (facts.many_authors && facts.sender == 0 && !rules.sender.is_null())
    out += make_field("Sender", rules.sender.path());
  return out;
}

}  // namespace

std::optional<std::string> mend_header(std::string_view header, const HeaderFacts& facts, const MendRules& rules) {
  std::string added;
  if (rules.submission) added = missing_fields(facts, rules);
  const bool drop_bcc = rules.submission && rules.strip_bcc && facts.bcc > 0;
  if (added.empty() && facts.return_path == 0 && !drop_bcc && !facts.mailbox_line) return std::nullopt;
  std::string out;
  out.reserve(header.size() + added.size());
  for (const HeaderField& field : HeaderBlock(header)) {
    const bool mailbox_line = facts.mailbox_line && field.offset == 0;
    if (mailbox_line || field.is("Return-Path") || (drop_bcc && field.is("Bcc"))) continue;
    out += field.raw;
  }
  // A header that was cut at the spool's limit ends within a line, which goes on in the body.
  return header.ends_with('\n') ? out + added : added + out;
}

}  // namespace postern::smtp

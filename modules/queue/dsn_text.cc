#include "dsn_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "postern/mail_date.h"
#include "postern/message.h"
#include "postern/text.h"
#include "report_class.h"

namespace postern::queue {

namespace {

constexpr std::size_t kColumns = 76;
constexpr std::size_t kMaxNamed = 50;  // recipients that people are told of one by one; programs get all

/// Words in lines of kColumns, each behind `indent`.
void wrap(std::string& out, std::string_view text, std::string_view indent = {}) {
  std::string line(indent);
  bool empty = true;
  for (const std::string_view word : split_words(text)) {
    if (!empty && line.size() + 1 + word.size() > kColumns) {
      out += line + "\r\n";
      line = indent;
      empty = true;
    }
    if (!empty) line += ' ';
    line += word;
    empty = false;
  }
  if (!empty) out += line + "\r\n";
}

std::string duration_text(Duration span) {
  const auto hours = std::chrono::duration_cast<std::chrono::hours>(span).count();
  if (hours >= 48) return fmt::format("{} days", hours / 24);
  if (hours >= 2) return fmt::format("{} hours", hours);
  const auto minutes = std::max<long>(1, std::chrono::duration_cast<std::chrono::minutes>(span).count());
  return minutes == 1 ? "1 minute" : fmt::format("{} minutes", minutes);
}

std::string what_happened(const DsnFacts& facts) {
  const bool one = facts.outcomes.size() == 1;
  const std::string to = one ? "to the following address" : "to the following addresses";
  const std::string whose = facts.to_postmaster ? "A message without a sender (such as a report)" : "Your message";
  switch (facts.outcomes.front().kind) {
    case Outcome::Kind::kFailed:
      return fmt::format("{} could not be delivered {}. It will not be tried again.", whose, to);
    case Outcome::Kind::kDelayed:
      return fmt::format(
          "{} has not been delivered {} yet. We go on trying: you need not do anything, and need not send it again.",
          whose, to);
    case Outcome::Kind::kDelivered:
      return fmt::format("{} was delivered {}. You asked to be told.", whose, to);
    case Outcome::Kind::kRelayed:
      return fmt::format(
          "{} was handed to the next mail server on the way {}. That server tells nobody of a delivery, so this is the "
          "last you hear of it if all goes well.",
          whose, to);
    case Outcome::Kind::kExpanded:
      return fmt::format("{} was passed on to those whom the address stands for, on its way {}.", whose, to);
  }
  return {};
}

void append_why(std::string& out, const DsnFacts& facts, const Outcome& one) {
  if (one.kind != Outcome::Kind::kFailed && one.kind != Outcome::Kind::kDelayed) return;
  if (one.may_have_been_delivered) {
    wrap(out,
         "It may have been delivered all the same: the whole message had been sent when the connection was lost, and "
         "the "
         "other server's answer never came. Ask the person before you send it again.",
         "    ");
    return;
  }
  const RefusalInfo& info = info_of(classify(one.reply));
  wrap(out, info.title, "    ");
  if (one.kind == Outcome::Kind::kFailed && !facts.to_postmaster)
    wrap(out, fmt::format("What you can do: {}", info.advice), "    ");
}

void append_people(std::string& out, const DsnFacts& facts) {
  std::size_t named = 0;
  for (const Outcome& one : facts.outcomes) {
    if (named++ == kMaxNamed) break;
    out += "\r\n  " + facts.envelope->recipients[one.recipient].address.display() + "\r\n";
    append_why(out, facts, one);
  }
  if (facts.outcomes.size() > kMaxNamed)
    out += fmt::format("\r\n  and {} more; all of them are in the next part.\r\n", facts.outcomes.size() - kMaxNamed);
}

void append_technical(std::string& out, const DsnFacts& facts, const Outcome& one) {
  out += "\r\n" + facts.envelope->recipients[one.recipient].address.to_string() + "\r\n";
  const std::string words = reply_text(one.reply, true);
  if (!words.empty()) {
    const std::string who = one.host.empty() ? facts.hostname : clean_text(one.host, 255, false);
    wrap(out, fmt::format("{} said: {}", who, words), "  ");
  }
  if (one.attempts > 0 && one.last_attempt != WallTime{})
    out += fmt::format("  attempts: {}, the last one {}\r\n", one.attempts, format_mail_date(one.last_attempt));
  if (one.will_retry_until) out += fmt::format("  tried until {}\r\n", format_mail_date(*one.will_retry_until));
  if (one.kind == Outcome::Kind::kFailed || one.kind == Outcome::Kind::kDelayed)
    out += fmt::format("  class: {}\r\n", info_of(classify(one.reply)).word);
}

void append_message(std::string& out, const DsnFacts& facts) {
  const HeaderBlock header(facts.header);
  const auto line = [&](std::string_view name, std::string_view field) {
    const std::string value = clean_text(header.decoded(field), kMaxReportSubject, true);
    if (!value.empty()) out += fmt::format("  {}: {}\r\n", name, value);
  };
  line("Subject", "subject");
  line("Date", "date");
  line("To", "to");
}

}  // namespace

std::string clean_text(std::string_view text, std::size_t limit, bool utf8) {
  const std::string whole = utf8 && !is_valid_utf8(text) ? scrub_utf8(text) : std::string(text);
  std::string out;
  for (const char c : whole) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet <= 0x20 || octet == 0x7F) {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else if (octet >= 0x80 && !utf8) {
      out += '?';
    } else {
      out += c;
    }
  }
  if (out.size() > limit) {
    out.resize(limit);
    // Not in the middle of a character: back to before its first octet.
    while (utf8 && !out.empty() && !is_valid_utf8(out)) out.pop_back();
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string reply_text(const Reply& reply, bool utf8) {
  std::string out;
  if (reply.code != 0) out = std::to_string(reply.code);
  if (!reply.enhanced.empty()) out += (out.empty() ? "" : " ") + clean_text(reply.enhanced, 12, false);
  const std::string text = clean_text(reply.text, kMaxReportReply, utf8);
  if (!text.empty()) out += (out.empty() ? "" : " ") + text;
  return out;
}

std::string people_part(const DsnFacts& facts) {
  std::string out;
  out += fmt::format("This is the mail server {}.\r\n\r\n", facts.hostname);
  wrap(out, what_happened(facts));
  append_people(out, facts);
  const Outcome& first = facts.outcomes.front();
  if (first.kind == Outcome::Kind::kDelayed) {
    out += "\r\n";
    const std::string age = duration_text(facts.now - facts.original.arrival());
    std::string text = fmt::format("We have been trying for {}.", age);
    if (first.will_retry_until && *first.will_retry_until > facts.now)
      text += fmt::format(" If it has not worked in another {}, we give up and tell you.",
                          duration_text(*first.will_retry_until - facts.now));
    wrap(out, text);
  }
  out += facts.to_postmaster ? "\r\nThe message:\r\n" : "\r\nYour message:\r\n";
  append_message(out, facts);
  out += "\r\n--- Technical detail, for your mail administrator ---\r\n";
  out += fmt::format("\r\nmessage {} from {}\r\ntaken in {}\r\n", facts.original.to_string(),
                     facts.envelope->sender.path(), format_mail_date(facts.original.arrival()));
  std::size_t named = 0;
  for (const Outcome& one : facts.outcomes)
    if (named++ < kMaxNamed) append_technical(out, facts, one);
  return out;
}

}  // namespace postern::queue

#include "core/pipeline/described.h"

#include <fmt/format.h>

#include <charconv>

#include "postern/text.h"

namespace postern {
namespace {

void add(std::string& out, std::string_view word) {
  if (!out.empty()) out += ' ';
  out += word;
}
void add(std::string& out, std::string_view name, std::string_view value) {
  add(out, name);
  out += '=';
  out += value;
}

std::int64_t micros(WallTime when) {
  return when.time_since_epoch().count();
}

std::optional<WallTime> wall(std::string_view text) {
  const auto number = to_number<std::int64_t>(text);
  if (!number) return std::nullopt;
  return WallTime(WallTime::duration(*number));
}

constexpr std::string_view kBodies[] = {"", "8bitmime", "binarymime"};

void read_word(std::string_view name, std::string_view value, Envelope& envelope, bool& answers_each) {
  if (name == "size") envelope.size = to_number<std::uint64_t>(value);
  if (name == "body") envelope.body = value == kBodies[2] ? BodyType::kBinaryMime : BodyType::k8BitMime;
  if (name == "smtputf8") envelope.smtputf8 = true;
  if (name == "requiretls") envelope.require_tls = true;
  if (name == "ret") envelope.ret = value == "full" ? DsnReturn::kFull : DsnReturn::kHeaders;
  if (name == "envid") envelope.envid = value;
  if (name == "priority") envelope.priority = to_number<std::int8_t>(value);
  if (name == "hold") envelope.hold_until = wall(value);
  if (name == "each") answers_each = true;
  if (name != "by") return;
  const auto parts = split(value, ';');
  if (const auto when = wall(parts[0]); when && parts.size() == 2)
    envelope.deliver_by = DeliverBy{.when = *when,
                                    .return_if_late = parts[1].find('R') != std::string_view::npos,
                                    .trace = parts[1].find('T') != std::string_view::npos};
}

}  // namespace

std::string mail_parameters(const Envelope& envelope, bool answers_each) {
  std::string out;
  if (envelope.size) add(out, "size", std::to_string(*envelope.size));
  if (envelope.body != BodyType::k7Bit) add(out, "body", kBodies[static_cast<std::size_t>(envelope.body)]);
  if (envelope.smtputf8) add(out, "smtputf8");
  if (envelope.require_tls) add(out, "requiretls");
  if (envelope.ret != DsnReturn::kUnset) add(out, "ret", envelope.ret == DsnReturn::kFull ? "full" : "hdrs");
  if (!envelope.envid.empty()) add(out, "envid", envelope.envid);
  if (envelope.priority) add(out, "priority", std::to_string(*envelope.priority));
  if (envelope.hold_until) add(out, "hold", std::to_string(micros(*envelope.hold_until)));
  if (const auto& by = envelope.deliver_by)
    add(out, "by", fmt::format("{};{}{}", micros(by->when), by->return_if_late ? 'R' : 'N', by->trace ? "T" : ""));
  if (answers_each) add(out, "each");
  return out;
}

void read_mail_parameters(std::string_view text, Envelope& envelope, bool& answers_each) {
  for (std::string_view word : split_words(text)) {
    const std::string_view name = take_until(word, '=');
    read_word(name, word, envelope, answers_each);
  }
}

std::string recipient_parameters(const Recipient& recipient) {
  std::string out;
  if (recipient.notify != kNotifyUnset)
    add(out, "notify", recipient.notify == kNotifyNever ? "NEVER" : format_notify(recipient.notify));
  if (!recipient.orcpt.empty()) add(out, "orcpt", recipient.orcpt);
  return out;
}

void read_recipient_parameters(std::string_view text, Recipient& recipient) {
  for (std::string_view word : split_words(text)) {
    const std::string_view name = take_until(word, '=');
    if (name == "notify") recipient.notify = parse_notify(word).value_or(kNotifyUnset);
    if (name == "orcpt") recipient.orcpt = word;
  }
}

std::string note_text(std::string_view name, const NoteValue& value) {
  struct Text {
    std::string operator()(bool yes) const { return yes ? "b:true" : "b:false"; }
    std::string operator()(std::int64_t number) const { return fmt::format("i:{}", number); }
    std::string operator()(double number) const { return fmt::format("d:{}", number); }
    std::string operator()(const std::string& text) const { return "s:" + text; }
  };
  return fmt::format("{}={}", name, std::visit(Text{}, value));
}

std::optional<std::pair<std::string, NoteValue>> read_note(std::string_view text) {
  // A name may have anything in it but is followed by one of four marks.
  for (std::size_t at = text.find('='); at != std::string_view::npos; at = text.find('=', at + 1)) {
    if (at + 2 >= text.size() || text[at + 2] != ':') continue;
    const std::string_view value = text.substr(at + 3);
    std::pair<std::string, NoteValue> out{std::string(text.substr(0, at)), std::string(value)};
    double real = 0;
    switch (text[at + 1]) {
      case 'b':
        out.second = value == "true";
        return out;
      case 'i':
        out.second = to_number<std::int64_t>(value).value_or(0);
        return out;
      case 'd':
        std::from_chars(value.data(), value.data() + value.size(), real);
        out.second = real;
        return out;
      case 's':
        return out;
    }
  }
  return std::nullopt;
}

void name_envelope(TrailRecord& record, const Envelope& envelope) {
  record.sender = envelope.sender.to_string();
  for (const Recipient& recipient : envelope.recipients) {
    if (record.recipients.size() >= TrailLog::kMaxRecipients) return;
    record.recipients.push_back(recipient.address.to_string());
  }
}

void note_mail(Transaction& transaction) {
  Trail& trail = transaction.trail;
  if (const std::string parameters = mail_parameters(transaction.envelope, transaction.answers_each);
      !parameters.empty())
    trail.fact(Stage::kMail, "parameters", parameters);
  for (const auto& [name, value] : transaction.session.notes) trail.fact(Stage::kMail, "note", note_text(name, value));
}

void note_recipient(Trail& trail, const Recipient& recipient) {
  if (recipient.notify == kNotifyUnset && recipient.orcpt.empty()) return;
  trail.fact(Stage::kRcpt, "parameters", recipient_parameters(recipient));
}

}  // namespace postern

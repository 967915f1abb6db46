// Mailets that edit the header. What runs for all recipients changes the message; what runs for some changes their
// copies.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "bring.h"
#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

void note_edit(const RuleCall& call, std::string_view mailet, const std::string& what, bool done) {
  if (done)
    call.effects.trail().edit(call.stage, mailet, what);
  else
    call.effects.trail().error(call.stage, mailet, "too many header edits: " + what);
}

std::string field_name(Arguments& arguments, std::string_view key) {
  std::string name = arguments.text(key);
  if (!is_field_name(name)) arguments.complain("\"" + name + "\" is not the name of a header field");
  return name;
}

void set_field(const RuleCall& call, std::string_view mailet, const std::string& name, std::string_view value) {
  HeaderEdits& edits = call.transaction.edits;
  const bool done = edits.remove_all(name) && edits.append(name, encode_field_value(value));
  note_edit(call, mailet, fmt::format("{}: {}", name, value), done);
}

std::shared_ptr<Action> set_header(Arguments& arguments) {
  return doing("set_header", [name = field_name(arguments, "name"), value = arguments.text("value")](
                                 const RuleCall& call) { set_field(call, "set_header", name, value); });
}

std::shared_ptr<Action> remove_header(Arguments& arguments) {
  std::vector<std::string> names = arguments.texts("names");
  for (const std::string& name : names)
    if (!is_field_name(name)) arguments.complain("\"" + name + "\" is not the name of a header field");
  return doing("remove_header", [names](const RuleCall& call) {
    const std::string now = header_now(call);  // what earlier rules added goes as well
    const HeaderBlock header(now);
    for (const std::string& name : names)
      if (header.find(name))
        note_edit(call, "remove_header", "without " + name, call.transaction.edits.remove_all(name));
  });
}

std::shared_ptr<Action> remove_header_prefix(Arguments& arguments) {
  const std::string prefix = arguments.text("prefix");
  if (!is_field_name(prefix)) arguments.complain("\"" + prefix + "\" is not the beginning of a field's name");
  return doing("remove_header_prefix", [prefix](const RuleCall& call) {
    std::set<std::string, FoldedLess> names;
    const std::string now = header_now(call);  // what earlier rules added goes as well
    for (const HeaderField& field : HeaderBlock(now))
      if (field.well_formed() && starts_with_folded(field.name, prefix)) names.emplace(field.name);
    for (const std::string& name : names)
      note_edit(call, "remove_header_prefix", "without " + name, call.transaction.edits.remove_all(name));
  });
}

std::shared_ptr<Action> subject_prefix(Arguments& arguments) {
  return doing("subject_prefix", [prefix = arguments.text("text")](const RuleCall& call) {
    const std::string subject = HeaderBlock(header_now(call)).decoded("Subject");  // with what earlier rules did
    if (subject.starts_with(prefix)) return;  // once is enough, also after a second pass
    const std::string changed = subject.empty() ? prefix : prefix + " " + subject;
    const bool done = call.transaction.edits.replace("Subject", 0, encode_words(changed));
    note_edit(call, "subject_prefix", "Subject: " + changed, done);
  });
}

std::shared_ptr<Action> require_message_id(Arguments&) {
  return doing("require_message_id", [](const RuleCall& call) {
    const std::string header = header_now(call);
    if (HeaderBlock(header).find("Message-ID")) return;
    const auto number = static_cast<std::uint64_t>(call.effects.random() * 9007199254740992.0);  // 2^53
    std::string host = call.effects.directory().default_domain();
    if (host.empty()) host = call.transaction.session.client.local_ip.literal();
    const std::string id = make_message_id(call.effects.clock(), number, host);
    note_edit(call, "require_message_id", "Message-ID: " + id, call.transaction.edits.append("Message-ID", id));
  });
}

std::string text_of(const NoteValue& value) {
  struct Text {
    std::string operator()(bool yes) const { return yes ? "yes" : "no"; }
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return fmt::format("{}", number); }
    std::string operator()(const std::string& text) const { return text; }
  };
  return std::visit(Text{}, value);
}

std::shared_ptr<Action> notes_to_headers(Arguments& arguments) {
  auto pairs = arguments.pairs();
  for (const auto& [note, name] : pairs)
    if (!is_field_name(name)) arguments.complain("\"" + name + "\" is not the name of a header field");
  return doing("notes_to_headers", [pairs](const RuleCall& call) {
    for (const auto& [note, name] : pairs)
      if (const auto found = call.transaction.notes.find(note); found != call.transaction.notes.end())
        set_field(call, "notes_to_headers", name, text_of(found->second));
  });
}

}  // namespace

void declare_header_actions(RuleRegistry& rules) {
  declare_action(
      rules, "set_header", "Gives the header one field of this name, in place of all that it had.",
      "act.set_header(\"X-Checked\", \"yes\")", "none",
      {{"name", "string", "the field", true, 0}, {"value", "string", "its value; line breaks cannot end it", true, 1}},
      set_header);
  declare_action(rules, "remove_header", "Takes all fields of these names out.", "act.remove_header \"Bcc\"", "none",
                 {{"names", "list of strings", "the fields", true, 0}}, remove_header);
  declare_action(rules, "remove_header_prefix", "Takes all fields out whose names begin so.",
                 "act.remove_header_prefix \"X-Spam-\"", "none",
                 {{"prefix", "string", "the beginning; case does not count", true, 0}}, remove_header_prefix);
  declare_action(rules, "subject_prefix", "Puts a text before the subject, unless it is there.",
                 "act.subject_prefix \"[external]\"", "none", {{"text", "string", "the text", true, 0}},
                 subject_prefix);
  declare_action(rules, "require_message_id", "Adds a Message-ID where there is none (RFC 6409 section 8.3).",
                 "act.require_message_id", "none", {}, require_message_id);
  declare_action(rules, "notes_to_headers", "Writes notes of the mail as header fields.",
                 "act.notes_to_headers { spam_score = \"X-Spam-Score\" }", "none",
                 {{"notes", "table", "field by note"}}, notes_to_headers);
}

}  // namespace postern::mailets

// Notes, log lines and counters. Notes set for all recipients belong to the mail, those for some to the recipients.
#include "rules.h"

namespace postern::mailets {
namespace {

constexpr std::size_t kMaxNotes = 256;  // of a mail, and of each recipient

std::shared_ptr<Action> set_note(Arguments& arguments) {
  const std::string name = arguments.text("name");
  const NoteValue value = arguments.note("value", true);
  return doing("set_note", [name, value](const RuleCall& call) {
    Transaction& mail = call.transaction;
    if (call.recipients.full()) {
      if (mail.notes.size() < kMaxNotes || mail.notes.contains(name)) mail.notes.insert_or_assign(name, value);
      return;
    }
    mail.recipient_notes.resize(mail.envelope.recipients.size());
    for (std::size_t i = 0; i < call.recipients.size(); ++i)
      if (call.recipients.contains(i) && mail.recipient_notes[i].size() < kMaxNotes)
        mail.recipient_notes[i].insert_or_assign(name, value);
  });
}

std::shared_ptr<Action> remove_note(Arguments& arguments) {
  return doing("remove_note", [names = arguments.texts("names")](const RuleCall& call) {
    Transaction& mail = call.transaction;
    for (const std::string& name : names) {
      if (call.recipients.full()) mail.notes.erase(name);
      for (std::size_t i = 0; i < mail.recipient_notes.size(); ++i)
        if (call.recipients.contains(i)) mail.recipient_notes[i].erase(name);
    }
  });
}

}  // namespace

void declare_note_actions(RuleRegistry& rules) {
  declare_action(rules, "set_note", "Sets a note, for later rules.", "act.set_note(\"spam\", true)", "none",
                 {{"name", "string", "the note", true, 0},
                  {"value", "boolean, number or string", "its value; true unless given", false, 1}},
                 set_note);
  declare_action(rules, "remove_note", "Forgets notes.", "act.remove_note \"spam\"", "none",
                 {{"names", "list of strings", "the notes", true, 0}}, remove_note);
  declare_action(rules, "log", "Writes a line to the log.", "act.log(\"seen\")", "none",
                 {{"text", "string", "the line", true, 0},
                  {"level", "string", "trace, debug, info, warn or error; info unless given", false, 1}},
                 [](Arguments& arguments) {
                   const std::string text = arguments.text("text"), level = arguments.text("level", "info");
                   if (!parse_log_level(level)) arguments.complain("\"" + level + "\" is not a level");
                   return doing("log", [text, level](const RuleCall& call) { call.effects.log(level, text); });
                 });
  declare_action(rules, "count", "Adds one to a counter of the metrics.", "act.count \"archived\"", "none",
                 {{"name", "string", "the counter", true, 0}, {"by", "integer", "how much; 1 unless given", false, 1}},
                 [](Arguments& arguments) {
                   const std::string name = arguments.text("name");
                   const auto by = arguments.integer("by", 1, 1'000'000'000).value_or(1);
                   return doing("count", [name, by](const RuleCall& call) { call.effects.count(name, by); });
                 });
}

}  // namespace postern::mailets

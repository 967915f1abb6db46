// Matchers about the message: its header, size, priority, notes, and how often it has passed. Those that need its parts
// are in match_parts.cc.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <initializer_list>
#include <map>
#include <mutex>

#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

HeaderBlock header_of(const RuleCall& call) {
  return HeaderBlock(call.transaction.headers());
}

std::shared_ptr<Matcher> relay_limit(Arguments& arguments) {
  const auto limit = arguments.integer("count", 1, 10'000);
  if (!limit) arguments.complain("needs count");
  return whole_mail("relay_limit", [count = limit.value_or(100)](const RuleCall& call) {
    return call.transaction.received_count >= count;
  });
}

std::shared_ptr<Matcher> size_over(Arguments& arguments) {
  const auto limit = arguments.size("size");
  if (!limit) arguments.complain("needs size");
  return whole_mail("size_over",
                    [size = limit.value_or(0)](const RuleCall& call) { return call.transaction.size > size; });
}

std::string field_name(Arguments& arguments) {
  std::string name = arguments.text("name");
  if (!is_field_name(name)) arguments.complain("\"" + name + "\" is not the name of a header field");
  return name;
}

std::shared_ptr<Matcher> has_header(Arguments& arguments) {
  std::string name = field_name(arguments);
  const bool any = !arguments.given("value");
  return whole_mail("has_header", [name, any, value = arguments.text("value", "")](const RuleCall& call) {
    for (const HeaderField& field : header_of(call))
      if (field.is(name) && (any || field.decoded() == value)) return true;
    return false;
  });
}

enum class Compare : std::uint8_t { kLess, kLessEqual, kEqual, kGreaterEqual, kGreater };

bool holds(double a, Compare compare, double b) {
  switch (compare) {
    case Compare::kLess:
      return a < b;
    case Compare::kLessEqual:
      return a <= b;
    case Compare::kEqual:
      return a == b;
    case Compare::kGreaterEqual:
      return a >= b;
    case Compare::kGreater:
      return a > b;
  }
  return false;
}

/// The number at the start of a field's value: "5.2", "5.2 / 10".
std::optional<double> leading_number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (end == text.c_str() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::shared_ptr<Matcher> compare_numeric_header(Arguments& arguments) {
  static constexpr std::pair<std::string_view, Compare> kWords[] = {{"<", Compare::kLess},
                                                                    {"<=", Compare::kLessEqual},
                                                                    {"==", Compare::kEqual},
                                                                    {">=", Compare::kGreaterEqual},
                                                                    {">", Compare::kGreater}};
  std::string name = field_name(arguments);
  const std::string word = arguments.text("comparison");
  Compare compare = Compare::kEqual;
  bool known = false;
  for (const auto& [text, value] : kWords)
    if (text == word) compare = value, known = true;
  if (!known) arguments.complain("comparison must be one of < <= == >= >");
  const auto bound = arguments.number("bound");
  if (!bound) arguments.complain("needs bound");
  return whole_mail("compare_numeric_header", [name, compare, limit = bound.value_or(0)](const RuleCall& call) {
    const auto value = leading_number(header_of(call).value(name));
    return value && holds(*value, compare, limit);
  });
}

std::shared_ptr<Matcher> has_mime_type(Arguments& arguments) {
  std::vector<std::string> types = arguments.texts("types");
  for (std::string& type : types) lower_in_place(type);
  return whole_mail("has_mime_type", [types](const RuleCall& call) {
    const std::string value = header_of(call).value("Content-Type");
    const std::string type = value.empty() ? "text/plain" : parse_parameters(value).value;  // RFC 2045 §5.2
    for (const std::string& wanted : types)
      if (type == wanted ||
          (wanted.ends_with("/*") && type.starts_with(std::string_view(wanted).substr(0, wanted.size() - 1))))
        return true;
    return false;
  });
}

ParameterizedValue content_type(const RuleCall& call) {
  return parse_parameters(header_of(call).value("Content-Type"));
}

/// "application/pkcs7-mime" and "application/x-pkcs7-mime", its name of old, for `what` = "pkcs7-mime".
bool is_pkcs7(std::string_view type, std::string_view what) {
  return type == std::string("application/").append(what) || type == std::string("application/x-").append(what);
}

bool has_parameter(const ParameterizedValue& type, std::string_view name,
                   std::initializer_list<std::string_view> values) {
  const std::string* given = type.find(name);
  return given && std::ranges::any_of(values, [&](std::string_view one) { return equal_folded(*given, one); });
}

/// RFC 8551 §3.5: a clear text with its signature beside it, or one that is wrapped in the signature.
bool is_smime_signed(const RuleCall& call) {
  const ParameterizedValue type = content_type(call);
  if (type.value == "multipart/signed")  // OpenPGP has it too (RFC 3156 §5)
    return has_parameter(type, "protocol", {"application/pkcs7-signature", "application/x-pkcs7-signature"});
  return is_pkcs7(type.value, "pkcs7-signature") ||
         (is_pkcs7(type.value, "pkcs7-mime") && has_parameter(type, "smime-type", {"signed-data"}));
}

/// RFC 8551 §3.3, §3.4.
bool is_smime_encrypted(const RuleCall& call) {
  const ParameterizedValue type = content_type(call);
  return is_pkcs7(type.value, "pkcs7-mime") &&
         has_parameter(type, "smime-type", {"enveloped-data", "authenveloped-data"});
}

constexpr std::int64_t kLowest = -9, kHighest = 9;  // RFC 6710 §4.1

std::shared_ptr<Matcher> has_priority(Arguments& arguments) {
  const auto exact = arguments.integer("priority", kLowest, kHighest);
  const auto low = arguments.integer("at_least", kLowest, kHighest);
  const auto high = arguments.integer("at_most", kLowest, kHighest);
  if (exact ? low || high : !low && !high) arguments.complain("needs either priority, or at_least and at_most");
  return whole_mail("has_priority", [low = exact ? *exact : low.value_or(kLowest),
                                     high = exact ? *exact : high.value_or(kHighest)](const RuleCall& call) {
    const std::int64_t priority = call.transaction.envelope.priority.value_or(0);
    return priority >= low && priority <= high;
  });
}

const NoteValue* note_of(const RuleCall& call, std::size_t recipient, const std::string& name) {
  const Transaction& mail = call.transaction;
  if (recipient < mail.recipient_notes.size())
    if (const auto own = mail.recipient_notes[recipient].find(name); own != mail.recipient_notes[recipient].end())
      return &own->second;
  if (const auto shared = mail.notes.find(name); shared != mail.notes.end()) return &shared->second;
  const auto session = mail.session.notes.find(name);
  return session == mail.session.notes.end() ? nullptr : &session->second;
}

std::shared_ptr<Matcher> has_note(Arguments& arguments) {
  const std::string name = arguments.text("name");
  const bool any = !arguments.given("value");
  const NoteValue wanted = arguments.note("value", true);
  return each_recipient("has_note", [name, any, wanted](const RuleCall& call, std::size_t i) {
    const NoteValue* note = note_of(call, i, name);
    return note && (any || *note == wanted);
  });
}

bool is_spam(const RuleCall& call, std::size_t i) {
  const NoteValue* note = note_of(call, i, "spam");
  return note && std::holds_alternative<bool>(*note) && std::get<bool>(*note);
}

/// Counters of at_most by name, for all workers and epochs of the process.
class Passes {
 public:
  std::shared_ptr<std::atomic<std::uint64_t>> counter(const std::string& name) {
    const std::lock_guard lock(mutex_);  // while scripts are loaded
    auto& counter = counters_[name];
    if (!counter) counter = std::make_shared<std::atomic<std::uint64_t>>(0);
    return counter;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<std::atomic<std::uint64_t>>> counters_;
};

/// The number of this mail among those that passed: counted now, or in a replay as it was. 0 when the trail has none.
std::uint64_t pass_number(const RuleCall& call, const std::string& name, std::atomic<std::uint64_t>& counter) {
  const auto recorded = call.effects.recorded("at_most", name);
  if (recorded && recorded->empty()) return 0;
  const std::uint64_t number =
      recorded ? to_number<std::uint64_t>(*recorded).value_or(0) : counter.fetch_add(1, std::memory_order_relaxed) + 1;
  call.effects.trail().effect(call.stage, "at_most", name, std::to_string(number), 0);
  return number;
}

void declare_at_most(RuleRegistry& rules) {
  declare_matcher(rules, "at_most", "All, for the first n mails that pass the named counter, then none.",
                  "match.at_most(10, \"probe\")", "none",
                  {{"count", "integer", "how many", true, 0},
                   {"name", "string", "the counter; rules with one name share it", false, 1}},
                  [passes = std::make_shared<Passes>()](Arguments& arguments) {
                    const auto count = arguments.integer("count", 0, 1'000'000'000);
                    if (!count) arguments.complain("needs count");
                    const std::string name = arguments.text("name", "at_most");
                    auto counter = passes->counter(name);
                    return whole_mail("at_most", [limit = static_cast<std::uint64_t>(count.value_or(0)), name,
                                                  counter](const RuleCall& call) {
                      const std::uint64_t number = pass_number(call, name, *counter);
                      return number != 0 && number <= limit;
                    });
                  });
}

void declare_smime_and_priority(RuleRegistry& rules) {
  declare_matcher(
      rules, "is_smime_signed", "All, if the message says that it is signed by S/MIME; the signature is not checked.",
      "match.is_smime_signed", "none", {}, [](Arguments&) { return whole_mail("is_smime_signed", is_smime_signed); });
  declare_matcher(rules, "is_smime_encrypted",
                  "All, if the message says that it is encrypted by S/MIME, in its parameter smime-type.",
                  "match.is_smime_encrypted", "none", {},
                  [](Arguments&) { return whole_mail("is_smime_encrypted", is_smime_encrypted); });
  declare_matcher(rules, "has_priority", "All, if the mail's priority in the queue is this, or in these bounds.",
                  "match.has_priority { at_least = 3 }", "none",
                  {{"priority", "integer", "from -9 to 9; mail that was given none has 0", false, 0},
                   {"at_least", "integer", "the lowest that is selected"},
                   {"at_most", "integer", "the highest that is selected"}},
                  has_priority);
}

}  // namespace

void declare_message_matchers(RuleRegistry& rules) {
  declare_matcher(rules, "relay_limit",
                  "All, if the mail has at least this many Received fields: the loop guard (RFC 5321 section 6.3).",
                  "match.relay_limit(100)", "none", {{"count", "integer", "Received fields", true, 0}}, relay_limit);
  declare_at_most(rules);
  declare_smime_and_priority(rules);
  declare_matcher(rules, "size_over", "All, if the message is larger.", "match.size_over \"25 MiB\"", "none",
                  {{"size", "size", "octets, or a text with a unit", true, 0}}, size_over);
  declare_matcher(rules, "has_header", "All, if the header has this field, with this value if one is given.",
                  "match.has_header(\"X-Loop\", \"us\")", "none",
                  {{"name", "string", "the field", true, 0}, {"value", "string", "its whole value, decoded", false, 1}},
                  has_header);
  declare_matcher(rules, "compare_numeric_header", "All, if the number at the start of a field compares so.",
                  "match.compare_numeric_header(\"X-Spam-Score\", \">=\", 5)", "none",
                  {{"name", "string", "the field", true, 0},
                   {"comparison", "string", "< <= == >= >", true, 1},
                   {"bound", "number", "the other side", true, 2}},
                  compare_numeric_header);
  declare_matcher(rules, "subject_is", "All, if the decoded subject is this.", "match.subject_is \"subscribe\"", "none",
                  {{"text", "string", "the subject", true, 0}}, [](Arguments& arguments) {
                    return whole_mail("subject_is", [text = arguments.text("text")](const RuleCall& call) {
                      return header_of(call).decoded("Subject") == text;
                    });
                  });
  declare_matcher(rules, "subject_starts_with", "All, if the decoded subject begins so; case does not count.",
                  "match.subject_starts_with \"[ticket\"", "none", {{"text", "string", "the beginning", true, 0}},
                  [](Arguments& arguments) {
                    return whole_mail("subject_starts_with", [text = arguments.text("text")](const RuleCall& call) {
                      return starts_with_folded(header_of(call).decoded("Subject"), text);
                    });
                  });
  declare_matcher(
      rules, "has_note",
      "Recipients with a note of theirs, of the mail or of the session, with this value if one is given.",
      "match.has_note(\"spam_score\", 5)", "none",
      {{"name", "string", "the note", true, 0}, {"value", "boolean, number or string", "its value", false, 1}},
      has_note);
  declare_matcher(rules, "has_mime_type",
                  "All, if the message's own Content-Type is one of these; \"image/*\" takes a family.",
                  "match.has_mime_type \"multipart/report\"", "none",
                  {{"types", "list of strings", "the types", true, 0}}, has_mime_type);
  declare_matcher(
      rules, "is_marked_as_spam",
      "Recipients for whom our own note `spam` is true; header fields that came with the mail do not count.",
      "match.is_marked_as_spam", "none", {}, [](Arguments&) { return each_recipient("is_marked_as_spam", is_spam); });
}

}  // namespace postern::mailets

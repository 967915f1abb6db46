// bounce, reject, defer: refusals. While the session waits they are its reply; when only some of a mail's recipients
// are refused and the client cannot be told of each, the sender gets a report (architecture.md decision 6).
#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

/// "5.7.1": class, subject and detail (RFC 3463 §2).
bool is_enhanced(std::string_view text, char kind) {
  const auto parts = split(text, '.');
  if (parts.size() != 3 || parts[0].size() != 1 || parts[0][0] != kind) return false;
  return to_number<int>(parts[1], 0, 999).has_value() && to_number<int>(parts[2], 0, 999).has_value();
}

std::shared_ptr<Action> refusal(std::string name, std::int64_t code, std::string enhanced, std::string text,
                                Arguments& arguments) {
  const char kind = code >= 500 ? '5' : '4';
  if (!is_enhanced(enhanced, kind))
    arguments.complain("\"" + enhanced + "\" is not an enhanced code that fits " + std::to_string(code));
  ActionResult result;
  result.kind = ActionResult::Kind::kFinal;
  result.verdict = kind == '5' ? Verdict::reject(static_cast<int>(code), std::move(enhanced), std::move(text))
                               : Verdict::defer(static_cast<int>(code), std::move(enhanced), std::move(text));
  return std::make_shared<Fixed>(std::move(name), std::move(result), true);
}

std::shared_ptr<Action> bounce(Arguments& arguments) {
  std::string enhanced = arguments.text("enhanced");
  const std::int64_t code = enhanced.starts_with('4') ? 450 : 550;
  return refusal("bounce", code, std::move(enhanced), arguments.text("text"), arguments);
}

std::shared_ptr<Action> reject(Arguments& arguments) {
  const auto code = arguments.integer("code", 500, 599);
  if (!code) arguments.complain("needs code");
  std::string enhanced = arguments.text("enhanced");
  return refusal("reject", code.value_or(550), std::move(enhanced), arguments.text("text"), arguments);
}

std::shared_ptr<Action> defer(Arguments& arguments) {
  const auto code = arguments.integer("code", 400, 499);
  if (!code) arguments.complain("needs code");
  std::string enhanced = arguments.text("enhanced");
  return refusal("defer", code.value_or(451), std::move(enhanced), arguments.text("text"), arguments);
}

}  // namespace

void declare_refusals(RuleRegistry& rules) {
  declare_action(
      rules, "bounce", "Refuses: 550 (or 450 for a 4.x.x code) while the session waits, else a report to the sender.",
      "act.bounce(\"5.7.1\", \"not accepted\")", "none",
      {{"enhanced", "string", "enhanced status code", true, 0}, {"text", "string", "for the sender", true, 1}}, bounce);
  const std::vector<ArgumentInfo> full = {{"code", "integer", "reply code", true, 0},
                                          {"enhanced", "string", "enhanced status code of the same class", true, 1},
                                          {"text", "string", "for the sender", true, 2}};
  declare_action(rules, "reject", "Refuses for good.", "act.reject(554, \"5.7.1\", \"not accepted\")", "none", full,
                 reject);
  declare_action(rules, "defer", "Refuses for now; the client tries again.",
                 "act.defer(451, \"4.7.1\", \"come back later\")", "none", full, defer);
}

}  // namespace postern::mailets

// delivery_failed: about reports that our queue makes, which go through "root" as any mail does.
//
// The queue's reporter leaves a note with the mail, "delivery-failed": a reply's code and enhanced code for each way in
// which recipients were given up, as "550 5.1.1; 451 4.4.1".
#include <algorithm>

#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

constexpr std::string_view kNote = "delivery-failed";

struct Wanted {
  bool permanent = false;
  bool temporary = false;
  std::vector<std::string> codes;  ///< of three digits, or enhanced ones

  bool fits(std::string_view failure) const {
    const std::string_view code = failure.substr(0, failure.find(' '));
    const std::string_view enhanced = failure.substr(std::min(code.size() + 1, failure.size()));
    if (permanent != temporary && code.starts_with('5') != permanent) return false;
    return codes.empty() || std::ranges::any_of(codes, [&](const std::string& one) {
             return one == code || one == enhanced ||
                    (enhanced.starts_with(one) && enhanced.substr(one.size()).starts_with('.'));
           });
  }
};

bool failed(const RuleCall& call, const Wanted& wanted) {
  if (!call.transaction.session.made_here) return false;
  const auto note = call.transaction.notes.find(kNote);
  const auto* text = note == call.transaction.notes.end() ? nullptr : std::get_if<std::string>(&note->second);
  if (!text) return false;
  for (std::string_view rest = *text; !rest.empty();) {
    const std::size_t end = std::min(rest.find(';'), rest.size());
    if (wanted.fits(trim(rest.substr(0, end)))) return true;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return false;
}

bool is_code(std::string_view text) {
  const bool reply = text.size() == 3 && std::ranges::all_of(text, is_ascii_digit);
  const bool enhanced = text.size() >= 3 && text[1] == '.' &&
                        std::ranges::all_of(text, [](char c) { return is_ascii_digit(c) || c == '.'; });
  return (reply || enhanced) && (text.front() == '4' || text.front() == '5');
}

std::shared_ptr<Matcher> delivery_failed(Arguments& arguments) {
  Wanted wanted;
  wanted.permanent = arguments.flag("permanent", false);
  wanted.temporary = arguments.flag("temporary", false);
  if (arguments.named("code")) wanted.codes = arguments.texts("code");
  for (const std::string& code : wanted.codes)
    if (!is_code(code)) arguments.complain("\"" + code + "\" is not a code such as \"550\" or \"5.1.1\"");
  return whole_mail("delivery_failed", [wanted](const RuleCall& call) { return failed(call, wanted); });
}

}  // namespace

void declare_delivery_matchers(RuleRegistry& rules) {
  declare_matcher(
      rules, "delivery_failed",
      "All, if the mail is a report of our queue about recipients that it gave up, for one of these reasons.",
      "match.delivery_failed { permanent = true, code = { \"5.1.1\", \"5.2\" } }", "none",
      {{"permanent", "boolean", "whether refusals for good count; without this and the next one all count"},
       {"temporary", "boolean", "whether those count that were refused for a while until their time was over"},
       {"code", "string or list of strings", "replies that count: \"550\", \"5.1.1\", or \"5.1\" for all below it"}},
      delivery_failed);
}

}  // namespace postern::mailets

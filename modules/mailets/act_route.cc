// Mailets that settle where mail goes, and when: go, deliver, relay, discard, quarantine, hold, split, priority.
#include <fmt/format.h>

#include <algorithm>

#include "postern/text.h"
#include "postern/transport.h"
#include "rules.h"

namespace postern::mailets {
namespace {

constexpr std::size_t kMaxFolder = 255;
constexpr std::size_t kMaxGateway = 255;

ActionResult final_step(PlanStep::Kind kind) {
  ActionResult result;
  result.kind = ActionResult::Kind::kFinal;
  result.step.kind = kind;
  return result;
}

ActionResult final_verdict(Verdict::Kind kind, std::string reason) {
  ActionResult result;
  result.kind = ActionResult::Kind::kFinal;
  result.verdict.kind = kind;
  result.verdict.reason = std::move(reason);
  return result;
}

bool has_blanks(std::string_view text) {
  return std::ranges::any_of(text, [](unsigned char c) { return c <= ' ' || c == 0x7f; });
}

bool is_printable(std::string_view text) {
  for (const char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return false;
  return is_valid_utf8(text);
}

std::shared_ptr<Action> go(Arguments& arguments) {
  ActionResult result;
  result.kind = ActionResult::Kind::kGo;
  result.pipeline = arguments.text("pipeline");
  return std::make_shared<Fixed>("go", std::move(result), true);
}

std::shared_ptr<Action> deliver(Arguments& arguments) {
  ActionResult result = final_step(PlanStep::Kind::kDeliver);
  result.step.folder = arguments.text("folder", "");
  if (result.step.folder.size() > kMaxFolder || !is_printable(result.step.folder))
    arguments.complain("folder is not a mailbox name");
  if (arguments.given("flags")) result.step.flags = arguments.texts("flags");
  for (const std::string& flag : result.step.flags)
    if (flag.empty() || !is_printable(flag) || flag.find_first_of(" (){%*\"]") != std::string::npos)
      arguments.complain("\"" + flag + "\" is not a flag");  // RFC 9051 §9: an atom, or one behind a backslash
  return std::make_shared<Fixed>("deliver", std::move(result), true);
}

std::shared_ptr<Action> relay(Arguments& arguments) {
  ActionResult result = final_step(PlanStep::Kind::kRelay);
  for (const std::string_view key : {"gateway", "tls", "source"})
    if (const std::string value = arguments.text(key, ""); !value.empty()) result.step.options.emplace(key, value);
  if (const auto gateway = result.step.options.find("gateway"); gateway != result.step.options.end())
    if (gateway->second.size() > kMaxGateway || !is_ascii(gateway->second) || has_blanks(gateway->second))
      arguments.complain(fmt::format("gateway \"{}\" is neither a host nor the name of a route", gateway->second));
  if (const auto tls = result.step.options.find("tls"); tls != result.step.options.end())
    if (!is_tls_word(tls->second)) arguments.complain(fmt::format("tls must be one of {}", fmt::join(kTlsWords, ", ")));
  if (const auto source = result.step.options.find("source");
      source != result.step.options.end() && !IpAddress::parse(source->second))
    arguments.complain("source is not an IP address");
  return std::make_shared<Fixed>("relay", std::move(result), true);
}

std::shared_ptr<Action> hold(Arguments& arguments) {
  const auto duration = arguments.duration("duration");
  if (!duration || *duration <= Duration::zero()) arguments.complain("needs a duration above 0");
  ActionResult result = final_verdict(Verdict::Kind::kHold, "");
  result.verdict.hold = duration.value_or(Duration::zero());
  return std::make_shared<Fixed>("hold", std::move(result), false);
}

/// Recipients in batches: the first goes now, each further one a while after the one before it. When is a note of the
/// recipient, "not-before", which deliver and relay obey.
class Split final : public Action {
 public:
  Split(std::uint32_t count, Duration pause) : count_(count), pause_(pause) {}
  std::string name() const override { return "split"; }
  Done run(RuleCall call) override {
    auto& notes = call.transaction.recipient_notes;
    notes.resize(std::max(notes.size(), call.recipients.size()));
    const std::size_t all = call.recipients.count();
    if (all > count_) {
      const WallTime now = call.effects.clock();
      std::size_t seen = 0;
      for (std::size_t i = 0; i < call.recipients.size(); ++i) {
        if (!call.recipients.contains(i)) continue;
        const auto batch = static_cast<std::int64_t>(seen++ / count_);
        if (batch == 0) continue;
        const auto due = std::chrono::ceil<std::chrono::seconds>(now + std::min(pause_ * batch, kLongest));
        notes[i].insert_or_assign("not-before", std::int64_t{due.time_since_epoch().count()});
      }
      call.effects.trail().fact(call.stage, "split",
                                fmt::format("{} recipients in {} batches", all, (all + count_ - 1) / count_));
    }
    return Done::ready(ActionResult{});
  }
  static constexpr Duration kLongest =
      std::chrono::hours(24);  ///< until the last batch: what fails in it has time left

 private:
  std::uint32_t count_;
  Duration pause_;
};

std::shared_ptr<Action> split(Arguments& arguments) {
  constexpr std::int64_t kMost = 65'536;
  const auto count = arguments.integer("count", 1, kMost);
  if (!count) arguments.complain("needs count");
  const auto pause = arguments.given("pause") ? arguments.duration("pause") : std::optional<Duration>(60s);
  if (pause && (*pause < 1s || *pause > Split::kLongest)) arguments.complain("pause must be from 1s to 1d");
  return std::make_shared<Split>(static_cast<std::uint32_t>(count.value_or(1)), pause.value_or(60s));
}

std::shared_ptr<Action> priority(Arguments& arguments) {
  const auto wanted = arguments.integer("priority", -9, 9);  // RFC 6710 §4.1
  if (!wanted) arguments.complain("needs priority");
  return doing("priority", [level = static_cast<std::int8_t>(wanted.value_or(0))](const RuleCall& call) {
    call.transaction.envelope.priority = level;
    call.effects.trail().fact(call.stage, "priority", std::to_string(level));
  });
}

}  // namespace

void declare_routes(RuleRegistry& rules) {
  declare_action(rules, "go", "Goes on in another pipeline.", "act.go \"local\"", "none",
                 {{"pipeline", "string", "its name", true, 0}}, go);
  declare_action(rules, "deliver", "Delivers to the recipients' mailboxes here.", "act.deliver { folder = \"Junk\" }",
                 "deliver.nobody: the recipient has no mailbox here",
                 {{"folder", "string", "mailbox; the recipient's note \"folder\", else INBOX, unless given", false, 0},
                  {"flags", "list of strings", "flags and keywords that the mail gets"}},
                 deliver);
  static const std::string kWords = fmt::format("{}", fmt::join(kTlsWords, ", "));
  declare_action(
      rules, "relay", "Sends on to the recipients' domains.", "act.relay { tls = \"dane\" }",
      "relay.denied: the gate did not let the recipient out",
      {{"gateway", "host, host:port or name of a [[delivery.route]]", "send there instead of to the domain's MX"},
       {"tls", "string", kWords},
       {"source", "IP address", "address to connect from"}},
      relay);
  declare_action(rules, "discard", "Ends the mail without delivering it; the trail keeps the reason.",
                 "act.discard \"honeypot\"", "none", {{"reason", "string", "for the trail", true, 0}},
                 [](Arguments& arguments) {
                   return std::make_shared<Fixed>(
                       "discard", final_verdict(Verdict::Kind::kDiscard, arguments.text("reason")), true);
                 });
  declare_action(rules, "quarantine", "Keeps the mail for an operator.", "act.quarantine \"looks like malware\"",
                 "none", {{"reason", "string", "for the trail and the operator", true, 0}}, [](Arguments& arguments) {
                   return std::make_shared<Fixed>(
                       "quarantine", final_verdict(Verdict::Kind::kQuarantine, arguments.text("reason")), true);
                 });
  declare_action(rules, "hold", "Delays what the following rules decide.", "act.hold \"10m\"", "none",
                 {{"duration", "duration", "seconds, or a text with a unit", true, 0}}, hold);
  declare_action(
      rules, "split", "Sends to many recipients in batches, the first now and each other one a while later; goes on.",
      "act.split { 100, pause = \"5m\" }", "none",
      {{"count", "integer", "recipients of a batch, of those that the rule runs for", true, 0},
       {"pause", "duration", "between two batches, from 1s to 1d; 1m unless given. The last one goes within a day"}},
      split);
  declare_action(
      rules, "priority",
      "Gives the mail a priority among those that wait for a connection, and with the next server (RFC 6710).",
      "act.priority(-3)", "none",
      {{"priority", "integer",
        "from -9, last, to 9, first. A mail has one: it is the whole mail's, for whichever recipients the "
        "rule runs",
        true, 0}},
      priority);
}

}  // namespace postern::mailets

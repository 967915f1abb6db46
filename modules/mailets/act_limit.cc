// rate_limit: so many mails, or recipients, of one sender, user or client in a window of time.
//
// Recipients are not among what it counts by: an action says one thing to all its recipients, and the limits of two
// recipients need not run out together.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include "postern/random.h"
#include "postern/text.h"
#include "rate_table.h"
#include "rules.h"

namespace postern::mailets {
namespace {

enum class Per : std::uint8_t { kSender, kUser, kClient, kAll };
constexpr std::pair<std::string_view, Per> kPers[] = {
    {"sender", Per::kSender}, {"user", Per::kUser}, {"client", Per::kClient}, {"all", Per::kAll}};

/// The tables by name, for all workers. A table lives as long as an epoch's rules use it, so it outlives a reload.
class Tables {
 public:
  std::shared_ptr<RateTable> get(const std::string& name, Duration window) {
    const std::lock_guard lock(mutex_);  // while scripts are loaded
    std::erase_if(tables_, [](const auto& one) { return one.second.expired(); });
    std::weak_ptr<RateTable>& known = tables_[name];
    auto table = known.lock();
    if (!table) known = table = std::make_shared<RateTable>(window, random_u64());
    return table;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<RateTable>> tables_;
};

/// A client's address; of an IPv6 one the network that a single customer has.
std::string client_key(const IpAddress& ip) {
  if (!ip.is_v6()) return ip.to_string();
  std::array<std::uint8_t, 16> octets{};
  std::copy_n(ip.octets(), 8, octets.begin());
  return IpAddress::v6(octets).to_string() + "/64";
}

/// Nothing: the mail has none of it and is not limited (a bounce has no sender, a stranger no account).
std::optional<std::string> key_of(Per per, const Transaction& mail) {
  switch (per) {
    case Per::kSender:
      if (mail.envelope.sender.is_null()) return std::nullopt;
      return to_lower(mail.envelope.sender.to_string());
    case Per::kUser:
      if (!mail.session.client.authenticated()) return std::nullopt;
      return mail.session.client.auth_user;
    case Per::kClient:
      return client_key(mail.session.client.ip);
    case Per::kAll:
      return "all";
  }
  return std::nullopt;
}

class RateLimit final : public Action {
 public:
  struct Terms {
    Per per = Per::kSender;
    std::uint32_t count = 0;
    bool recipients = false;  ///< counts them, not mails
    std::string excess;       ///< pipeline for what is too much; empty: a refusal for now
    std::string title;        ///< of the table: limits that share it have one
    std::shared_ptr<RateTable> table;
  };
  explicit RateLimit(Terms terms) : terms_(std::move(terms)) {}
  std::string name() const override { return "rate_limit"; }
  std::string goes_to() const override { return terms_.excess; }

  Done run(RuleCall call) override {
    ActionResult result;
    const auto key = key_of(terms_.per, call.transaction);
    if (!key) return Done::ready(std::move(result));
    const auto n = static_cast<std::uint32_t>(terms_.recipients ? call.recipients.count() : 1);
    const RateTable::Answer answer = ask(call, *key, n);
    if (answer.allowed) return Done::ready(std::move(result));
    if (terms_.excess.empty()) {
      result.kind = ActionResult::Kind::kFinal;
      result.verdict = Verdict::defer(451, "4.7.1", "too much mail in a short time, try again later");
    } else {
      result.kind = ActionResult::Kind::kGo;
      result.pipeline = terms_.excess;
    }
    return Done::ready(std::move(result));
  }

 private:
  /// The rate of the key, counted now or, in a replay, as the trail has it; a changed limit is then held against that.
  /// Without an answer there (the trail's reader has noted it) the mail passes.
  RateTable::Answer ask(const RuleCall& call, const std::string& key, std::uint32_t n) const {
    const WallTime now = call.effects.clock();
    const std::string question = key + " " + terms_.title;
    const auto recorded = call.effects.recorded("rate_limit", question);
    if (recorded && recorded->empty()) return {};
    const RateTable::Answer answer = recorded ? replayed(*recorded, n) : terms_.table->take(key, n, terms_.count, now);
    call.effects.trail().effect(call.stage, "rate_limit", question,
                                fmt::format("{} of {}{}", answer.rate, terms_.count, answer.allowed ? "" : kPassed), 0);
    return answer;
  }
  RateTable::Answer replayed(std::string_view text, std::uint32_t n) const {
    const std::uint32_t rate = to_number<std::uint32_t>(text.substr(0, text.find(' '))).value_or(0);
    // What was allowed is counted in the rate, what was not is not.
    const std::uint32_t before = text.ends_with(kPassed) || rate < n ? rate : rate - n;
    if (before + n > terms_.count) return {false, before};
    return {true, before + n};
  }

  static constexpr std::string_view kPassed = ", passed";
  Terms terms_;
};

std::shared_ptr<Action> rate_limit(Arguments& arguments, Tables& tables) {
  RateLimit::Terms terms;
  const std::string per = arguments.text("per");
  const auto known = std::ranges::find(kPers, per, &std::pair<std::string_view, Per>::first);
  if (known == std::end(kPers))
    arguments.complain("per must be sender, user, client or all");
  else
    terms.per = known->second;
  const auto count = arguments.integer("count", 1, RateTable::kMaxCount);
  if (!count) arguments.complain("needs count");
  terms.count = static_cast<std::uint32_t>(count.value_or(1));
  const auto window = arguments.duration("window");
  if (!window || *window < RateTable::kMinWindow || *window > RateTable::kMaxWindow)
    arguments.complain("needs a window from 1s to 31d");
  const std::string of = arguments.text("of", "mails");
  if (of != "mails" && of != "recipients") arguments.complain("of must be mails or recipients");
  terms.recipients = of == "recipients";
  terms.excess = arguments.text("excess", "");
  const Duration length = window.value_or(RateTable::kMinWindow);
  const std::string name = arguments.text("name", "");
  terms.title = fmt::format("{}/{}/{}/{}", per, of, length.count(), name);
  terms.table = tables.get(terms.title, length);
  return std::make_shared<RateLimit>(std::move(terms));
}

}  // namespace

void declare_limit_actions(RuleRegistry& rules) {
  declare_action(
      rules, "rate_limit", "Lets so many pass in a window of time; more are deferred, or go to another pipeline.",
      "act.rate_limit { per = \"user\", count = 200, window = \"1h\", of = \"recipients\" }",
      "none; past the limit the mail is deferred with 451 4.7.1, unless `excess` is given",
      {{"per", "string", "whose rate: sender, user (logged in), client (address, IPv6 by /64) or all", true},
       {"count", "integer", "the most that pass in a window, up to 1,000,000", true},
       {"window", "duration", "from 1s to 31d; seconds, or a text with a unit", true},
       {"of", "string",
        "what is counted: mails or recipients (a mail of more than `count` never passes); mails unless given"},
       {"excess", "string", "the pipeline where more than that go"},
       {"name", "string", "keeps limits of the same per, of and window apart; rules with one name share it"}},
      [tables = std::make_shared<Tables>()](Arguments& arguments) { return rate_limit(arguments, *tables); });
}

}  // namespace postern::mailets

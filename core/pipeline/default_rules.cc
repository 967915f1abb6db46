#include "core/pipeline/default_rules.h"

#include <utility>

namespace postern {
namespace {

using Selected = Task<Result<RecipientSet>>;

template <class Predicate>
RecipientSet where(const RuleCall& call, Predicate predicate) {
  RecipientSet out = RecipientSet::none(call.recipients.size());
  for (std::size_t i = 0; i < call.recipients.size(); ++i)
    if (call.recipients.contains(i) && predicate(i)) out.insert(i);
  return out;
}

class TooManyReceived final : public Matcher {
 public:
  Selected match(RuleCall call) override {
    const bool loops = call.transaction.received_count >= kDefaultReceivedLimit;
    return Selected::ready(loops ? call.recipients : RecipientSet::none(call.recipients.size()));
  }
  std::string name() const override { return "relay_limit"; }
};

class HasAccount final : public Matcher {
 public:
  Selected match(RuleCall call) override {
    // Postmaster without a mailbox is ours as well; `deliver` then keeps the mail for the operator.
    return Selected::ready(where(call, [&](std::size_t i) {
      const Transaction& mail = call.transaction;
      return mail.lookups[i].kind == AddressLookup::Kind::kAccount ||
             (mail.lookups[i].kind == AddressLookup::Kind::kNoSuchUser &&
              mail.envelope.recipients[i].address.is_postmaster());
    }));
  }
  std::string name() const override { return "recipient_is_local"; }
};

class GateAllowsRelay final : public Matcher {
 public:
  Selected match(RuleCall call) override {
    return Selected::ready(
        where(call, [&](std::size_t i) { return i < call.transaction.relay.size() && call.transaction.relay[i]; }));
  }
  std::string name() const override { return "relay_allowed"; }
};

class Step final : public Action {
 public:
  Step(std::string name, PlanStep::Kind kind, std::string folder) : name_(std::move(name)) {
    result_.kind = ActionResult::Kind::kFinal;
    result_.step.kind = kind;
    result_.step.folder = std::move(folder);
  }
  Task<Result<ActionResult>> run(RuleCall) override { return Task<Result<ActionResult>>::ready(result_); }
  bool is_final() const override { return true; }
  std::string name() const override { return name_; }

 private:
  std::string name_;
  ActionResult result_;
};

class Refuse final : public Action {
 public:
  explicit Refuse(Verdict verdict) {
    result_.kind = ActionResult::Kind::kFinal;
    result_.verdict = std::move(verdict);
  }
  Task<Result<ActionResult>> run(RuleCall) override { return Task<Result<ActionResult>>::ready(result_); }
  bool is_final() const override { return true; }
  std::string name() const override { return "bounce"; }

 private:
  ActionResult result_;
};

Rule rule(std::string name, std::shared_ptr<Matcher> when, std::shared_ptr<Action> action) {
  Rule out;
  out.name = std::move(name);
  out.when = std::move(when);
  out.actions.push_back(std::move(action));
  return out;
}

}  // namespace

std::shared_ptr<RuleSet> make_default_rules() {
  auto set = std::make_shared<RuleSet>();
  PipelineRules& root = set->pipelines["root"];
  root.name = "root";
  root.rules.push_back(
      rule("root#1", std::make_shared<TooManyReceived>(),
           std::make_shared<Refuse>(Verdict::reject(554, "5.4.6", "mail loop: too many Received fields"))));
  root.rules.push_back(rule("root#2", std::make_shared<HasAccount>(),
                            std::make_shared<Step>("deliver", PlanStep::Kind::kDeliver, "INBOX")));
  root.rules.push_back(
      rule("root#3", std::make_shared<GateAllowsRelay>(), std::make_shared<Step>("relay", PlanStep::Kind::kRelay, "")));
  root.rules.push_back(
      rule("root#4", nullptr, std::make_shared<Refuse>(Verdict::reject(550, "5.7.1", "relaying denied"))));
  return set;
}

}  // namespace postern

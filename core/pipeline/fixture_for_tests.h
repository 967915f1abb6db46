// A policy with fakes around it, and dialogues with it as a session has them. For the tests of this area.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/pipeline/policy.h"
#include "postern/dns_fake.h"
#include "postern/nursery.h"
#include "postern/sim.h"

namespace postern {

inline Address address(std::string_view text) {
  Address::Options options;
  options.allow_postmaster = true;
  auto parsed = text.empty() ? Parsed<Address>(Address()) : Address::parse(text, options);
  REQUIRE(parsed);
  return *parsed;
}

/// Accounts, aliases and domains of a test.
class FakeDirectory : public Directory {
 public:
  std::map<std::string, DomainKind> domains{{"ours.example", DomainKind::kLocal},
                                            {"relayed.example", DomainKind::kRelay}};
  std::map<std::string, std::string> accounts{{"bob@ours.example", "bob"}, {"eve@ours.example", "eve"}};
  std::map<std::string, std::vector<std::string>> aliases;
  std::string wild;       ///< an alias that is wild
  std::string temporary;  ///< an address about which there is no answer

  DomainKind domain_kind(std::string_view domain) const override {
    const auto found = domains.find(std::string(domain));
    return found == domains.end() ? DomainKind::kForeign : found->second;
  }
  std::string default_domain() const override { return "ours.example"; }
  DirectoryFacts facts() const override { return {}; }
  Task<AddressLookup> find(Address asked) override {
    AddressLookup out;
    const std::string text = asked.to_string();
    if (text == temporary) {
      out.kind = AddressLookup::Kind::kTemporary;
    } else if (const auto account = accounts.find(text); account != accounts.end()) {
      out.kind = AddressLookup::Kind::kAccount;
      out.account = account->second;
    } else if (const auto alias = aliases.find(text); alias != aliases.end()) {
      out.kind = AddressLookup::Kind::kAlias;
      out.wild = text == wild;
      for (const std::string& target : alias->second) out.targets.push_back(address(target));
    } else if (domain_kind(asked.domain().ascii()) == DomainKind::kLocal) {
      out.kind = AddressLookup::Kind::kNoSuchUser;
    }
    return Task<AddressLookup>::ready(std::move(out));
  }
};

class FakeQueue final : public Queue {
 public:
  std::vector<QueuedMessage> messages;
  void accepted(QueuedMessage message) override { messages.push_back(std::move(message)); }
};

/// A matcher from a function.
class FnMatcher final : public Matcher {
 public:
  using Fn = std::function<Result<RecipientSet>(const RuleCall&)>;
  explicit FnMatcher(Fn fn, std::string name = {}) : fn_(std::move(fn)), name_(std::move(name)) {}
  Task<Result<RecipientSet>> match(RuleCall call) override { return Task<Result<RecipientSet>>::ready(fn_(call)); }
  std::string name() const override { return name_; }

 private:
  Fn fn_;
  std::string name_;
};
class FnAction final : public Action {
 public:
  using Fn = std::function<Result<ActionResult>(const RuleCall&)>;
  FnAction(Fn fn, bool final, std::string target = {}, std::string name = {})
      : fn_(std::move(fn)), final_(final), target_(std::move(target)), name_(std::move(name)) {}
  Task<Result<ActionResult>> run(RuleCall call) override { return Task<Result<ActionResult>>::ready(fn_(call)); }
  bool is_final() const override { return final_; }
  std::string goes_to() const override { return target_; }
  std::string name() const override { return name_; }

 private:
  Fn fn_;
  bool final_;
  std::string target_, name_;
};
class FnHook final : public HookHandler {
 public:
  using Fn = std::function<Result<Verdict>(const HookCall&)>;
  explicit FnHook(Fn fn) : fn_(std::move(fn)) {}
  Task<Result<Verdict>> handle(HookCall call) override { return Task<Result<Verdict>>::ready(fn_(call)); }

 private:
  Fn fn_;
};

inline std::shared_ptr<Matcher> only(std::vector<std::size_t> numbers, std::string name = {}) {
  return std::make_shared<FnMatcher>(
      [numbers](const RuleCall& call) {
        RecipientSet out = RecipientSet::none(call.recipients.size());
        for (const std::size_t number : numbers) out.insert(number);
        return Result<RecipientSet>(out);
      },
      std::move(name));
}
inline std::shared_ptr<Action> deliver_to(std::string folder) {
  return std::make_shared<FnAction>(
      [folder](const RuleCall&) {
        ActionResult result;
        result.kind = ActionResult::Kind::kFinal;
        result.step.folder = folder;
        return Result<ActionResult>(result);
      },
      true, "", "deliver");
}
inline std::shared_ptr<Action> go_to(std::string pipeline) {
  return std::make_shared<FnAction>(
      [pipeline](const RuleCall&) {
        ActionResult result;
        result.kind = ActionResult::Kind::kGo;
        result.pipeline = pipeline;
        return Result<ActionResult>(result);
      },
      true, pipeline, "go");
}
inline std::shared_ptr<Action> say(Verdict verdict) {
  return std::make_shared<FnAction>(
      [verdict](const RuleCall&) {
        ActionResult result;
        result.kind = ActionResult::Kind::kFinal;
        result.verdict = verdict;
        return Result<ActionResult>(result);
      },
      verdict.kind != Verdict::Kind::kHold, "", "bounce");
}
inline std::shared_ptr<Action> set_field(std::string name, std::string value) {
  return std::make_shared<FnAction>(
      [name, value](const RuleCall& call) {
        call.transaction.edits.append(name, value);
        return Result<ActionResult>(ActionResult{});
      },
      false);
}
inline Rule make_rule(std::string name, std::shared_ptr<Matcher> when, std::vector<std::shared_ptr<Action>> actions) {
  Rule out;
  out.name = std::move(name);
  out.when = std::move(when);
  out.actions = std::move(actions);
  return out;
}

/// One worker in a simulated world with a policy on it.
struct PolicyWorld {
  SimRuntime sim;
  Metrics metrics{1};
  FakeDirectory directory;
  FakeQueue queue;
  FakeResolver dns{sim.worker(0)};
  CaptureLog log;
  FaultEnv disk;
  std::unique_ptr<TrailLog> trails;
  std::unique_ptr<Spool> spool = make_memory_spool();
  std::unique_ptr<PipelinePolicy> policy;
  GateConfig gate;
  PipelineSettings settings;
  std::shared_ptr<RuleSet> rules;  ///< nothing: the built-in ones

  PolicyWorld() {
    trails = std::make_unique<TrailLog>(TrailSettings{}, "/trail", disk, sim.make_lane("trail"), 1, metrics);
    policy = std::make_unique<PipelinePolicy>(
        PipelinePolicy::Options{.workers = 1, .metrics = metrics, .trails = trails.get()});
    policy->attach(directory, &queue);
    policy->start(sim.worker(0), dns, log.log());
  }
  ~PolicyWorld() {
    trails.reset();
    policy.reset();
    spool.reset();
  }
  void install() {
    PreparedRules prepared;
    prepared.gate = std::make_shared<const GateConfig>(gate);
    if (!rules) {
      auto registry = make_rule_registry();
      Diagnostics diagnostics;
      auto made = prepare_rules(settings, gate, *registry, nullptr, metrics, 1, diagnostics);
      REQUIRE_MESSAGE(made, diagnostics.render());
      return policy->install(sim.worker(0), *made);
    }
    prepared.workers.push_back(compile_rules(rules, prepared.gate, settings, metrics));
    policy->install(sim.worker(0), prepared);
  }
  template <class T>
  T run(Task<T> task) {
    std::optional<T> out;
    Nursery nursery(sim.worker(0));
    nursery.spawn(detail::store(std::move(task), &out));
    REQUIRE(sim.run_until([&] { return nursery.size() == 0; }, std::chrono::hours(1)));
    REQUIRE(out);
    return std::move(*out);
  }
};

/// A session as a protocol would lead it.
struct Talk {
  PolicyWorld& world;
  SessionState session{"s1"};
  std::optional<Transaction> mail;
  std::optional<Draft> draft;

  explicit Talk(PolicyWorld& its, std::string_view ip = "203.0.113.9", SessionRole role = SessionRole::kMx)
      : world(its) {
    session.client.ip = *IpAddress::parse(ip);
    session.client.role = role;
    session.client.ehlo = "client.example";
    session.client.esmtp = true;
  }
  Verdict connect() { return world.run(world.policy->connect(session)); }
  Verdict from(std::string_view sender) {
    mail.emplace(session);
    mail->envelope.sender = address(sender);
    return world.run(world.policy->mail(*mail));
  }
  Verdict to(std::string_view recipient) {
    return world.run(world.policy->rcpt(*mail, {address(recipient), "", kNotifyUnset}));
  }
  static Task<Verdict> fill(Draft* draft, std::string text) {
    auto taken = co_await draft->append(text);
    REQUIRE(taken);
    co_return Verdict{};
  }
  Decision send(std::string text = "Subject: hi\r\n\r\nhello\r\n") {
    draft.emplace(world.spool->begin(world.sim.worker(0)));
    world.run(fill(&*draft, std::move(text)));
    mail->draft = &*draft;
    mail->size = draft->size();
    return world.run(world.policy->message(*mail));
  }
  Result<MessageId> commit(const Decision& decision) {
    return world.run(world.policy->commit(*mail, std::move(*draft), decision));
  }
};

}  // namespace postern

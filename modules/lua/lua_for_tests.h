// Scripts in a small simulated world, for the tests of this module: a registry with a few rules, effects over a fake
// DNS, and one transaction. Paths are files in a folder of its own.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine.h"
#include "postern/dns_fake.h"
#include "postern/nursery.h"
#include "postern/sim.h"

namespace postern::lua {

class TestMatcher final : public Matcher {
 public:
  using Fn = std::function<Task<Result<RecipientSet>>(RuleCall)>;
  TestMatcher(std::string name, Fn fn) : name_(std::move(name)), fn_(std::move(fn)) {}
  Task<Result<RecipientSet>> match(RuleCall call) override { return fn_(call); }
  std::string name() const override { return name_; }

 private:
  std::string name_;
  Fn fn_;
};

class TestAction final : public Action {
 public:
  explicit TestAction(std::string name, ActionResult result) : name_(std::move(name)), result_(std::move(result)) {}
  Task<Result<ActionResult>> run(RuleCall) override { return Task<Result<ActionResult>>::ready(result_); }
  std::string name() const override { return name_; }
  bool is_final() const override { return result_.kind != ActionResult::Kind::kNext; }
  std::string goes_to() const override { return result_.pipeline; }

 private:
  std::string name_;
  ActionResult result_;
};

inline std::vector<std::shared_ptr<Matcher>> parts_of(const ScriptValue& value) {
  std::vector<std::shared_ptr<Matcher>> parts;
  const auto* list = std::get_if<ScriptValue::List>(&value.value);
  if (list && list->size() == 1 && std::holds_alternative<ScriptValue::List>(list->front().value))
    list = std::get_if<ScriptValue::List>(&list->front().value);
  if (list)
    for (const ScriptValue& one : *list)
      if (const auto* matcher = std::get_if<std::shared_ptr<Matcher>>(&one.value)) parts.push_back(*matcher);
  return parts;
}

inline Task<Result<RecipientSet>> run_parts(std::string how, std::vector<std::shared_ptr<Matcher>> parts,
                                            RuleCall call) {
  RecipientSet all = call.recipients, any = RecipientSet::none(call.recipients.size());
  for (const auto& part : parts) {
    auto one = co_await part->match(call);
    if (!one) co_return one;
    all = all & *one;
    any = any | *one;
  }
  if (how == "all_of") co_return all;
  co_return how == "any_of" ? any : call.recipients - any;
}

/// What a value looks like, for tests of conversion: `[1, "a", {k=true}]`.
inline std::string spell(const ScriptValue& value) {
  struct Spell {
    std::string operator()(std::monostate) const { return "nothing"; }
    std::string operator()(bool yes) const { return yes ? "true" : "false"; }
    std::string operator()(std::int64_t n) const { return std::to_string(n); }
    std::string operator()(double n) const { return "float " + std::to_string(n); }
    std::string operator()(const std::string& text) const { return '"' + text + '"'; }
    std::string operator()(const std::shared_ptr<Matcher>& matcher) const { return "matcher " + matcher->name(); }
    std::string operator()(const ScriptValue::List& list) const {
      std::string out;
      for (const ScriptValue& one : list) out += (out.empty() ? "" : ", ") + spell(one);
      return "[" + out + "]";
    }
    std::string operator()(const ScriptValue::Map& map) const {
      std::string out;
      for (const auto& [key, one] : map) out += (out.empty() ? "" : ", ") + key + "=" + spell(one);
      return "{" + out + "}";
    }
  };
  return std::visit(Spell{}, value.value);
}

class TestEffects final : public Effects {
 public:
  TestEffects(Executor& executor, Resolver& resolver) : executor_(executor), resolver_(resolver) {}
  Task<DnsAnswer> dns(std::string name, RecordType type) override {
    return resolver_.query(std::move(name), type, Deadline::after(limit));
  }
  WallTime clock() override { return executor_.wall(); }
  double random() override { return 0.5; }
  void log(std::string_view level, std::string_view text) override {
    logged += std::string(level) + ": " + std::string(text) + "\n";
  }
  void count(std::string_view counter, std::int64_t by) override { counted[std::string(counter)] += by; }
  Trail& trail() override { return trail_; }
  Directory& directory() override { std::abort(); }
  Executor& executor() override { return executor_; }
  Duration time_limit() const override { return limit; }

  std::string logged;
  std::map<std::string, std::int64_t> counted;
  Duration limit = std::chrono::seconds(30);

 private:
  Executor& executor_;
  Resolver& resolver_;
  Trail trail_;
};

struct World {
  SimRuntime sim;
  FakeResolver dns{sim.worker(0)};
  TestEffects effects{sim.worker(0), dns};
  std::unique_ptr<RuleRegistry> registry = make_rule_registry();
  std::vector<std::string> made;  ///< "deliver {folder="Junk"}": what rules were made with
  Limits limits;
  std::filesystem::path folder;
  std::shared_ptr<RuleSet> rules;
  std::string problems;
  SessionState session{"s1"};
  std::unique_ptr<Spool> spool = make_memory_spool();
  std::optional<Draft> draft;
  Transaction mail{session};

  World() {
    char name[] = "/tmp/postern-lua-XXXXXX";
    folder = mkdtemp(name);
    declare();
    session.client.ip = *IpAddress::parse("203.0.113.9");
    session.client.ehlo = "client.example";
    session.client.listener = "mx";
    mail.envelope.sender = *Address::parse("alice@elsewhere.example");
    for (const char* who : {"bob@ours.example", "eve+archive@ours.example", "carl@other.example"})
      mail.envelope.recipients.push_back({*Address::parse(who), "", 0});
  }
  ~World() {
    rules.reset();
    draft.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder, ignored);
  }

  std::string write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories((folder / name).parent_path());
    std::ofstream(folder / name, std::ios::binary) << text;
    return (folder / name).string();
  }

  /// Loads one script; `problems` has what is wrong with it.
  bool load(const std::string& text) { return load_files({write("test.lua", text)}); }
  bool load_files(const std::vector<std::string>& files) {
    LuaEngine engine(limits, {folder});
    Diagnostics diagnostics;
    rules = engine.load(files, *registry, diagnostics);
    problems = diagnostics.render();
    return rules != nullptr;
  }
  /// Loads a script with one hook, whose body this is.
  bool hook(const std::string& body) {
    return load(
        "local postern = require 'postern'\nlocal dns = postern.dns\npostern.on('rcpt', function(session, rcpt, "
        "mail)\n" +
        body + "\nend)\n");
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

  HookCall call_at(Stage stage) {
    const bool early =
        stage == Stage::kConnect || stage == Stage::kEhlo || stage == Stage::kStarttls || stage == Stage::kAuth;
    return {stage, session, early ? nullptr : &mail, stage == Stage::kRcpt ? &mail.envelope.recipients[1] : nullptr,
            effects};
  }
  Result<Verdict> call(std::size_t number = 0) {
    REQUIRE_MESSAGE(rules, problems);
    return run(rules->hooks.at(number).handler->handle(call_at(rules->hooks[number].stage)));
  }
  /// The text of a verdict's reply, or "fault: ..." or "nothing".
  std::string said(std::size_t number = 0) {
    const Result<Verdict> verdict = call(number);
    if (!verdict) return verdict.error().code + ": " + verdict.error().detail;
    return verdict->decided() ? verdict->reply.text : "nothing";
  }
  /// Runs a body that returns a value, and gives it as text.
  std::string eval(const std::string& body) {
    if (!hook("local function body()\n" + body +
              "\nend\nreturn postern.reject(550, '5.0.0', 'is ' .. tostring(body()))"))
      return problems;
    return said();
  }

  const Rule& rule(std::size_t number, const std::string& pipeline = "root") {
    REQUIRE_MESSAGE(rules, problems);
    return rules->pipelines.at(pipeline).rules.at(number);
  }
  Result<RecipientSet> match(std::size_t number) {
    const RecipientSet all = RecipientSet::all(mail.envelope.recipients.size());
    return run(rule(number).when->match({mail, all, effects, Stage::kMessage}));
  }
  Result<ActionResult> act(std::size_t number) {
    const RecipientSet all = RecipientSet::all(mail.envelope.recipients.size());
    return run(rule(number).actions.at(0)->run({mail, all, effects, Stage::kMessage}));
  }

  void with_message(const std::string& text) {
    draft.emplace(spool->begin(sim.worker(0)));
    run(fill(&*draft, text));
    mail.draft = &*draft;
    mail.size = draft->size();
  }

 private:
  static Task<bool> fill(Draft* draft, std::string text) {
    auto taken = co_await draft->append(text);
    co_return taken.has_value();
  }

  void matcher(std::string_view name, std::function<Task<Result<RecipientSet>>(RuleCall, const ScriptValue&)> fn) {
    registry->add(MatcherDeclaration{
        name, "", "", "", {}, [this, name, fn](const ScriptValue& value) -> Result<std::shared_ptr<Matcher>> {
          made.push_back(std::string(name) + " " + spell(value));
          return std::make_shared<TestMatcher>(std::string(name),
                                               [fn, value](RuleCall call) { return fn(call, value); });
        }});
  }
  void action(std::string_view name, std::string_view example, ActionResult::Kind kind) {
    registry->add(ActionDeclaration{
        name, "", example, "", {}, [this, name, kind](const ScriptValue& value) -> Result<std::shared_ptr<Action>> {
          made.push_back(std::string(name) + " " + spell(value));
          ActionResult result;
          result.kind = kind;
          if (const auto* text = std::get_if<std::string>(&value.value)) result.pipeline = *text;
          if (name == "deliver" && std::holds_alternative<std::int64_t>(value.value))
            return fault("x", "folder must be a string");
          return std::make_shared<TestAction>(std::string(name), result);
        }});
  }
  void declare() {
    using Done = Task<Result<RecipientSet>>;
    matcher("all", [](RuleCall call, const ScriptValue&) { return Done::ready(call.recipients); });
    matcher("recipient_is", [](RuleCall call, const ScriptValue& value) {
      RecipientSet out = RecipientSet::none(call.recipients.size());
      const auto* text = std::get_if<std::string>(&value.value);
      for (std::size_t i = 0; i < out.size(); ++i)
        if (text && call.recipients.contains(i) && call.transaction.envelope.recipients[i].address.to_string() == *text)
          out.insert(i);
      return Done::ready(out);
    });
    matcher("relay_limit",
            [](RuleCall call, const ScriptValue&) { return Done::ready(RecipientSet::none(call.recipients.size())); });
    for (const char* how : {"all_of", "any_of", "none_of"})
      matcher(how, [how](RuleCall call, const ScriptValue& value) { return run_parts(how, parts_of(value), call); });
    action("deliver", "act.deliver { folder = \"Junk\" }", ActionResult::Kind::kFinal);
    action("go", "", ActionResult::Kind::kGo);
    action("set_header", "", ActionResult::Kind::kNext);
    registry->add_future("spf", "SPF");
  }
};

}  // namespace postern::lua

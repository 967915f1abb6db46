// A mail in a simulated world, and rules made from arguments as a script would give them.
#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "postern/dns_fake.h"
#include "postern/http.h"
#include "postern/key_value.h"
#include "postern/nursery.h"
#include "postern/pipeline.h"
#include "postern/sim.h"
#include "rules.h"

namespace postern::mailets {

inline Address address(std::string_view text) {
  if (text.empty()) return Address();
  Address::Options options;
  options.allow_postmaster = true;
  auto parsed = Address::parse(text, options);
  REQUIRE(parsed);
  return *parsed;
}

class TestDirectory final : public Directory {
 public:
  std::map<std::string, std::string> accounts{
      {"bob@ours.example", "bob"}, {"eve@ours.example", "eve"}, {"admin@ours.example", "admin"}};
  bool down = false;
  DomainKind domain_kind(std::string_view domain) const override {
    return domain == "ours.example"      ? DomainKind::kLocal
           : domain == "relayed.example" ? DomainKind::kRelay
                                         : DomainKind::kForeign;
  }
  std::string default_domain() const override { return "ours.example"; }
  DirectoryFacts facts() const override { return {}; }
  Task<AddressLookup> find(Address asked) override {
    AddressLookup out;
    const auto found = accounts.find(asked.to_string());
    if (down)
      out.kind = AddressLookup::Kind::kTemporary;
    else if (found != accounts.end())
      out.kind = AddressLookup::Kind::kAccount, out.account = found->second;
    else if (domain_kind(asked.domain().ascii()) == DomainKind::kLocal)
      out.kind = AddressLookup::Kind::kNoSuchUser;
    return Task<AddressLookup>::ready(std::move(out));
  }
};

class TestEffects final : public Effects {
 public:
  TestEffects(Executor& executor, Directory& directory, Resolver& resolver, Trail& trail)
      : executor_(executor), directory_(directory), resolver_(resolver), trail_(trail) {}
  Task<DnsAnswer> dns(std::string name, RecordType type) override {
    return resolver_.query(std::move(name), type, Deadline::after(5s));
  }
  WallTime clock() override { return executor_.wall(); }
  double random() override { return 0.5; }
  void log(std::string_view level, std::string_view text) override { logged.append(level).append(":").append(text); }
  void count(std::string_view counter, std::int64_t by) override { counted[std::string(counter)] += by; }
  Trail& trail() override { return trail_; }
  Directory& directory() override { return directory_; }
  Executor& executor() override { return executor_; }
  Duration time_limit() const override { return 30s; }
  Result<Draft> begin_draft(std::uint64_t size_hint) override {
    if (!spool) return fault("effects.none", "no spool");
    return spool->begin(executor_, size_hint);
  }
  /// Counts and values in a map; expiries are written down, not kept.
  Task<Result<KeyValueReply>> kv(std::string, KeyValueRequest request) override {
    if (no_kv) return Task<Result<KeyValueReply>>::ready(fault("kv.timeout", "no answer"));
    keys.push_back(request);
    KeyValueReply reply;
    if (request.kind == KeyValueRequest::Kind::kIncrement) reply.number = counted[request.key] += request.by;
    if (request.kind == KeyValueRequest::Kind::kGet && counted.contains(request.key))
      reply.value = std::to_string(counted[request.key]);
    return Task<Result<KeyValueReply>>::ready(std::move(reply));
  }
  Task<Result<HttpResponse>> http(HttpRequest request) override {
    requests.push_back(std::move(request));
    if (http_status == 0) return Task<Result<HttpResponse>>::ready(fault("http.connect", "nobody there"));
    HttpResponse response;
    response.status = http_status;
    return Task<Result<HttpResponse>>::ready(std::move(response));
  }
  std::optional<std::string> recorded(std::string_view effect, std::string_view question) override {
    if (!answers) return std::nullopt;
    const auto known = answers->find(std::string(effect).append(" ").append(question));
    return known == answers->end() ? std::string() : known->second;
  }
  std::optional<std::map<std::string, std::string>> answers;  ///< of a replay, by effect and question
  Spool* spool = nullptr;
  bool no_kv = false;
  std::vector<KeyValueRequest> keys;
  std::vector<HttpRequest> requests;
  int http_status = 200;
  std::string logged;
  std::map<std::string, std::int64_t> counted;

 private:
  Executor& executor_;
  Directory& directory_;
  Resolver& resolver_;
  Trail& trail_;
};

/// Values as scripts write them.
inline ScriptValue value(std::string_view text) {
  return {std::string(text), {}};
}
inline ScriptValue value(const char* text) {
  return {std::string(text), {}};
}
inline ScriptValue value(int number) {
  return {std::int64_t{number}, {}};
}
inline ScriptValue value(bool yes) {
  return {yes, {}};
}
inline ScriptValue value(double number) {
  return {number, {}};
}
inline ScriptValue value(std::shared_ptr<Matcher> matcher) {
  return {std::move(matcher), {}};
}
template <class... T>
ScriptValue list(T... items) {
  return {ScriptValue::List{value(items)...}, {}};
}
inline ScriptValue table(std::vector<std::pair<std::string, ScriptValue>> entries) {
  ScriptValue::Map map;
  for (auto& [key, item] : entries) map.emplace(key, std::move(item));
  return {std::move(map), {}};
}

/// Three recipients: bob and eve here, x at a relay domain; from alice elsewhere.
struct Mail {
  SimRuntime sim;
  TestDirectory directory;
  FakeResolver dns{sim.worker(0)};
  std::unique_ptr<RuleRegistry> rules = make_rule_registry();
  std::unique_ptr<Spool> spool = make_memory_spool();
  SessionState session{"s1"};
  Transaction mail{session};
  TestEffects effects{sim.worker(0), directory, dns, mail.trail};
  std::optional<Draft> draft;

  explicit Mail(std::string header = "Subject: hello\r\n") {
    declare_all(*rules);
    effects.spool = spool.get();
    session.client.ip = *IpAddress::parse("192.0.2.1");
    mail.envelope.sender = address("Alice@elsewhere.example");
    for (const char* to : {"bob@ours.example", "eve@ours.example", "x@relayed.example"}) add(to);
    mail.relay[2] = true;
    text(std::move(header));
  }
  void add(std::string_view to) {
    mail.envelope.recipients.push_back({address(to), "", kNotifyUnset});
    mail.lookups.push_back(run(directory.find(address(to))));
    mail.relay.push_back(false);
  }
  static Task<bool> fill(Draft* draft, std::string text) { co_return (co_await draft->append(text)).has_value(); }
  void text(std::string header) {
    draft.emplace(spool->begin(sim.worker(0)));
    REQUIRE(run(fill(&*draft, header + "\r\nbody\r\n")));
    mail.draft = &*draft;
    mail.size = draft->size();
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
  std::shared_ptr<Matcher> matcher(std::string_view name, const ScriptValue& arguments = {}) {
    const MatcherDeclaration* declared = rules->matcher(name);
    REQUIRE_MESSAGE(declared, std::string(name));
    auto made = declared->make(arguments);
    const std::string wrong = made ? std::string() : std::string(name) + ": " + made.error().detail;
    REQUIRE_MESSAGE(made, wrong);
    return *made;
  }
  /// Which recipients a matcher selects, as "0-1"; "fault: code" when it fails.
  std::string select(const std::shared_ptr<Matcher>& matcher, std::optional<RecipientSet> from = {}) {
    const RecipientSet given = from.value_or(RecipientSet::all(mail.envelope.recipients.size()));
    auto out = run(matcher->match({mail, given, effects, Stage::kMessage}));
    return out ? out->to_string() : "fault: " + out.error().code;
  }
  std::string select(std::string_view name, const ScriptValue& arguments = {}) {
    return select(matcher(name, arguments));
  }
  Result<ActionResult> act(std::string_view name, const ScriptValue& arguments = {},
                           std::optional<RecipientSet> on = {}) {
    const ActionDeclaration* declared = rules->action(name);
    REQUIRE_MESSAGE(declared, std::string(name));
    auto made = declared->make(arguments);
    const std::string wrong = made ? std::string() : std::string(name) + ": " + made.error().detail;
    REQUIRE_MESSAGE(made, wrong);
    const RecipientSet given = on.value_or(RecipientSet::all(mail.envelope.recipients.size()));
    return run((*made)->run({mail, given, effects, Stage::kMessage}));
  }
  static Task<std::string> body_of(Draft* draft) {
    std::string out;
    while (out.size() < draft->body_size()) {
      auto piece = co_await draft->read_body(out.size(), 1 << 20);
      REQUIRE(piece);
      REQUIRE_FALSE(piece->empty());
      out += *piece;
    }
    co_return out;
  }
  /// A whole message: trace fields, header and body.
  std::string whole(Draft& of) { return std::string(of.prefix()) + std::string(of.header()) + run(body_of(&of)); }
  std::string whole(std::size_t brought = 0) { return whole(mail.brought.at(brought).draft); }
  /// A message with this text, as a client would send it.
  void message(std::string text) {
    draft.emplace(spool->begin(sim.worker(0)));
    REQUIRE(run(fill(&*draft, std::move(text))));
    mail.draft = &*draft;
    mail.size = draft->size();
  }
  /// What the facts of the trail say, a line each.
  std::string facts() {
    std::string out;
    if (mail.trail.empty()) return out;
    for (const TrailEntry& entry : *Trail::decode(mail.trail.bytes())) out += entry.name + ": " + entry.answer + "\n";
    return out;
  }
  /// What is wrong with the arguments; empty when nothing is.
  std::string complaint(std::string_view name, const ScriptValue& arguments = {}) {
    if (const auto* declared = rules->matcher(name)) {
      auto made = declared->make(arguments);
      return made ? "" : made.error().detail;
    }
    auto made = rules->action(name)->make(arguments);
    return made ? "" : made.error().detail;
  }
  std::string header_after() { return mail.edits.apply(HeaderBlock(mail.headers())).join(); }
};

inline RecipientSet only(std::size_t number, std::size_t size = 3) {
  RecipientSet out = RecipientSet::none(size);
  out.insert(number);
  return out;
}

}  // namespace postern::mailets

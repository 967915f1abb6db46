#include "core/pipeline/effects.h"

#include "core/pipeline/fixture_for_tests.h"
#include "core/pipeline/recorded_answers.h"
#include "postern/database.h"
#include "postern/key_value.h"
#include "postern/services.h"

namespace postern {
namespace {

class FakeHttp final : public HttpClient {
 public:
  std::vector<HttpRequest> asked;
  Task<Result<HttpResponse>> fetch(HttpRequest request) override {
    asked.push_back(request);
    if (request.url.ends_with("down")) return Task<Result<HttpResponse>>::ready(fault("http.timeout", "late"));
    HttpResponse response;
    response.status = 200;
    response.headers = {{"Set-Cookie", "session=very-private"}, {"X-Score", "7"}};
    response.body = "body " + std::to_string(asked.size());
    response.url = request.url;
    return Task<Result<HttpResponse>>::ready(std::move(response));
  }
};

class FakeDatabase final : public Database {
 public:
  int asked = 0;
  Task<Result<SqlRows>> query(std::string, std::vector<SqlArgument> arguments, Deadline) override {
    ++asked;
    SqlRows rows;
    rows.columns = {"n", "given"};
    rows.rows = {{std::int64_t{asked}, arguments.empty() ? SqlValue() : SqlValue("kept")}};
    return Task<Result<SqlRows>>::ready(std::move(rows));
  }
};

class FakeStore final : public KeyValueStore {
 public:
  std::int64_t number = 0;
  Task<Result<KeyValueReply>> ask(KeyValueRequest request, Deadline) override {
    KeyValueReply reply;
    if (request.kind == KeyValueRequest::Kind::kIncrement) reply.number = number += request.by;
    if (request.kind == KeyValueRequest::Kind::kGet) reply.value = "the value";
    return Task<Result<KeyValueReply>>::ready(std::move(reply));
  }
};

/// A hook that asks everything there is, and says what it heard in its verdict.
class Curious final : public HookHandler {
 public:
  Task<Result<Verdict>> handle(HookCall call) override { return ask(call); }

 private:
  static Task<Result<Verdict>> ask(HookCall call) {
    Effects& world = call.effects;
    std::string heard;
    const DnsAnswer mx = co_await world.dns("Example.org", RecordType::kMx);
    heard += std::string(to_string(mx.status)) + mx.canonical_name + (mx.authenticated ? "ad" : "");
    for (const MxRecord& one : mx.all<MxRecord>()) heard += one.exchange;
    heard += to_string((co_await world.dns("none.example", RecordType::kTxt)).status);
    for (int i = 0; i < 2; ++i) {
      HttpRequest post{.method = "POST", .url = "http://h.example/", .body = "b"};
      post.headers.push_back({"Authorization", "Bearer hush"});
      const auto page = co_await world.http(std::move(post));
      heard += page ? page->body + std::string(page->header("x-score")) + std::string(page->header("set-cookie"))
                    : page.error().code;
    }
    HttpRequest down;
    down.url = "http://h.example/down";
    heard += (co_await world.http(std::move(down))).error().code;
    std::vector<SqlArgument> arguments{{std::string("hidden"), true}, {std::int64_t{5}}};
    const auto rows = co_await world.sql("users", "SELECT ?, ?", std::move(arguments));
    heard += rows ? std::to_string(std::get<std::int64_t>(rows->rows.at(0).at(0))) : rows.error().code;
    heard += (co_await world.sql("nowhere", "SELECT 1", {})).error().code;
    for (int i = 0; i < 2; ++i) {
      KeyValueRequest more{.kind = KeyValueRequest::Kind::kIncrement, .key = "mails"};
      const auto reply = co_await world.kv("", std::move(more));
      heard += reply ? std::to_string(reply->number) : reply.error().code;
    }
    KeyValueRequest set{.kind = KeyValueRequest::Kind::kSet, .key = "k", .value = "hushhush", .secret = true};
    heard += (co_await world.kv("memory", std::move(set))) ? "set" : "not set";
    KeyValueRequest get{.kind = KeyValueRequest::Kind::kGet, .key = "k"};
    heard += (co_await world.kv("other", std::move(get))).error().code;
    heard += std::to_string(world.clock().time_since_epoch().count()) + std::to_string(world.random());
    const AddressLookup bob = co_await world.directory().find(address("bob@ours.example"));
    heard += bob.account + std::to_string(static_cast<int>(world.directory().domain_kind("relayed.example")));
    if (auto stated = world.recorded("at_most", "probe")) heard += "from the trail: " + *stated;
    co_return Verdict::reject(550, "5.7.1", heard);
  }
};

struct AskingWorld : PolicyWorld {
  Services services;
  FakeHttp http;
  FakeDatabase database;
  FakeStore store;

  AskingWorld() {
    services.provide<Database>(database, "users");
    services.provide<KeyValueStore>(store, "memory");
    policy = std::make_unique<PipelinePolicy>(
        PipelinePolicy::Options{.workers = 1, .metrics = metrics, .trails = trails.get(), .services = &services});
    policy->attach(directory, &queue);
    policy->start(sim.worker(0), dns, log.log(), &http);
  }
  void hook(std::shared_ptr<HookHandler> handler, Stage stage = Stage::kRcpt) {
    rules = make_default_rules_for_test();
    rules->hooks.push_back({stage, "curious", {}, {}, std::move(handler)});
    install();
  }
  static std::shared_ptr<RuleSet> make_default_rules_for_test() {
    auto out = std::make_shared<RuleSet>();
    PipelineRules root;
    root.name = "root";
    root.rules.push_back(make_rule("root#1", nullptr, {deliver_to("INBOX")}));
    out->pipelines.emplace("root", std::move(root));
    return out;
  }
};

std::vector<TrailEntry> decoded(const Trail& trail) {
  auto entries = Trail::decode(trail.bytes());
  REQUIRE(entries);
  return std::move(*entries);
}

std::string effects_of(const std::vector<TrailEntry>& entries) {
  std::string out;
  for (const TrailEntry& entry : entries)
    if (entry.kind == TrailEntry::Kind::kEffect)
      out += entry.name + " " + entry.question + " -> " + entry.answer + "\n";
  return out;
}

}  // namespace

TEST_CASE("a replay of unchanged rules hears what they heard, and touches nothing") {
  AskingWorld world;
  world.dns.mx("example.org", 10, "mx.example.org").secure("example.org");
  world.hook(std::make_shared<Curious>());
  Talk first(world);
  first.connect();
  first.from("a@b.example");
  const Verdict live = first.to("bob@ours.example");
  CHECK(live.reply.text.find("body 1") != std::string::npos);
  const auto entries = decoded(first.mail->trail);
  const std::string told = effects_of(entries);
  CHECK(told.find("directory.find bob@ours.example -> account bob\n") != std::string::npos);
  CHECK(told.find("directory.domain relayed.example -> relay\n") != std::string::npos);
  CHECK(told.find("dns.mx Example.org -> 10 mx.example.org [ad]\n") != std::string::npos);
  CHECK(told.find("http GET http://h.example/down -> error http.timeout: late\n") != std::string::npos);
  CHECK(told.find("sql users: SELECT ?, ? [<secret>, 5] -> {\"columns\"") != std::string::npos);
  CHECK(told.find("kv.set memory \"k\" = <secret> -> ok\n") != std::string::npos);
  for (const char* secret : {"hush", "hidden", "very-private"})
    CHECK_MESSAGE(first.mail->trail.bytes().find(secret) == std::string::npos, secret);

  RecordedAnswers recorded(entries);
  recorded.add("at_most", "probe", "");  // an answer that is empty is none
  world.policy->answer_from(world.sim.worker(0), &recorded);
  world.directory.accounts.clear();
  world.directory.domains.clear();
  const int queries = world.database.asked;
  Talk second(world);
  second.connect();
  second.from("a@b.example");
  const Verdict replayed = second.to("bob@ours.example");
  CHECK(replayed.reply.text == live.reply.text + "from the trail: ");
  CHECK(recorded.unanswered().empty());
  CHECK(effects_of(decoded(second.mail->trail)) == told);
  CHECK(world.http.asked.size() == 3);
  CHECK(world.database.asked == queries);
  CHECK(world.store.number == 2);
  world.policy->answer_from(world.sim.worker(0), nullptr);
}

TEST_CASE("what an alias leads to is in the trail, an entry for each address, and is replayed from it") {
  AskingWorld world;
  world.directory.aliases["all@ours.example"] = {"bob@ours.example", "team@ours.example", "x@relayed.example"};
  world.directory.aliases["team@ours.example"] = {"eve@ours.example", "bob@ours.example"};
  world.rules = AskingWorld::make_default_rules_for_test();
  world.gate.forward_aliases = true;
  world.install();
  Talk talk(world);
  talk.connect();
  talk.from("a@b.example");
  CHECK_FALSE(talk.to("all@ours.example").refuses());
  const Decision live = talk.send();
  const std::string told = effects_of(decoded(talk.mail->trail));
  const std::string at_rcpt =
      "directory.find all@ours.example -> alias bob@ours.example, team@ours.example, x@relayed.example\n"
      "directory.find bob@ours.example -> account bob\n"
      "directory.find team@ours.example -> alias eve@ours.example, bob@ours.example\n"
      "directory.find x@relayed.example -> relay\n"
      "directory.find eve@ours.example -> account eve\n";
  CHECK(told.starts_with(at_rcpt));

  RecordedAnswers recorded(decoded(talk.mail->trail));
  world.policy->answer_from(world.sim.worker(0), &recorded);
  world.directory.domains.clear();
  world.directory.aliases.clear();
  Talk again(world);
  again.connect();
  again.from("a@b.example");
  CHECK_FALSE(again.to("all@ours.example").refuses());
  const Decision replayed = again.send();
  CHECK(effects_of(decoded(again.mail->trail)) == told);
  std::string before, after;
  live.plan.encode(before);
  replayed.plan.encode(after);
  CHECK(before == after);
  CHECK(recorded.unanswered().empty());
}

TEST_CASE("a message keeps the store of the epoch that it began under, whatever a reload installs meanwhile") {
  class Reloads final : public Action {
   public:
    explicit Reloads(std::function<void()> reload) : reload_(std::move(reload)) {}
    Task<Result<ActionResult>> run(RuleCall call) override { return ask(call, &reload_); }

   private:
    static Task<Result<ActionResult>> ask(RuleCall call, std::function<void()>* reload) {
      for (int i = 0; i < 2; ++i) {
        KeyValueRequest more{.kind = KeyValueRequest::Kind::kIncrement, .key = "n"};
        static_cast<void>(co_await call.effects.kv("", std::move(more)));
        if (i == 0) (*reload)();
      }
      co_return ActionResult{};
    }
    std::function<void()> reload_;
  };
  AskingWorld world;
  FakeStore far;
  world.services.provide<KeyValueStore>(far, "far");
  world.rules = AskingWorld::make_default_rules_for_test();
  PipelineRules& root = world.rules->pipelines["root"];
  root.rules.insert(root.rules.begin(), make_rule("ask", nullptr, {std::make_shared<Reloads>([&] {
                                                    world.settings.kv = "far";
                                                    world.install();
                                                  })}));
  world.install();
  const auto send = [&] {
    Talk talk(world);
    talk.connect();
    talk.from("a@b.example");
    talk.to("bob@ours.example");
    talk.send();
  };
  send();
  CHECK(world.store.number == 2);
  CHECK(far.number == 0);
  send();
  CHECK(world.store.number == 2);
  CHECK(far.number == 2);
}

TEST_CASE("a run that asks without end is told so") {
  class Endless final : public HookHandler {
   public:
    Task<Result<Verdict>> handle(HookCall call) override { return ask(call); }
    static Task<Result<Verdict>> ask(HookCall call) {
      for (std::size_t i = 0; i < LiveEffects::kMaxQuestions; ++i)
        if (auto reply = co_await call.effects.kv("", {.key = "k"}); !reply)
          co_return Verdict::reject(550, "", "early");
      std::string codes;
      codes += (co_await call.effects.kv("", {.key = "k"})).error().code + " ";
      codes += (co_await call.effects.sql("users", "x", {})).error().code + " ";
      codes += to_string((co_await call.effects.dns("x", RecordType::kA)).status);
      co_return Verdict::reject(550, "5.0.0", codes);
    }
  };
  AskingWorld world;
  world.hook(std::make_shared<Endless>());
  Talk talk(world);
  talk.connect();
  talk.from("a@b.example");
  CHECK(talk.to("bob@ours.example").reply.text == "effects.limit effects.limit overloaded");
}

TEST_CASE("keys, values, statements and arguments over their limits are refused before anybody is asked") {
  class Large final : public HookHandler {
   public:
    Task<Result<Verdict>> handle(HookCall call) override { return ask(call); }
    static Task<Result<Verdict>> ask(HookCall call) {
      std::string codes;
      codes += (co_await call.effects.kv("", {.key = ""})).error().code + " ";
      codes += (co_await call.effects.kv("", {.key = std::string(KeyValueStore::kMaxKey + 1, 'k')})).error().code + " ";
      KeyValueRequest set{.kind = KeyValueRequest::Kind::kSet, .key = "k"};
      set.value.assign(KeyValueStore::kMaxValue + 1, 'v');
      codes += (co_await call.effects.kv("", std::move(set))).error().code + " ";
      std::string statement(Database::kMaxStatement + 1, ' ');
      codes += (co_await call.effects.sql("users", std::move(statement), {})).error().code + " ";
      std::vector<SqlArgument> arguments(Database::kMaxArguments + 1);
      codes += (co_await call.effects.sql("users", "x", std::move(arguments))).error().code;
      co_return Verdict::reject(550, "5.0.0", codes);
    }
  };
  AskingWorld world;
  world.hook(std::make_shared<Large>());
  Talk talk(world);
  talk.connect();
  talk.from("a@b.example");
  CHECK(talk.to("bob@ours.example").reply.text == "kv.limit kv.limit kv.limit sql.limit sql.limit");
  CHECK(world.database.asked == 0);
}

}  // namespace postern

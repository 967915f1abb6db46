#include "core/pipeline/pretence.h"

#include "core/pipeline/fixture_for_tests.h"
#include "postern/services.h"

namespace postern {
namespace {

struct Counted final : Database, KeyValueStore, HttpClient {
  std::vector<std::string> asked;
  std::map<std::string, std::string> values;
  int connecting = 0;  ///< so often there is no connection yet

  Task<Result<SqlRows>> query(std::string statement, std::vector<SqlArgument>, Deadline) override {
    asked.push_back(statement);
    SqlRows rows;
    rows.columns = {"n"};
    rows.rows = {{std::int64_t{7}}};
    return Task<Result<SqlRows>>::ready(std::move(rows));
  }
  Task<Result<KeyValueReply>> ask(KeyValueRequest request, Deadline) override {
    asked.push_back("kv " + std::to_string(static_cast<int>(request.kind)) + " " + request.key);
    if (connecting-- > 0) return Task<Result<KeyValueReply>>::ready(fault("kv.connect", "no connection"));
    KeyValueReply reply;
    if (const auto found = values.find(request.key); found != values.end()) reply.value = found->second;
    return Task<Result<KeyValueReply>>::ready(std::move(reply));
  }
  Task<Result<HttpResponse>> fetch(HttpRequest request) override {
    asked.push_back(request.method + " " + request.url);
    HttpResponse out;
    out.status = 204;
    return Task<Result<HttpResponse>>::ready(std::move(out));
  }
};

/// Reads and writes everywhere; its verdict says what it heard.
class Busy final : public HookHandler {
 public:
  Task<Result<Verdict>> handle(HookCall call) override { return ask(call); }

 private:
  using Kind = KeyValueRequest::Kind;
  static Task<Result<Verdict>> ask(HookCall call) {
    Effects& world = call.effects;
    std::string heard;
    for (const char* statement : {"SELECT n FROM t", "DELETE FROM t"}) {
      const auto rows = co_await world.sql("users", statement, {});
      heard += rows ? std::to_string(rows->rows.size()) + "/" + std::to_string(rows->changed) + " " : "? ";
    }
    for (const char* method : {"GET", "POST"}) {
      HttpRequest request{.method = method, .url = "http://h.example/"};
      const auto page = co_await world.http(std::move(request));
      heard += page ? std::to_string(page->status) + " " : page.error().code;
    }
    for (const Kind kind : {Kind::kIncrement, Kind::kIncrement, Kind::kGet, Kind::kRemove, Kind::kGet, Kind::kSet}) {
      KeyValueRequest request{.kind = kind, .key = "n", .value = "new"};
      const auto reply = co_await world.kv("", std::move(request));
      heard += reply ? std::to_string(reply->number) + reply->value.value_or("") + " " : reply.error().code;
    }
    KeyValueRequest wrong{.kind = Kind::kIncrement, .key = "text"};
    heard += (co_await world.kv("", std::move(wrong))).error().code;
    co_return Verdict::reject(550, "5.7.1", heard);
  }
};

TEST_CASE("what is explained is asked of the world; what would change it is answered and not done") {
  PolicyWorld world;
  Counted outside;
  outside.values = {{"n", "41"}, {"text", "x"}};
  outside.connecting = 2;
  Services services;
  services.provide<Database>(outside, "users");
  services.provide<KeyValueStore>(outside, "memory");
  world.policy = std::make_unique<PipelinePolicy>(
      PipelinePolicy::Options{.workers = 1, .metrics = world.metrics, .services = &services});
  world.policy->attach(world.directory, nullptr);
  world.policy->start(world.sim.worker(0), world.dns, world.log.log(), &outside);
  world.rules = std::make_shared<RuleSet>();
  world.rules->pipelines["root"] = {"root", {}, {make_rule("rest", nullptr, {deliver_to("INBOX")})}};
  world.rules->hooks.push_back({Stage::kMail, "busy", {}, {}, std::make_shared<Busy>()});
  world.install();
  Pretence pretence;
  world.policy->pretend(world.sim.worker(0), &pretence);
  Talk talk(world);
  talk.connect();
  CHECK(talk.from("a@b.example").reply.text == "1/0 0/1 204 200 42 43 043 1 0 0 kv.type");
  CHECK(outside.asked == std::vector<std::string>{"SELECT n FROM t", "GET http://h.example/", "kv 0 n", "kv 0 n",
                                                  "kv 0 n", "kv 0 text"});
  std::string deeds;
  for (const Pretence::Deed& one : pretence.deeds()) deeds += one.effect + " " + one.question + "\n";
  CHECK(deeds ==
        "sql users: DELETE FROM t\nhttp POST http://h.example/\nkv.incr memory \"n\" +1\nkv.incr memory \"n\" +1\n"
        "kv.remove memory \"n\"\nkv.set memory \"n\" = \"new\"\nkv.incr memory \"text\" +1\n");
  std::string trail;
  for (const TrailEntry& entry : *Trail::decode(talk.mail->trail.bytes()))
    if (entry.kind == TrailEntry::Kind::kEffect) trail += entry.name + " " + entry.answer.substr(0, 20) + "\n";
  CHECK(trail.find("kv.incr not done, as if: 42\n") != std::string::npos);
  CHECK(trail.find("kv.get \"43\"\n") != std::string::npos);
}

TEST_CASE("only statements that certainly read are asked") {
  for (const char* reads :
       {"SELECT a, count(*) FROM t WHERE lower(mail) = ? AND (b OR c) IN (1, 2) ORDER BY a LIMIT 1;",
        "select 'delete from x; it''s' as \"update\" from t", "VALUES (1)", "SELECT * FROM (SELECT 1) AS x",
        "show search_path", " \n select updated_at FROM t"})
    CHECK_MESSAGE(Pretence::only_reads(std::string_view(reads)), reads);
  for (const char* writes :
       {"DELETE FROM t", "insert into t values (1)", "WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x",
        "SELECT 1; DROP TABLE t", "SELECT nextval('s')", "SELECT * INTO u FROM t", "SELECT a FROM t FOR UPDATE",
        "SELECT a FROM t FOR SHARE", "SELECT my_function(1)", "SELECT \"my_function\"(1)", "select pg_sleep (9)",
        "EXPLAIN ANALYZE DELETE FROM t", "", "PRAGMA user_version = 3", "SELECT E'\\'; DELETE FROM t; --'",
        "SELECT $$ $$", "SELECT 1 /* x */", "SELECT 1 -- x", "CALL p()"})
    CHECK_MESSAGE(!Pretence::only_reads(std::string_view(writes)), writes);
}

}  // namespace
}  // namespace postern

// Scripts that ask http, sql, kv and the directory.
#include "ask.h"
#include "lua_for_tests.h"
#include "postern/database.h"
#include "postern/http.h"
#include "postern/key_value.h"
#include "postern/text.h"

namespace postern::lua {
namespace {

class TinyDirectory final : public Directory {
 public:
  DomainKind domain_kind(std::string_view domain) const override {
    return domain == "ours.example"   ? DomainKind::kLocal
           : domain == "gate.example" ? DomainKind::kRelay
                                      : DomainKind::kForeign;
  }
  std::string default_domain() const override { return "ours.example"; }
  DirectoryFacts facts() const override { return {}; }
  Task<AddressLookup> find(Address address) override {
    AddressLookup out;
    if (address.local() == "bob") out.kind = AddressLookup::Kind::kAccount, out.account = "bob";
    if (address.local() == "slow") out.kind = AddressLookup::Kind::kTemporary;
    if (address.local() == "all") {
      out.kind = AddressLookup::Kind::kAlias;
      out.targets = {*Address::parse("a@x.example"), *Address::parse("b@y.example")};
    }
    return Task<AddressLookup>::ready(std::move(out));
  }
};

/// Answers after a moment of virtual time, and remembers what it was asked.
class SlowEffects final : public Effects {
 public:
  explicit SlowEffects(Executor& executor) : executor_(executor) {}
  Task<DnsAnswer> dns(std::string, RecordType) override { return Task<DnsAnswer>::ready({}); }
  WallTime clock() override { return {}; }
  double random() override { return 0; }
  void log(std::string_view, std::string_view) override {}
  void count(std::string_view, std::int64_t) override {}
  Trail& trail() override { return trail_; }
  Directory& directory() override { return directory_; }
  Executor& executor() override { return executor_; }
  Duration time_limit() const override { return std::chrono::seconds(30); }

  Task<Result<HttpResponse>> http(HttpRequest request) override {
    requests.push_back(request);
    co_await sleep_for(1s);
    if (request.url.ends_with("/down")) co_return fault("http.timeout", "late");
    HttpResponse out;
    out.status = request.url.ends_with("/missing") ? 404 : 200;
    out.content_type = "text/plain";
    out.headers = {{"X-Score", "7"}, {"x-score", "8"}};
    out.body = "hello";
    co_return out;
  }
  Task<Result<SqlRows>> sql(std::string database, std::string statement, std::vector<SqlArgument> given) override {
    co_await sleep_for(1s);
    if (database != "users") co_return fault("effects.none", "no such database");
    arguments = std::move(given);
    SqlRows out;
    out.columns = {"name", "quota", "share", "on", "nothing"};
    out.rows = {{std::string("bob"), std::int64_t{5}, 0.5, true, SqlValue()}};
    out.changed = statement.starts_with("UPDATE") ? 3 : 0;
    co_return out;
  }
  Task<Result<KeyValueReply>> kv(std::string store, KeyValueRequest request) override {
    co_await sleep_for(1s);
    asked.push_back(store + "/" + request.key);
    last = request;
    if (store == "down") co_return fault("kv.connect", "refused");
    KeyValueReply reply;
    if (request.kind == KeyValueRequest::Kind::kGet && request.key == "k") reply.value = "v";
    if (request.kind == KeyValueRequest::Kind::kIncrement) reply.number = number += request.by;
    if (request.kind == KeyValueRequest::Kind::kRemove) reply.number = 1;
    co_return reply;
  }

  std::vector<HttpRequest> requests;
  std::vector<SqlArgument> arguments;
  std::vector<std::string> asked;
  KeyValueRequest last;
  std::int64_t number = 0;

 private:
  Executor& executor_;
  Trail trail_;
  TinyDirectory directory_;
};

struct AskingWorld : World {
  SlowEffects slow{sim.worker(0)};

  /// What the body returns, as text; or what went wrong.
  std::string ask(const std::string& body) {
    if (!hook("local function body()\n" + body +
              "\nend\nlocal out = table.pack(body())\nfor i = 1, out.n do out[i] = tostring(out[i]) end\n"
              "return postern.reject(550, '5.0.0', table.concat(out, ' '))"))
      return problems;
    HookCall call{Stage::kRcpt, session, &mail, &mail.envelope.recipients[1], slow};
    const Result<Verdict> verdict = run(rules->hooks.at(0).handler->handle(call));
    return verdict ? verdict->reply.text : verdict.error().code + ": " + verdict.error().detail;
  }
};

}  // namespace

TEST_CASE("a script fetches a page, with its status, body and fields") {
  AskingWorld world;
  CHECK(world.ask("local r = postern.http.get('https://a.example/x', { timeout = '2s', max_size = '10 KiB', "
                  "headers = { Authorization = postern.secret 'Bearer t', ['X-A'] = 'b' } })\n"
                  "return r.status, r.ok, r.body, r.content_type, r.headers['x-score']") ==
        "200 true hello text/plain 7, 8");
  REQUIRE(world.slow.requests.size() == 1);
  const HttpRequest& request = world.slow.requests[0];
  CHECK(request.method == "GET");
  CHECK(request.timeout == 2s);
  CHECK(request.max_body_octets == 10240);
  REQUIRE(request.headers.size() == 2);
  CHECK(request.headers[0].value == "Bearer t");
  CHECK(world.ask("return postern.http.get('https://a.example/down')") == "nil http.timeout");
  CHECK(world.ask("local r = postern.http.get('https://a.example/missing') return r.status, r.ok") == "404 false");
}

TEST_CASE("a script posts a body with its type") {
  AskingWorld world;
  CHECK(world.ask("return postern.http.post('https://a.example/', { body = '{}', content_type = 'application/json' "
                  "}).status") == "200");
  CHECK(world.slow.requests.at(0).method == "POST");
  CHECK(world.slow.requests[0].body == "{}");
  CHECK(world.slow.requests[0].headers.at(0).value == "application/json");
}

TEST_CASE("misspelt options and wrong types are errors of the script") {
  AskingWorld world;
  CHECK(world.ask("return postern.http.get('u', { time = 1 })").find("no option 'time'") != std::string::npos);
  CHECK(world.ask("return postern.http.get('u', { timout = 1 })").find("did you mean \"timeout\"?") !=
        std::string::npos);
  CHECK(world.ask("return postern.http.get('u', { body = 'x' })").find("no option 'body'") != std::string::npos);
  CHECK(world.ask("return postern.http.get('u', { timeout = 'soon' })").find("10m") != std::string::npos);
  CHECK(world.ask("return postern.http.get('u', { max_size = 'big' })").find("10 KiB") != std::string::npos);
  CHECK(world.ask("return postern.sql.query('users', 'x', {})").find("a secret") != std::string::npos);
  CHECK(world.ask("return postern.kv.get('')").find("a key of 1 to 512") != std::string::npos);
  CHECK(world.ask("return postern.kv.set('k', 'v', -1)").find("above 0") != std::string::npos);
  CHECK(world.ask("return postern.kv.store('m').put").find("no field 'put'") != std::string::npos);
  CHECK(world.ask("return table.sort({1, 2}, function() return postern.kv.get('k') end)").find("cannot wait inside") !=
        std::string::npos);
  CHECK(world.slow.requests.empty());
}

TEST_CASE("rows are tables by their columns, and NULL is no field") {
  AskingWorld world;
  CHECK(world.ask("local rows = postern.sql.query('users', 'SELECT ?', 'a', 5, 1.5, true, nil, postern.secret 'pw')\n"
                  "local r = rows[1] return #rows, r.name, r.quota, r.share, r.on, r.nothing, rows.changed") ==
        "1 bob 5 0.5 true nil 0");
  REQUIRE(world.slow.arguments.size() == 6);
  CHECK(std::get<std::int64_t>(world.slow.arguments[1].value) == 5);
  CHECK(std::get<bool>(world.slow.arguments[3].value));
  CHECK(std::holds_alternative<std::monostate>(world.slow.arguments[4].value));
  CHECK(world.slow.arguments[5].secret);
  CHECK_FALSE(world.slow.arguments[0].secret);
  CHECK(world.ask("return postern.sql.query('users', 'UPDATE x').changed") == "3");
  CHECK(world.ask("return postern.sql.query('none', 'SELECT 1')") == "nil effects.none");
}

TEST_CASE("values are kept by key, in the default store or a named one") {
  AskingWorld world;
  CHECK(world.ask("return postern.kv.get 'k', postern.kv.get 'other'") == "v nil");
  CHECK(world.ask("return postern.kv.set('a', 5, '10m')") == "true");
  CHECK(world.slow.last.value == "5");
  CHECK(world.slow.last.expiry == std::chrono::minutes(10));
  CHECK(world.ask("return postern.kv.set('a', postern.secret('s'))") == "true");
  CHECK(world.slow.last.secret);
  CHECK_FALSE(world.slow.last.expiry);
  CHECK(world.ask("return postern.kv.incr('n'), postern.kv.incr('n', 4, 1.5), postern.kv.remove('n')") == "1 5 1");
  world.slow.asked.clear();
  CHECK(
      world.load("local postern = require 'postern'\nlocal far = postern.kv.store 'redis'\n"
                 "postern.on('rcpt', function() far:incr('x') far:set('y', 'z') far:get('w', { secret = true }) "
                 "far:remove('v') end)"));
  HookCall call{Stage::kRcpt, world.session, &world.mail, &world.mail.envelope.recipients[1], world.slow};
  REQUIRE(world.run(world.rules->hooks.at(0).handler->handle(call)));
  CHECK(world.slow.asked == std::vector<std::string>{"redis/x", "redis/y", "redis/w", "redis/v"});
  CHECK(world.ask("return postern.kv.store('down'):get('k')") == "nil kv.connect");
}

TEST_CASE("the directory tells accounts, aliases and domains") {
  AskingWorld world;
  CHECK(world.ask("local d = postern.directory return d.user 'bob@ours.example', d.user 'all@ours.example', "
                  "d.user 'no address', d.user 'slow@ours.example'") == "bob nil nil nil directory.temporary");
  CHECK(world.ask("return table.concat(postern.directory.alias 'all@ours.example', ' ')") == "a@x.example b@y.example");
  CHECK(world.ask("return postern.directory.alias 'bob@ours.example'") == "nil");
  CHECK(
      world.ask("local d = postern.directory.domain return d 'OURS.example', d 'gate.example', d 'x.example', d ''") ==
      "local relay foreign foreign");
}

TEST_CASE("questions of all kinds are on their way together") {
  AskingWorld world;
  const Instant before = world.sim.worker(0).now();
  CHECK(world.ask("local a, e = postern.all {\n"
                  "  page = function() return postern.http.get 'https://a.example/' end,\n"
                  "  down = function() return postern.http.get 'https://a.example/down' end,\n"
                  "  rows = function() return postern.sql.query('users', 'SELECT 1') end,\n"
                  "  n = function() return postern.kv.incr 'n' end,\n"
                  "  user = function() return postern.directory.user 'bob@ours.example' end }\n"
                  "return a.page.status, a.down, e.down, #a.rows, a.n, a.user") == "200 nil http.timeout 1 1 bob");
  CHECK(world.sim.worker(0).now() - before < 2s);
}

TEST_CASE("options and header fields that a script keeps are sent as those of a table made in the call") {
  AskingWorld world;
  REQUIRE_MESSAGE(world.load("local postern = require 'postern'\n"
                             "local FIELDS = { ['X-A'] = 'b' }\n"
                             "local OPTIONS = { headers = { ['X-C'] = 'd' }, timeout = '2s' }\n"
                             "local WRONG = { timout = '2s' }\n"
                             "postern.on('rcpt', function()\n"
                             "  postern.http.get('https://a.example/', { headers = FIELDS })\n"
                             "  postern.http.get('https://a.example/', OPTIONS)\n"
                             "  postern.http.get('https://a.example/', WRONG)\nend)"),
                  world.problems);
  HookCall call{Stage::kRcpt, world.session, &world.mail, &world.mail.envelope.recipients[1], world.slow};
  const Result<Verdict> verdict = world.run(world.rules->hooks.at(0).handler->handle(call));
  REQUIRE_FALSE(verdict);
  CHECK(verdict.error().detail.find("no option 'timout'") != std::string::npos);
  REQUIRE(world.slow.requests.size() == 2);
  REQUIRE(world.slow.requests[0].headers.size() == 1);
  CHECK(world.slow.requests[0].headers[0].name == "X-A");
  CHECK(world.slow.requests[0].headers[0].value == "b");
  REQUIRE(world.slow.requests[1].headers.size() == 1);
  CHECK(world.slow.requests[1].headers[0].value == "d");
  CHECK(world.slow.requests[1].timeout == 2s);
}

TEST_CASE("a coroutine that waits is given its own answer, or none") {
  AskingWorld world;
  for (const std::string question :
       {"dns.a 'x.example'", "kv.set('k', 'v')", "http.get 'https://a.example/'", "directory.user 'bob@ours.example'"})
    for (const std::string before : {"", "postern.dns.a 'y.example'\n"}) {
      INFO(question);
      CHECK(world
                .ask(before + "local c = coroutine.create(function() return postern." + question +
                     " end)\npcall(postern.all, { function() coroutine.resume(c) end, function() error 'x' end "
                     "})\nreturn coroutine.resume(c)")
                .find("waits for an answer that has not come") != std::string::npos);
    }
}

TEST_CASE("a question outside of a call is an error at load") {
  AskingWorld world;
  CHECK_FALSE(world.load("local postern = require 'postern'\npostern.kv.get 'k'\npostern.on('rcpt', function() end)"));
  CHECK_FALSE(world.load(
      "local postern = require 'postern'\npostern.http.get 'http://x/'\npostern.on('rcpt', function() end)"));
}

}  // namespace postern::lua

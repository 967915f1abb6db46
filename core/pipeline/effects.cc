#include "core/pipeline/effects.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/pipeline/effect_texts.h"
#include "core/pipeline/pretence.h"
#include "core/pipeline/recorded_answers.h"
#include "postern/database.h"
#include "postern/key_value.h"
#include "postern/services.h"
#include "postern/text.h"

namespace postern {
namespace {

constexpr std::size_t kMaxScriptCounters = 256;  // names that scripts make, per worker; the rest count as "other"

std::unexpected<Fault> too_many_questions() {
  return fault("effects.limit", "a rule asked too many questions");
}

/// Whether this is one of those questions that are not asked, since they would change the world.
template <class Question>
bool is_pretended(const PolicyWorker& worker, const Question& question) {
  return worker.pretence && !worker.recorded && !Pretence::only_reads(question);
}

std::string as_if(bool pretended, std::string answer) {
  return pretended ? "not done, as if: " + std::move(answer) : std::move(answer);
}

}  // namespace

std::uint32_t trail_micros(Duration duration) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(micros, 0, 0xffffffffLL));
}

Counter& PolicyWorker::script_counter(std::string_view name) {
  if (const auto found = script_counters.find(name); found != script_counters.end()) return *found->second;
  if (script_counters.size() >= kMaxScriptCounters && name != "other") return script_counter("other");
  Counter& made =
      metrics->counter("postern_pipeline_script_total", "What scripts count.", {{"counter", std::string(name)}});
  script_counters.emplace(name, &made);
  return made;
}

LiveEffects::LiveEffects(PolicyWorker& worker, const RuleEpoch& epoch, Trail& trail, std::string_view session,
                         Stage stage, Instant until)
    : worker_(worker),
      epoch_(epoch),
      trail_(trail),
      session_(session),
      stage_(stage),
      until_(until),
      directory_(worker, trail, stage, until) {}

void LiveEffects::write(std::string_view effect, std::string_view question, std::string_view answer, Instant since) {
  trail_.effect(stage_, effect, question, answer, trail_micros(worker_.executor->now() - since));
}

Task<DnsAnswer> LiveEffects::dns(std::string name, RecordType type) {
  if (spent()) {
    DnsAnswer refused;
    refused.status = DnsStatus::kOverloaded;
    refused.detail = "a rule asked too many questions";
    trail_.effect(stage_, dns_effect(type), name, to_string(refused.status), 0);
    co_return refused;
  }
  const Instant since = worker_.executor->now();
  DnsAnswer answer;
  if (worker_.recorded)
    answer = worker_.recorded->dns(stage_, name, type);
  else
    answer = co_await worker_.resolver->query(name, type, Deadline::at(until_));
  write(dns_effect(type), fit_question(name), fit_answer(dns_text(answer, name)), since);
  co_return answer;
}

Task<Result<HttpResponse>> LiveEffects::fetch(const HttpRequest& request) {
  if (spent()) co_return too_many_questions();
  if (worker_.recorded) co_return worker_.recorded->http(stage_, request);
  if (!worker_.http) co_return fault("effects.none", "nobody asks over HTTP here");
  if (is_pretended(worker_, request)) co_return worker_.pretence->http(stage_, request);
  const Duration left = until_ - worker_.executor->now();
  if (left <= Duration{}) co_return fault("http.timeout", "the time for this mail is over");
  HttpRequest bounded = request;
  bounded.timeout = std::min(request.timeout, left);
  auto response = co_await worker_.http->fetch(std::move(bounded));
  // A cookie is somebody's session: it is no business of a trail, and so of no rule.
  if (response)
    std::erase_if(response->headers, [](const HttpHeader& f) { return equal_folded(f.name, "set-cookie"); });
  co_return response;
}

Task<Result<HttpResponse>> LiveEffects::http(HttpRequest request) {
  const Instant since = worker_.executor->now();
  Result<HttpResponse> response = co_await fetch(request);
  std::string answer = response ? http_text(*response, request.url) : fault_text(response.error());
  write("http", http_question(request), as_if(is_pretended(worker_, request), std::move(answer)), since);
  co_return response;
}

Task<Result<SqlRows>> LiveEffects::query(const std::string& database, const std::string& statement,
                                         const std::vector<SqlArgument>& arguments) {
  if (spent()) co_return too_many_questions();
  if (statement.size() > Database::kMaxStatement) co_return fault("sql.limit", "the statement is too long");
  if (arguments.size() > Database::kMaxArguments) co_return fault("sql.limit", "too many arguments");
  if (worker_.recorded) co_return worker_.recorded->sql(stage_, database, statement, arguments);
  Database* found = worker_.services ? worker_.services->find<Database>(database) : nullptr;
  if (!found || database.empty()) co_return fault("effects.none", "there is no database \"" + database + "\"");
  if (is_pretended(worker_, std::string_view(statement)))
    co_return worker_.pretence->sql(stage_, database, statement, arguments);
  co_return co_await found->query(statement, arguments, Deadline::at(until_));
}

Task<Result<SqlRows>> LiveEffects::sql(std::string database, std::string statement,
                                       std::vector<SqlArgument> arguments) {
  const Instant since = worker_.executor->now();
  Result<SqlRows> rows = co_await query(database, statement, arguments);
  std::string answer = rows ? sql_text(*rows) : fault_text(rows.error());
  write("sql", sql_question(database, statement, arguments),
        as_if(is_pretended(worker_, std::string_view(statement)), std::move(answer)), since);
  co_return rows;
}

Task<Result<KeyValueReply>> LiveEffects::ask_store(const std::string& store, const KeyValueRequest& request) {
  if (spent()) co_return too_many_questions();
  if (request.key.empty() || request.key.size() > KeyValueStore::kMaxKey)
    co_return fault("kv.limit", fmt::format("a key has 1 to {} octets", KeyValueStore::kMaxKey));
  if (request.value.size() > KeyValueStore::kMaxValue)
    co_return fault("kv.limit", fmt::format("a value has at most {} octets", KeyValueStore::kMaxValue));
  if (worker_.recorded) co_return worker_.recorded->kv(stage_, store, request);
  KeyValueStore* found = worker_.services && !store.empty() ? worker_.services->find<KeyValueStore>(store) : nullptr;
  if (!found) co_return fault("effects.none", "there is no kv store \"" + store + "\"");
  if (worker_.pretence) co_return co_await worker_.pretence->kv(stage_, store, found, request, Deadline::at(until_));
  co_return co_await found->ask(request, Deadline::at(until_));
}

Task<Result<KeyValueReply>> LiveEffects::kv(std::string store, KeyValueRequest request) {
  if (store.empty()) store = epoch_.kv;
  const Instant since = worker_.executor->now();
  Result<KeyValueReply> reply = co_await ask_store(store, request);
  std::string answer = reply ? kv_text(request, *reply) : fault_text(reply.error());
  write(kv_effect(request.kind), kv_question(store, request), as_if(is_pretended(worker_, request), std::move(answer)),
        since);
  co_return reply;
}

std::optional<std::string> LiveEffects::recorded(std::string_view effect, std::string_view question) {
  if (!worker_.recorded) return std::nullopt;
  return worker_.recorded->text(stage_, effect, question);
}

Result<Draft> LiveEffects::begin_draft(std::uint64_t size_hint) {
  if (!worker_.spool) return fault("effects.none", "no message can be written here");
  if (++drafts_ > kMaxDrafts) return fault("effects.limit", "rules write too many messages");
  return worker_.spool->begin(*worker_.executor, size_hint);
}

WallTime LiveEffects::clock() {
  const WallTime now = worker_.recorded ? worker_.recorded->clock(stage_) : worker_.executor->wall();
  trail_.effect(stage_, "clock.now", {}, std::to_string(now.time_since_epoch().count()), 0);
  return now;
}

double LiveEffects::random() {
  const double value = worker_.recorded ? worker_.recorded->random(stage_)
                                        : static_cast<double>(worker_.executor->random() >> 11) * 0x1.0p-53;
  trail_.effect(stage_, "random", {}, fmt::format("{}", value), 0);
  return value;
}

void LiveEffects::log(std::string_view level, std::string_view text) {
  const LogLevel parsed = parse_log_level(level).value_or(LogLevel::kInfo);
  worker_.log.at(parsed, "script.log", {{"session", session_}, {"stage", to_string(stage_)}, {"text", text}});
}

void LiveEffects::count(std::string_view counter, std::int64_t by) {
  if (by <= 0) return;  // a counter only grows
  worker_.script_counter(counter).add(worker_.executor->index(), static_cast<std::uint64_t>(by));
}

}  // namespace postern

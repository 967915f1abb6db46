#include "core/pipeline/effects.h"

#include <fmt/format.h>

#include <algorithm>

namespace postern {
namespace {

constexpr std::size_t kMaxScriptCounters = 256;  // names that scripts make, per worker; the rest count as "other"

std::string record_text(const DnsRecord& record) {
  struct Text {
    std::string operator()(const AddressRecord& r) const { return r.to_string(); }
    std::string operator()(const MxRecord& r) const { return fmt::format("{} {}", r.preference, r.exchange); }
    std::string operator()(const TxtRecord& r) const { return fmt::format("\"{}\"", r.text); }
    std::string operator()(const NameRecord& r) const { return r.name; }
    std::string operator()(const SrvRecord& r) const {
      return fmt::format("{} {} {} {}", r.priority, r.weight, r.port, r.target);
    }
    std::string operator()(const TlsaRecord& r) const {
      std::string out = fmt::format("{} {} {} ", r.usage, r.selector, r.matching);
      for (const char c : r.data) fmt::format_to(std::back_inserter(out), "{:02x}", static_cast<unsigned char>(c));
      return out;
    }
    std::string operator()(const SoaRecord& r) const { return fmt::format("{} {} {}", r.primary, r.mailbox, r.serial); }
  };
  return std::visit(Text{}, record);
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  return text;
}

}  // namespace

std::string trail_text(const DnsAnswer& answer) {
  if (!answer.ok()) return std::string(to_string(answer.status));
  std::string out;
  for (const DnsRecord& record : answer.records) {
    if (!out.empty()) out += "; ";
    out += record_text(record);
  }
  return out;
}

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

LiveEffects::LiveEffects(PolicyWorker& worker, Trail& trail, std::string_view session, Stage stage, Duration time_limit)
    : worker_(worker),
      trail_(trail),
      session_(session),
      stage_(stage),
      time_limit_(time_limit),
      deadline_(Deadline::at(worker.executor->now() + time_limit)) {}

Task<DnsAnswer> LiveEffects::dns(std::string name, RecordType type) {
  if (++questions_ > kMaxQuestions) {
    DnsAnswer refused;
    refused.status = DnsStatus::kOverloaded;
    refused.detail = "a rule asked too many questions";
    trail_.effect(stage_, "dns", name, "too many questions", 0);
    co_return refused;
  }
  const Instant before = worker_.executor->now();
  DnsAnswer answer = co_await worker_.resolver->query(name, type, deadline_);
  const Instant after = worker_.executor->now();
  trail_.effect(stage_, "dns." + lower(to_string(type)), name, trail_text(answer), trail_micros(after - before));
  co_return answer;
}

WallTime LiveEffects::clock() {
  const WallTime now = worker_.executor->wall();
  trail_.effect(stage_, "clock.now", {}, std::to_string(now.time_since_epoch().count()), 0);
  return now;
}

double LiveEffects::random() {
  const double value = static_cast<double>(worker_.executor->random() >> 11) * 0x1.0p-53;
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

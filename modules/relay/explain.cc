#include "explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace postern::relay {

namespace {

using Json = nlohmann::ordered_json;

std::string text(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Address> address_of(const std::string& words, std::string_view what) {
  auto parsed = Address::parse(words);
  if (!parsed) return fault("relay.explain", fmt::format("{} \"{}\": {}", what, words, parsed.error().to_string()));
  return std::move(*parsed);
}

std::string reply_text(const Reply& reply) {
  return fmt::format("{} {} {}", reply.code, reply.enhanced, reply.text);
}

Json way_row(const Heading& heading, const Way& way, const Site::State& site) {
  Json row{{"row", "way"},
           {"destination", way.domain},
           {"route", way.route},
           {"gateway", heading.gateway},
           {"by", way.smarthost ? "configuration" : "MX"},
           {"protocol", way.protocol == Protocol::kLmtp ? "lmtp" : "smtp"},
           {"tls", way.tls},
           {"connections", site.running},
           {"connections_limit", site.limit},
           {"waiting", site.waiting}};
  if (site.per_minute) row["messages_per_minute"] = site.per_minute;
  if (site.closed_for != Duration::zero())
    row["closed_for_seconds"] = std::chrono::duration_cast<std::chrono::seconds>(site.closed_for).count();
  if (!site.why.text.empty()) row["why"] = reply_text(site.why);
  if (way.dead_end) row["dead_end"] = reply_text(*way.dead_end);
  return row;
}

Json host_row(const WayHost& host, const Target& target) {
  Json endpoints = Json::array();
  for (const Endpoint& one : target.endpoints) endpoints.push_back(one.to_string());
  Json row{{"row", "host"},
           {"host", target.name},
           {"preference", host.host.preference},
           {"endpoints", endpoints},
           {"tls", to_string(target.tls.level)},
           {"tls_by", to_string(target.tls.source)},
           {"tls_why", target.tls.text}};
  if (target.implicit_tls) row["implicit_tls"] = true;
  if (target.tls.refusal) row["refusal"] = reply_text(*target.tls.refusal);
  if (target.loop) row["loop"] = true;
  if (target.dead_end) row["dead_end"] = reply_text(*target.dead_end);
  return row;
}

}  // namespace

Task<Result<void>> explain_command(Courier& courier, ControlRequest request, ControlRows& rows) {
  const Deadline until = Deadline::after(kExplainTime).fixed(courier.executor.now());
  std::string recipient = request.arg("recipient");
  if (recipient.empty()) recipient = "postmaster@" + request.arg("domain");
  const auto to = address_of(recipient, "recipient");
  if (!to) co_return std::unexpected(to.error());
  Result<Address> from = Address();
  if (const std::string sender = request.arg("sender"); !sender.empty()) from = address_of(sender, "sender");
  if (!from) co_return std::unexpected(from.error());
  PlanStep step;
  step.kind = PlanStep::Kind::kRelay;
  for (const char* option : {"gateway", "tls"})
    if (const std::string value = request.arg(option); !value.empty()) step.options[option] = value;
  const Heading heading = courier.ways.heading(*from, *to, step);
  const std::shared_ptr<const Way> way = co_await courier.ways.find(heading, until);
  const std::shared_ptr<Site> site = courier.sites.of(way->site, heading.route);
  co_await rows.row(text(way_row(heading, *way, site->state())));
  for (std::size_t i = 0; i < std::min(way->hosts.size(), kMaxExplained); ++i) {
    const auto target = co_await courier.ways.target(*way, i, request.arg("require_tls") == "true", until);
    co_await rows.row(text(host_row(way->hosts[i], *target)));
  }
  co_return Result<void>();
}

}  // namespace postern::relay

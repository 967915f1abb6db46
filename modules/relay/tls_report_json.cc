#include "tls_report_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tls_report_files.h"

namespace postern::relay {

namespace {

using Json = nlohmann::ordered_json;

// What came from strangers (the words of a TLS library about a certificate) may be no UTF-8.
std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json policy_json(const TlsReportPolicy& policy) {
  Json out{{"policy-type", to_string(policy.type)}};
  if (!policy.strings.empty()) out["policy-string"] = policy.strings;
  out["policy-domain"] = policy.domain;
  if (!policy.mx.empty()) out["mx-host"] = policy.mx;
  return out;
}

Json details_json(const TlsReportCounts& counts) {
  Json out = Json::array();
  for (const auto& [failure, count] : counts.details) {
    Json item{{"result-type", failure.result}};
    if (!failure.sending_ip.empty()) item["sending-mta-ip"] = failure.sending_ip;
    if (!failure.receiving_host.empty()) item["receiving-mx-hostname"] = failure.receiving_host;
    if (!failure.receiving_ip.empty()) item["receiving-ip"] = failure.receiving_ip;
    item["failed-session-count"] = count;
    if (!failure.reason.empty()) item["failure-reason-code"] = failure.reason;
    out.push_back(std::move(item));
  }
  return out;
}

Json counts_json(const TlsReportCounts& counts) {
  Json out{{"policy", policy_json(counts.policy)},
           {"summary",
            {{"total-successful-session-count", counts.successes}, {"total-failure-session-count", counts.failures}}}};
  if (!counts.details.empty()) out["failure-details"] = details_json(counts);
  return out;
}

std::string text_of(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}

std::uint64_t number_of(const Json& json, const char* key) {
  const auto it = json.find(key);
  return it != json.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : 0;
}

std::vector<std::string> texts_of(const Json& json, const char* key) {
  std::vector<std::string> out;
  if (const auto it = json.find(key); it != json.end() && it->is_array())
    for (const Json& item : *it)
      if (item.is_string()) out.push_back(item.get<std::string>());
  return out;
}

TlsReportCounts counts_from(const Json& json) {
  TlsReportCounts counts;
  const Json policy = json.value("policy", Json::object());
  for (const auto type : {TlsReportPolicy::Type::kTlsa, TlsReportPolicy::Type::kSts})
    if (text_of(policy, "policy-type") == to_string(type)) counts.policy.type = type;
  counts.policy.domain = text_of(policy, "policy-domain");
  counts.policy.strings = texts_of(policy, "policy-string");
  counts.policy.mx = texts_of(policy, "mx-host");
  for (const Json& item : json.value("failure-details", Json::array())) {
    const TlsReportFailure failure{text_of(item, "result-type"), text_of(item, "sending-mta-ip"),
                                   text_of(item, "receiving-mx-hostname"), text_of(item, "receiving-ip"),
                                   text_of(item, "failure-reason-code")};
    counts.add_failure(failure, number_of(item, "failed-session-count"));
  }
  const Json summary = json.value("summary", Json::object());
  counts.successes = number_of(summary, "total-successful-session-count");
  counts.failures = number_of(summary, "total-failure-session-count");
  return counts;
}

}  // namespace

std::string tls_report_json(const TlsReportIdentity& who, UtcDay day, const std::vector<TlsReportCounts>& policies) {
  Json all = Json::array();
  for (const TlsReportCounts& counts : policies) all.push_back(counts_json(counts));
  return dumped(
      Json{{"organization-name", who.organization},
           {"date-range",
            {{"start-datetime", day_text(day) + "T00:00:00Z"}, {"end-datetime", day_text(day) + "T23:59:59Z"}}},
           {"contact-info", who.contact},
           {"report-id", who.report_id},
           {"policies", std::move(all)}});
}

std::string day_to_json(const TlsReportDay& day) {
  Json all = Json::array();
  for (const auto& [domain, policies] : day.domains)
    for (const TlsReportCounts& counts : policies) all.push_back(counts_json(counts));
  return dumped(all);
}

TlsReportDay day_from_json(UtcDay day, std::string_view text) {
  TlsReportDay out{.day = day, .domains = {}};
  const Json all = Json::parse(text, nullptr, false);
  if (!all.is_array()) return out;
  for (const Json& item : all) {
    if (!item.is_object()) continue;
    try {
      TlsReportCounts counts = counts_from(item);
      if (!counts.policy.domain.empty()) out.domains[counts.policy.domain].push_back(std::move(counts));
    } catch (const Json::exception&) {  // a field of another type than ours: the rest of the file may be good
    }
  }
  return out;
}

}  // namespace postern::relay

#include "mta_sts.h"

#include <algorithm>

#include "postern/text.h"

namespace postern::relay {

namespace {

constexpr std::size_t kMaxId = 32;
constexpr std::string_view kRecordStart = "v=STSv1";

std::unexpected<Fault> wrong(std::string what) {
  return fault("sts.policy", std::move(what));
}

bool good_pattern(std::string_view pattern) {
  if (pattern.starts_with("*.")) pattern.remove_prefix(2);
  if (pattern.empty() || pattern.size() > 253) return false;
  bool label = false;
  for (const char c : pattern) {
    if (c == '.' && !label) return false;
    label = c != '.';
    if (label && !is_ascii_alnum(c) && c != '-' && c != '_') return false;
  }
  return label;
}

std::optional<StsPolicy::Mode> mode_of(std::string_view text) {
  for (const auto mode : {StsPolicy::Mode::kNone, StsPolicy::Mode::kTesting, StsPolicy::Mode::kEnforce})
    if (text == to_string(mode)) return mode;
  return std::nullopt;
}

/// The fields that stand once; of a repeated one the first counts (§3.2).
struct Seen {
  bool version = false, mode = false, max_age = false;
};

Result<void> take(StsPolicy& policy, Seen& seen, std::string_view key, std::string_view value) {
  if (key == "version" && !seen.version) {
    if (value != "STSv1") return wrong("version is not STSv1");
    seen.version = true;
  } else if (key == "mode" && !seen.mode) {
    const auto mode = mode_of(value);
    if (!mode) return wrong("mode is none of enforce, testing, none");
    policy.mode = *mode;
    seen.mode = true;
  } else if (key == "max_age" && !seen.max_age) {
    const auto age = value.size() <= 10 ? to_number<std::int64_t>(value, 0) : std::nullopt;
    if (!age) return wrong("max_age is no number of seconds");
    policy.max_age = std::min(std::chrono::seconds(*age), StsPolicy::kMaxAge);
    seen.max_age = true;
  } else if (key == "mx") {
    if (!good_pattern(value)) return wrong("mx is neither a host name nor *. and a domain");
    if (policy.mx.size() == StsPolicy::kMaxMx) return wrong("more mx than are taken");
    policy.mx.push_back(to_lower(value));
  }
  return {};
}

}  // namespace

std::string_view to_string(StsPolicy::Mode mode) {
  switch (mode) {
    case StsPolicy::Mode::kTesting:
      return "testing";
    case StsPolicy::Mode::kEnforce:
      return "enforce";
    case StsPolicy::Mode::kNone:
      break;
  }
  return "none";
}

Result<StsPolicy> StsPolicy::parse(std::string_view body) {
  if (body.size() > kMaxOctets) return wrong("the policy has over 64 KiB");
  StsPolicy policy;
  Seen seen;
  for (std::string_view line : split(body, '\n')) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (trim(line).empty()) continue;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return wrong("a line without a colon");
    auto taken = take(policy, seen, trim(line.substr(0, colon)), trim(line.substr(colon + 1)));
    if (!taken) return std::unexpected(taken.error());
  }
  if (!seen.version || !seen.mode || !seen.max_age) return wrong("version, mode or max_age is missing");
  if (policy.mx.empty() && policy.mode != Mode::kNone) return wrong("it names no mx");
  return policy;
}

bool StsPolicy::matches(std::string_view host) const {
  if (host.ends_with('.')) host.remove_suffix(1);
  const auto dot = host.find('.');
  return std::ranges::any_of(mx, [host, dot](std::string_view pattern) {
    if (!pattern.starts_with("*.")) return equal_folded(pattern, host);
    return dot != 0 && dot != std::string_view::npos && equal_folded(pattern.substr(1), host.substr(dot));
  });
}

std::optional<std::string> parse_sts_record(std::string_view text) {
  if (!text.starts_with(kRecordStart)) return std::nullopt;
  text.remove_prefix(kRecordStart.size());
  if (!trim_left(text).starts_with(';')) return std::nullopt;
  std::optional<std::string> id;
  for (const std::string_view piece : split(text.substr(text.find(';') + 1), ';')) {
    const std::string_view field = trim(piece);
    if (!field.starts_with("id=") || id) continue;
    const std::string_view value = field.substr(3);
    if (value.empty() || value.size() > kMaxId || !std::ranges::all_of(value, is_ascii_alnum)) return std::nullopt;
    id = std::string(value);
  }
  return id;
}

std::optional<std::string> announced_sts_id(const DnsAnswer& answer) {
  std::optional<std::string> id;
  std::size_t count = 0;
  for (const TxtRecord& record : answer.all<TxtRecord>()) {
    if (!record.text.starts_with(kRecordStart)) continue;
    if (++count > 1) return std::nullopt;
    id = parse_sts_record(record.text);
  }
  return id;
}

}  // namespace postern::relay

#include "tls_policy.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/hash.h"
#include "postern/text.h"
#include "tls_report_record.h"

namespace postern::relay {

std::string_view tls_result_type(TlsOutcome::Result result) {
  switch (result) {
    case TlsOutcome::Result::kSuccess:
      return "";
    case TlsOutcome::Result::kPlaintext:
    case TlsOutcome::Result::kStarttlsNotSupported:
      return "starttls-not-supported";
    case TlsOutcome::Result::kCertificateHostMismatch:
      return "certificate-host-mismatch";
    case TlsOutcome::Result::kCertificateExpired:
      return "certificate-expired";
    case TlsOutcome::Result::kCertificateNotTrusted:
      return "certificate-not-trusted";
    case TlsOutcome::Result::kTlsaInvalid:
      return "tlsa-invalid";
    case TlsOutcome::Result::kDnssecInvalid:
      return "dnssec-invalid";
    case TlsOutcome::Result::kStsPolicyInvalid:
      return "sts-policy-invalid";
    case TlsOutcome::Result::kStsWebpkiInvalid:
      return "sts-webpki-invalid";
    case TlsOutcome::Result::kValidationFailure:
      break;
  }
  return "validation-failure";
}

namespace {

constexpr std::size_t kMaxSessions = 2'000;  // tickets kept by a worker
constexpr Duration kShortest = 5s, kLongest = 60s;
constexpr std::size_t kMaxReason = 200;

Reply wait_reply(std::string text) {
  return {451, "4.7.5", std::move(text)};
}

/// The host as TLS names it. Of [192.0.2.1] that is the address alone: certificates have it without brackets, and it is
/// never asked for by name (RFC 6066 §3; some hosts end the handshake over such a name).
std::string tls_name(const TlsQuestion& question) {
  const bool literal = question.host.name.starts_with('[') && !question.addresses.addresses.empty();
  return literal ? question.addresses.addresses.front().to_string() : question.host.name;
}

/// What the host's certificate would be worth, though anything is taken.
TlsPeer record(const TlsQuestion& question) {
  TlsPeer peer;
  peer.sni = tls_name(question);
  peer.names = {peer.sni};
  return peer;
}

class Policies final : public TlsPolicies {
 public:
  explicit Policies(TlsPolicyParts parts)
      : parts_(std::move(parts)),
        finder_(parts_.executor, parts_.dns, parts_.http, parts_.store),
        sessions_(make_tls_sessions(kMaxSessions)) {}
  Task<TlsDecision> decide(TlsQuestion question, Deadline deadline) override;
  Task<void> run() override { return finder_.run(); }
  void report(const TlsOutcome& outcome) override;

 private:
  /// A decision on its way, with what reports will say of it.
  struct Draft {
    TlsDecision decision;
    TlsReportPolicy policy;
    bool unsure = false;         ///< a policy that would vouch for the name may exist, and could not be had now
    bool name_believed = false;  ///< somebody but an unsigned MX vouches for the host's name
  };
  static Draft fixed(const TlsQuestion& question, std::string_view wanted);
  Task<Draft> by_dane(TlsQuestion question, bool must, Deadline deadline);
  Task<Draft> by_sts(TlsQuestion question, bool must, Deadline deadline);
  Task<Draft> by_any(TlsQuestion question, Deadline deadline);
  static void apply(Draft& draft, const TlsQuestion& question, const StsEntry& entry, bool must);
  static void require(Draft& draft, const TlsQuestion& question);
  Task<bool> wants_reports(TlsQuestion question, Deadline deadline);
  void finish(Draft& draft, const TlsQuestion& question, bool reported);
  void count(const TlsReportPolicy& policy, TlsReportFailure failure);

  TlsPolicyParts parts_;
  StsFinder finder_;
  std::shared_ptr<TlsSessions> sessions_;
};

Policies::Draft Policies::fixed(const TlsQuestion& question, std::string_view wanted) {
  Draft draft;
  TlsDecision& decision = draft.decision;
  decision.source = TlsSource::kStatic;
  decision.peer = record(question);
  decision.level = wanted == "none"      ? TlsLevel::kNone
                   : wanted == "encrypt" ? TlsLevel::kEncrypt
                   : wanted == "verify"  ? TlsLevel::kVerify
                                         : TlsLevel::kOpportunistic;
  if (decision.level == TlsLevel::kVerify) {
    decision.peer.check = TlsPeer::Check::kNames;
    // A stranger who forges an MX can have a certificate for the host that he names.
    if (question.log_in && question.from_mx && !question.mx_authenticated)
      decision.peer.names = {question.domain};
    else if (!question.domain.empty() && question.domain != question.host.name)
      decision.peer.names.push_back(question.domain);
  }
  decision.text = fmt::format("static: {}", to_string(decision.level));
  return draft;
}

/// RFC 7672. A host without usable TLSA is refused when it `must`, else left to other policies.
Task<Policies::Draft> Policies::by_dane(TlsQuestion question, bool must, Deadline deadline) {
  DaneFinding found = co_await find_dane(parts_.dns, question, deadline);
  Draft draft;
  TlsDecision& decision = draft.decision;
  decision.peer = record(question);
  decision.text = std::move(found.text);
  draft.policy.type = TlsReportPolicy::Type::kTlsa;
  draft.policy.strings = std::move(found.strings);
  draft.name_believed = why_no_dane(question).empty();
  if (found.kind == DaneFinding::Kind::kUsable) {
    decision.level = TlsLevel::kVerify;
    decision.source = TlsSource::kDane;
    decision.peer.check = TlsPeer::Check::kDane;
    decision.peer.sni = found.base;
    decision.peer.tlsa = std::move(found.records);
    decision.peer.names = {found.base};  // RFC 7672 §3.2.2: and the host's, and the domain's behind a signed MX
    for (const std::string& name : {question.host.name, question.domain})
      if (!name.empty() && std::ranges::find(decision.peer.names, name) == decision.peer.names.end())
        decision.peer.names.push_back(name);
    decision.valid_for = std::clamp<Duration>(found.ttl, kShortest, kLongest);
  } else if (found.kind == DaneFinding::Kind::kTryLater) {
    decision.source = TlsSource::kDane;
    draft.policy.problem = "dnssec-invalid";
    decision.refusal = wait_reply("the TLSA records of " + question.host.name + " cannot be had");
  } else if (must) {
    decision.source = TlsSource::kDane;
    draft.policy.problem = "dane-required";
    decision.refusal = wait_reply("DANE is required, and " + question.host.name + " has no usable TLSA records");
  } else if (found.kind == DaneFinding::Kind::kUnusable) {
    decision.level = TlsLevel::kEncrypt;
    decision.source = TlsSource::kDane;
  } else {
    draft.policy = {};
  }
  co_return draft;
}

/// RFC 8461 §5. `must`: the administrator wants it: testing counts as enforce, and no policy as a refusal.
void Policies::apply(Draft& draft, const TlsQuestion& question, const StsEntry& entry, bool must) {
  TlsDecision& decision = draft.decision;
  decision.source = TlsSource::kMtaSts;
  draft.policy.type = TlsReportPolicy::Type::kSts;
  for (const std::string_view line : split(entry.body, '\n'))
    if (!trim(line).empty() && draft.policy.strings.size() < StsPolicy::kMaxMx)
      draft.policy.strings.emplace_back(trim(line));
  draft.policy.mx = entry.policy.mx;
  const bool enforce = must || entry.policy.mode == StsPolicy::Mode::kEnforce;
  draft.policy.testing = !enforce;
  if (!entry.policy.matches(question.host.name)) {
    draft.policy.problem = "validation-failure";
    draft.policy.reason = "no mx of the policy matches " + question.host.name;
    decision.text += ", " + draft.policy.reason;
    if (enforce)
      decision.refusal =
          wait_reply(question.host.name + " is no host of " + question.domain + " by its MTA-STS policy");
    return;
  }
  draft.name_believed = true;
  if (!enforce) return;
  decision.level = TlsLevel::kVerify;
  decision.peer.check = TlsPeer::Check::kNames;
}

Task<Policies::Draft> Policies::by_sts(TlsQuestion question, bool must, Deadline deadline) {
  Draft draft;
  TlsDecision& decision = draft.decision;
  decision.peer = record(question);
  if (question.smarthost) {
    decision.text = "no mta-sts: a configured host has none";
    if (must) decision.refusal = wait_reply("MTA-STS is required of a configured host, which can have none");
    co_return draft;
  }
  const StsFinding found = co_await finder_.find(question.domain, deadline);
  decision.text = found.text;
  draft.unsure = found.unsure;
  if (found.problem != StsFinding::Problem::kNone) {
    draft.policy.type = TlsReportPolicy::Type::kSts;
    draft.policy.problem = to_string(found.problem);
    draft.policy.reason = found.text.substr(0, kMaxReason);
  }
  if (found.entry && found.entry->policy.mode != StsPolicy::Mode::kNone) {
    apply(draft, question, *found.entry, must);
  } else if (must) {
    decision.refusal = wait_reply("MTA-STS is required, and " + question.domain + " has no policy");
  }
  co_return draft;
}

Task<Policies::Draft> Policies::by_any(TlsQuestion question, Deadline deadline) {
  Draft dane = co_await by_dane(question, false, deadline);
  if (dane.decision.refusal || dane.decision.level == TlsLevel::kVerify) co_return dane;
  Draft sts = co_await by_sts(std::move(question), false, deadline);
  const std::string both = dane.decision.text + "; " + sts.decision.text;
  // TLSA that cannot be used still say that there is TLS; a policy that would allow plaintext does not take that back.
  const bool encrypt = dane.decision.level == TlsLevel::kEncrypt && sts.decision.level < TlsLevel::kEncrypt;
  Draft& chosen = encrypt && !sts.decision.refusal ? dane : sts;
  chosen.decision.text = both;
  chosen.unsure = sts.unsure;
  chosen.name_believed = dane.name_believed || sts.name_believed;
  co_return std::move(chosen);
}

/// RFC 8689 §4.2.1.
void Policies::require(Draft& draft, const TlsQuestion& question) {
  TlsDecision& decision = draft.decision;
  if (decision.refusal) return;
  const bool believed =
      draft.name_believed || (question.smarthost && !question.from_mx) || why_no_dane(question).empty();
  if (decision.level == TlsLevel::kNone || !believed) {
    const char* why = believed ? "TLS is off for it" : "nothing vouches for its name";
    decision.refusal =
        Reply{550, "5.7.30", fmt::format("REQUIRETLS cannot be kept with {}: {}", question.host.name, why)};
    if (!believed && draft.unsure) decision.refusal = Reply{451, "4.7.30", std::move(decision.refusal->text)};
    return;
  }
  if (decision.level == TlsLevel::kVerify) return;
  decision.level = TlsLevel::kVerify;
  decision.peer.check = TlsPeer::Check::kNames;
  decision.text += "; requiretls";
}

void Policies::count(const TlsReportPolicy& policy, TlsReportFailure failure) {
  failure.reason = failure.reason.substr(0, kMaxReason);
  if (parts_.reports) parts_.reports->add(policy, &failure);
}

/// Is there anybody who wants to be told (RFC 8460 §3)? When the DNS does not say, yes: the sender of reports asks
/// again.
Task<bool> Policies::wants_reports(TlsQuestion question, Deadline deadline) {
  if (!parts_.reports || question.smarthost || question.domain.empty()) co_return false;
  const DnsAnswer answer = co_await parts_.dns.query("_smtp._tls." + question.domain, RecordType::kTxt, deadline);
  co_return answer.temporary() || tls_report_record(answer).has_value();
}

void Policies::finish(Draft& draft, const TlsQuestion& question, bool reported) {
  TlsDecision& decision = draft.decision;
  decision.plaintext_after_failure = decision.level == TlsLevel::kOpportunistic;
  if (decision.level != TlsLevel::kNone) {
    decision.context = parts_.client;
    decision.peer.sessions = sessions_;
    decision.peer.destination = fmt::format("{}:{}", question.host.name, question.port);
  }
  decision.key = fmt::format("{}|{}|{}", to_string(decision.level), to_string(decision.source),
                             fmt::join(decision.peer.names, ","));
  for (const TlsAssociation& tlsa : decision.peer.tlsa)
    decision.key += fmt::format("|{} {} {} {}", tlsa.usage, tlsa.selector, tlsa.matching, hex_encode(tlsa.data));
  if (!reported) return;
  draft.policy.domain = question.domain;
  decision.report = std::make_shared<const TlsReportPolicy>(std::move(draft.policy));
  if (decision.refusal && !decision.report->problem.empty())
    count(*decision.report, {decision.report->problem, {}, question.host.name, {}, decision.refusal->text});
}

Task<TlsDecision> Policies::decide(TlsQuestion question, Deadline deadline) {
  deadline = deadline.fixed(parts_.executor.now());
  const std::string wanted = question.wanted.empty() ? parts_.wanted : question.wanted;
  Draft draft;
  if (wanted == "dane")
    draft = co_await by_dane(question, true, deadline);
  else if (wanted == "mta-sts")
    draft = co_await by_sts(question, true, deadline);
  else if (wanted == "dane-or-mta-sts-or-opportunistic")
    draft = co_await by_any(question, deadline);
  else
    draft = fixed(question, wanted);
  if (question.require_tls) require(draft, question);
  const bool reported = co_await wants_reports(question, deadline);
  finish(draft, question, reported);
  if (draft.decision.refusal)
    parts_.log.warn("tls.refused", {{"domain", question.domain},
                                    {"host", question.host.name},
                                    {"policy", draft.decision.text},
                                    {"reason", draft.decision.refusal->text}});
  co_return std::move(draft.decision);
}

void Policies::report(const TlsOutcome& outcome) {
  const TlsDecision& decision = *outcome.decision;
  std::string_view result = tls_result_type(outcome.result);
  std::string reason = outcome.detail;
  const bool testing = decision.report && decision.report->testing;
  if (result.empty() && testing && outcome.info.problem != TlsFailure::kNone) {
    result = to_string(outcome.info.problem);  // what enforce would have refused
    reason = outcome.info.problem_text;
  }
  if (result.empty() && decision.report && !decision.report->problem.empty()) {
    result = decision.report->problem;
    reason = decision.report->reason;
  }
  const bool weaker = !tls_result_type(outcome.result).empty() && decision.level == TlsLevel::kOpportunistic;
  if (weaker)
    parts_.log.info("tls.downgrade", {{"domain", outcome.domain},
                                      {"host", outcome.host},
                                      {"result", result},
                                      {"reason", reason},
                                      {"policy", decision.text}});
  if (!decision.report) return;
  if (result.empty()) {
    if (parts_.reports) parts_.reports->add(*decision.report, nullptr);
    return;
  }
  count(*decision.report, {std::string(result), outcome.source_ip.to_string(), outcome.host,
                           outcome.host_ip.to_string(), std::move(reason)});
}

}  // namespace

std::unique_ptr<TlsPolicies> make_tls_policies(TlsPolicyParts parts) {
  return std::make_unique<Policies>(std::move(parts));
}

}  // namespace postern::relay

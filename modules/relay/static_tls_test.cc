#include "static_tls_for_tests.h"

#include <fmt/format.h>

namespace postern::relay {

namespace {

constexpr std::size_t kSessions = 5000;

TlsLevel level_of(std::string_view word) {
  if (word == "none") return TlsLevel::kNone;
  if (word == "encrypt") return TlsLevel::kEncrypt;
  if (word == "verify") return TlsLevel::kVerify;
  return TlsLevel::kOpportunistic;
}

}  // namespace

StaticTlsPolicies::StaticTlsPolicies(std::shared_ptr<TlsContext> context, Log log)
    : context_(std::move(context)), log_(std::move(log)), sessions_(make_tls_sessions(kSessions)) {}

Task<TlsDecision> StaticTlsPolicies::decide(TlsQuestion question, Deadline) {
  TlsDecision decision;
  decision.level = question.require_tls ? TlsLevel::kVerify : level_of(question.wanted);
  decision.source = TlsSource::kStatic;
  decision.plaintext_after_failure = decision.level == TlsLevel::kOpportunistic;
  if (decision.level != TlsLevel::kNone) decision.context = context_;
  decision.peer.check = decision.level == TlsLevel::kVerify ? TlsPeer::Check::kNames : TlsPeer::Check::kRecord;
  decision.peer.sni = question.host.name;
  decision.peer.names = {question.host.name};
  decision.peer.sessions = sessions_;
  decision.peer.destination = fmt::format("{}:{}", question.host.name, question.port);
  decision.key = fmt::format("{} {}", to_string(decision.level), question.host.name);
  decision.text = fmt::format("static: {}", to_string(decision.level));
  return Task<TlsDecision>::ready(std::move(decision));
}

void StaticTlsPolicies::report(const TlsOutcome& outcome) {
  if (outcome.result == TlsOutcome::Result::kSuccess) return;
  log_.info("relay.tls", {{"domain", outcome.domain},
                          {"host", outcome.host},
                          {"policy", to_string(outcome.decision->level)},
                          {"plaintext", outcome.result == TlsOutcome::Result::kPlaintext},
                          {"why", outcome.detail}});
}

}  // namespace postern::relay

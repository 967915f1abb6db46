// Which TLS a host gets, and what is told of it.
#include "tls_policy.h"

#include "tls_for_tests.h"
#include "tls_report_files.h"

using namespace postern;
using namespace postern::relay;
using namespace postern::relay::testing;

namespace {

const std::string kKey(32, 'k');

/// A domain with one host, "mx.example.org", and policies as a test wants them.
struct PolicyWorld : TlsWorld {
  std::shared_ptr<TlsContext> client = *make_client_tls({});
  TlsReportLog reports{executor, std::make_shared<TlsReportFiles>(env, "tlsrpt"), log.log()};
  std::unique_ptr<TlsPolicies> policies;

  explicit PolicyWorld(std::string wanted = "dane-or-mta-sts-or-opportunistic") {
    dns.a("mx.example.org", "192.0.2.1");
    policies = make_tls_policies({executor, dns, http, client, nullptr, &reports, std::move(wanted), log.log()});
  }
  TlsQuestion question(bool secure = false) const {
    TlsQuestion q;
    q.domain = "example.org";
    q.host = {"mx.example.org", 10};
    q.addresses = {.status = DnsStatus::kOk,
                   .authenticated = secure,
                   .canonical_name = "mx.example.org",
                   .addresses = {*IpAddress::parse("192.0.2.1")}};
    q.from_mx = true;
    q.mx_authenticated = secure;
    return q;
  }
  TlsDecision decide(TlsQuestion q) { return run(policies->decide(std::move(q), Deadline::after(60s))); }
  void tlsa(TlsaRecord record, const std::string& base = "mx.example.org") {
    dns.tlsa("_25._tcp." + base, std::move(record)).secure("_25._tcp." + base);
  }
  void sts(const std::string& mode, const std::string& mx = "mx.example.org") {
    dns.txt("_mta-sts.example.org", "v=STSv1; id=one");
    http.answer(sts_url("example.org"), 200, sts_text(mode, mx));
  }
  void want_reports() { dns.txt("_smtp._tls.example.org", "v=TLSRPTv1; rua=mailto:r@example.org"); }
  void outcome(const TlsDecision& decision, TlsOutcome::Result result, TlsFailure problem = TlsFailure::kNone) {
    TlsOutcome told{.domain = "example.org",
                    .host = "mx.example.org",
                    .source_ip = *IpAddress::parse("192.0.2.9"),
                    .host_ip = *IpAddress::parse("192.0.2.1"),
                    .decision = &decision,
                    .result = result,
                    .detail = "words",
                    .info = {}};
    told.info.problem = problem;
    policies->report(told);
  }
  const TlsReportCounts& counts() const { return reports.today().domains.at("example.org").front(); }
};

}  // namespace

TEST_CASE("without any policy TLS is opportunistic, and the text says what was missing") {
  PolicyWorld world;
  const auto decision = world.decide(world.question());
  CHECK(decision.level == TlsLevel::kOpportunistic);
  CHECK(decision.source == TlsSource::kNone);
  CHECK(decision.plaintext_after_failure);
  CHECK(decision.peer.check == TlsPeer::Check::kRecord);
  CHECK(decision.peer.sni == "mx.example.org");
  CHECK(decision.text == "no dane: the MX of example.org are not signed; no mta-sts: no record announces one");
}

TEST_CASE("static levels ask nobody") {
  PolicyWorld world("encrypt");
  CHECK(world.decide(world.question()).level == TlsLevel::kEncrypt);
  auto question = world.question();
  question.smarthost = true;
  for (const auto& [word, level] : {std::pair{"none", TlsLevel::kNone}, std::pair{"may", TlsLevel::kOpportunistic},
                                    std::pair{"opportunistic", TlsLevel::kOpportunistic},
                                    std::pair{"encrypt", TlsLevel::kEncrypt}, std::pair{"verify", TlsLevel::kVerify}}) {
    CAPTURE(word);
    question.wanted = word;
    const auto decision = world.decide(question);
    CHECK(decision.level == level);
    CHECK(decision.source == TlsSource::kStatic);
    CHECK(decision.plaintext_after_failure == (level == TlsLevel::kOpportunistic));
    CHECK((decision.context == nullptr) == (level == TlsLevel::kNone));
  }
  CHECK(world.dns.asked("_25._tcp.mx.example.org", RecordType::kTlsa) == 0);
  CHECK(world.dns.asked("_mta-sts.example.org", RecordType::kTxt) == 0);
  question.wanted = "verify";
  const auto verify = world.decide(question);
  CHECK(verify.peer.check == TlsPeer::Check::kNames);
  CHECK(verify.peer.names == std::vector<std::string>{"mx.example.org", "example.org"});
}

TEST_CASE("a host that is named by its address is that address to TLS, without brackets") {
  PolicyWorld world("verify");
  auto question = world.question();
  question.smarthost = true;
  for (const std::string text : {"192.0.2.1", "2001:db8::1"}) {
    CAPTURE(text);
    const IpAddress address = *IpAddress::parse(text);
    question.domain = question.host.name = address.literal();
    question.addresses.addresses = {address};
    const auto decision = world.decide(question);
    CHECK(decision.peer.sni == text);
    CHECK(decision.peer.names == std::vector<std::string>{text});
  }
}

TEST_CASE("signed TLSA records are a demand") {
  PolicyWorld world;
  world.tlsa({3, 1, 1, kKey});
  world.tlsa({1, 1, 1, kKey});
  const auto decision = world.decide(world.question(true));
  CHECK(decision.level == TlsLevel::kVerify);
  CHECK(decision.source == TlsSource::kDane);
  CHECK(decision.peer.check == TlsPeer::Check::kDane);
  CHECK(decision.peer.tlsa == std::vector<TlsAssociation>{{3, 1, 1, kKey}});
  CHECK(decision.peer.names == std::vector<std::string>{"mx.example.org", "example.org"});
  CHECK_FALSE(decision.plaintext_after_failure);
  CHECK(decision.text == "dane: 1 usable of 2 TLSA of mx.example.org");
  CHECK(decision.key != world.decide(world.question()).key);
}

TEST_CASE("TLSA records count only behind a signed MX and signed addresses, and only signed") {
  PolicyWorld world;
  world.tlsa({3, 1, 1, kKey});
  auto question = world.question(true);
  question.mx_authenticated = false;
  CHECK(world.decide(question).level == TlsLevel::kOpportunistic);
  question = world.question(true);
  question.addresses.authenticated = false;
  CHECK(world.decide(question).level == TlsLevel::kOpportunistic);
  CHECK(world.dns.asked("_25._tcp.mx.example.org", RecordType::kTlsa) == 0);
  world.dns.erase("_25._tcp.mx.example.org").tlsa("_25._tcp.mx.example.org", {3, 1, 1, kKey});
  CHECK(world.decide(world.question(true)).level == TlsLevel::kOpportunistic);
}

TEST_CASE("behind a CNAME the TLSA of its target go first") {
  PolicyWorld world;
  auto question = world.question(true);
  question.addresses.canonical_name = "real.example.net";
  world.tlsa({3, 1, 1, kKey});
  CHECK(world.decide(question).peer.sni == "mx.example.org");
  world.tlsa({2, 0, 1, kKey}, "real.example.net");
  const auto decision = world.decide(question);
  CHECK(decision.peer.sni == "real.example.net");
  CHECK(decision.peer.names == std::vector<std::string>{"real.example.net", "mx.example.org", "example.org"});
}

TEST_CASE("a configured hop by MX is not vouched for by the configuration, unless its MX are signed") {
  PolicyWorld world;
  world.tlsa({3, 1, 1, kKey});
  auto question = world.question(true);
  question.smarthost = true;
  CHECK(world.decide(question).source == TlsSource::kDane);
  question.mx_authenticated = false;
  auto decision = world.decide(question);
  CHECK(decision.level == TlsLevel::kOpportunistic);
  CHECK(decision.text.starts_with("no dane: the MX of example.org are not signed"));
  question.require_tls = true;
  question.addresses.authenticated = false;
  decision = world.decide(question);
  REQUIRE(decision.refusal);
  CHECK(decision.refusal->enhanced == "5.7.30");
  question.from_mx = false;  // its name is the administrator's
  CHECK(world.decide(question).level == TlsLevel::kVerify);
}

TEST_CASE("where a password goes, a certificate for a host that an unsigned MX names proves nothing") {
  PolicyWorld world("verify");
  auto question = world.question();
  question.smarthost = question.log_in = true;
  CHECK(world.decide(question).peer.names == std::vector<std::string>{"example.org"});
  question.host.name = "example.org";  // without MX
  CHECK(world.decide(question).peer.names == std::vector<std::string>{"example.org"});
  question.host.name = "mx.example.org";
  question.mx_authenticated = true;
  CHECK(world.decide(question).peer.names == std::vector<std::string>{"mx.example.org", "example.org"});
  question.from_mx = question.mx_authenticated = false;
  CHECK(world.decide(question).peer.names.front() == "mx.example.org");
}

TEST_CASE("TLSA records that SMTP cannot use mean TLS all the same; a bogus answer means not now") {
  PolicyWorld world;
  world.tlsa({1, 1, 1, kKey});
  auto decision = world.decide(world.question(true));
  CHECK(decision.level == TlsLevel::kEncrypt);
  CHECK(decision.peer.check == TlsPeer::Check::kRecord);
  CHECK_FALSE(decision.plaintext_after_failure);
  world.want_reports();
  world.dns.fail("_25._tcp.mx.example.org", RecordType::kTlsa, DnsStatus::kServfail);
  decision = world.decide(world.question(true));
  REQUIRE(decision.refusal);
  CHECK(decision.refusal->temporary());
  CHECK(world.counts().details.begin()->first.result == "dnssec-invalid");
  CHECK(world.log.count("tls.refused") == 1);
}

TEST_CASE("the level dane wants usable records or refuses") {
  PolicyWorld world;
  auto question = world.question(true);
  question.wanted = "dane";
  CHECK(world.decide(question).refusal->code == 451);
  world.tlsa({0, 1, 1, kKey});
  CHECK(world.decide(question).refusal);
  world.tlsa({3, 1, 1, kKey});
  CHECK_FALSE(world.decide(question).refusal);
}

TEST_CASE("an enforced MTA-STS policy is a demand, and a host that it does not name is refused") {
  PolicyWorld world;
  world.sts("enforce", "*.example.org");
  auto decision = world.decide(world.question());
  CHECK(decision.level == TlsLevel::kVerify);
  CHECK(decision.source == TlsSource::kMtaSts);
  CHECK(decision.peer.check == TlsPeer::Check::kNames);
  CHECK(decision.peer.names == std::vector<std::string>{"mx.example.org"});
  auto question = world.question();
  question.host.name = "mx.evil.example";
  decision = world.decide(question);
  REQUIRE(decision.refusal);
  CHECK(decision.refusal->code == 451);
}

TEST_CASE("a policy that is being tested lets everything through and tells what would have failed") {
  PolicyWorld world;
  world.sts("testing");
  world.want_reports();
  const auto decision = world.decide(world.question());
  CHECK(decision.level == TlsLevel::kOpportunistic);
  CHECK(decision.source == TlsSource::kMtaSts);
  CHECK_FALSE(decision.refusal);
  world.outcome(decision, TlsOutcome::Result::kSuccess);
  world.outcome(decision, TlsOutcome::Result::kSuccess, TlsFailure::kExpired);
  world.outcome(decision, TlsOutcome::Result::kPlaintext);
  CHECK(world.counts().successes == 1);
  CHECK(world.counts().failures == 2);
  CHECK(world.counts().policy.type == TlsReportPolicy::Type::kSts);
  std::vector<std::string> results;
  for (const auto& [failure, count] : world.counts().details) results.push_back(failure.result);
  CHECK(results == std::vector<std::string>{"certificate-expired", "starttls-not-supported"});
  CHECK(world.log.count("tls.downgrade") == 1);
  CHECK(world.log.last("tls.downgrade")->field("policy") == decision.text);
  auto other = world.question();
  other.host.name = "mx.other.example";
  const auto mismatch = world.decide(other);
  CHECK_FALSE(mismatch.refusal);
  world.outcome(mismatch, TlsOutcome::Result::kSuccess);
  CHECK(world.counts().failures == 3);
}

TEST_CASE("the level mta-sts enforces what a domain only tests, and wants a policy") {
  PolicyWorld world("mta-sts");
  CHECK(world.decide(world.question()).refusal);
  world.sts("testing");
  CHECK(world.decide(world.question()).level == TlsLevel::kVerify);
}

TEST_CASE("DANE goes before MTA-STS, and unusable TLSA do not weaken an enforced policy") {
  PolicyWorld world;
  world.sts("enforce");
  world.tlsa({1, 1, 1, kKey});
  CHECK(world.decide(world.question(true)).source == TlsSource::kMtaSts);
  world.tlsa({3, 1, 1, kKey});
  CHECK(world.decide(world.question(true)).source == TlsSource::kDane);
}

TEST_CASE("unusable TLSA keep TLS on under a policy that is only tested") {
  PolicyWorld world;
  world.sts("testing");
  world.tlsa({1, 1, 1, kKey});
  CHECK(world.decide(world.question(true)).level == TlsLevel::kEncrypt);
}

TEST_CASE("REQUIRETLS wants a verified host whose name somebody vouches for") {
  PolicyWorld world;
  auto question = world.question();
  question.require_tls = true;
  auto decision = world.decide(question);
  REQUIRE(decision.refusal);
  CHECK(decision.refusal->code == 550);
  CHECK(decision.refusal->enhanced == "5.7.30");
  question = world.question(true);
  question.require_tls = true;
  decision = world.decide(question);
  CHECK_FALSE(decision.refusal);
  CHECK(decision.level == TlsLevel::kVerify);
  CHECK(decision.peer.check == TlsPeer::Check::kNames);
  CHECK_FALSE(decision.plaintext_after_failure);
  question.wanted = "none";
  CHECK(world.decide(question).refusal->permanent());
  world.sts("testing");
  question = world.question();
  question.require_tls = true;
  CHECK(world.decide(question).level == TlsLevel::kVerify);
}

TEST_CASE("REQUIRETLS waits while nobody can say whether a policy vouches for the host") {
  PolicyWorld world;
  auto question = world.question();
  question.require_tls = true;
  world.dns.fail("_mta-sts.example.org", DnsStatus::kServfail);
  CHECK(world.decide(question).refusal->code == 451);
  world.dns.erase("_mta-sts.example.org").txt("_mta-sts.example.org", "v=STSv1; id=one");  // and nobody listens
  CHECK(world.decide(question).refusal->code == 451);
}

TEST_CASE("sessions are counted only for domains that want reports") {
  PolicyWorld world;
  auto decision = world.decide(world.question());
  CHECK_FALSE(decision.report);
  world.outcome(decision, TlsOutcome::Result::kSuccess);
  CHECK(world.reports.today().domains.empty());
  world.want_reports();
  decision = world.decide(world.question());
  REQUIRE(decision.report);
  world.outcome(decision, TlsOutcome::Result::kSuccess);
  world.outcome(decision, TlsOutcome::Result::kValidationFailure);
  CHECK(world.counts().policy.type == TlsReportPolicy::Type::kNoPolicy);
  CHECK(world.counts().successes == 1);
  const auto& [failure, count] = *world.counts().details.begin();
  CHECK(failure == TlsReportFailure{"validation-failure", "192.0.2.9", "mx.example.org", "192.0.2.1", "words"});
  CHECK(count == 1);
}

TEST_CASE("a policy that cannot be fetched is a failure of every session") {
  PolicyWorld world;
  world.want_reports();
  world.dns.txt("_mta-sts.example.org", "v=STSv1; id=one");
  const auto decision = world.decide(world.question());
  CHECK(decision.level == TlsLevel::kOpportunistic);
  world.outcome(decision, TlsOutcome::Result::kSuccess);
  CHECK(world.counts().policy.type == TlsReportPolicy::Type::kSts);
  CHECK(world.counts().details.begin()->first.result == "sts-policy-fetch-error");
}

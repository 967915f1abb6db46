// TLS reports: counted, kept over restarts, made, and sent once.
#include "tls_report.h"

#include <zlib.h>

#include <nlohmann/json.hpp>

#include "postern/text.h"
#include "tls_for_tests.h"
#include "tls_report_files.h"
#include "tls_report_json.h"
#include "tls_report_mail.h"
#include "tls_report_record.h"
#include "tls_report_sender.h"

using namespace postern;
using namespace postern::relay;
using namespace postern::relay::testing;

namespace {

const UtcDay kNewYear = UtcDay(std::chrono::year{2026} / 1 / 1);  // where the simulation's clock begins

TlsReportPolicy policy(std::string domain = "example.org") {
  return {.type = TlsReportPolicy::Type::kSts,
          .domain = std::move(domain),
          .strings = {"version: STSv1", "mode: enforce"},
          .mx = {"*.example.org"},
          .problem = {},
          .reason = {}};
}

const TlsReportFailure kExpired{"certificate-expired", "192.0.2.9", "mx.example.org", "192.0.2.1", "it \"ended\""};

std::string gunzip(std::string_view octets) {
  z_stream z{};
  REQUIRE(inflateInit2(&z, 15 + 16) == Z_OK);
  std::string out(1 << 20, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(octets.data()));
  z.avail_in = static_cast<uInt>(octets.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  CHECK(inflate(&z, Z_FINISH) == Z_STREAM_END);
  out.resize(z.total_out);
  inflateEnd(&z);
  return out;
}

struct ReportWorld : TlsWorld {
  std::shared_ptr<TlsReportFiles> files = std::make_shared<TlsReportFiles>(env, "tlsrpt");
  std::vector<OutgoingTlsReport> mails;
  bool queue_full = false;
  std::unique_ptr<TlsReportLog> counts;

  ReportWorld() {
    REQUIRE(files->prepare());
    restart();
  }
  void restart() { counts = std::make_unique<TlsReportLog>(executor, files, log.log()); }
  static Task<Result<void>> take(ReportWorld* world, OutgoingTlsReport report) {
    if (world->queue_full) co_return fault("spool.full", "no room");
    world->mails.push_back(std::move(report));
    co_return Result<void>();
  }
  TlsReporter reporter() {
    return TlsReporter({.executor = executor,
                        .dns = dns,
                        .http = http,
                        .files = files,
                        .hostname = "us.example",
                        .organization = "Us",
                        .from = {},
                        .contact = {},
                        .submit = [this](OutgoingTlsReport report) { return take(this, std::move(report)); },
                        .log = log.log()});
  }
  std::size_t send() {
    TlsReporter sender = reporter();
    return run(sender.send_due());
  }
  void wants(const std::string& domain, const std::string& rua) {
    dns.erase("_smtp._tls." + domain).txt("_smtp._tls." + domain, "v=TLSRPTv1; rua=" + rua);
  }
};

}  // namespace

TEST_CASE("a TLSRPT record names addresses and https places") {
  const auto record = TlsReportRecord::parse("v=TLSRPTv1; rua=mailto:r@example.org,https://example.org/r?x , ftp://no");
  REQUIRE(record);
  CHECK(record->rua == std::vector<std::string>{"mailto:r@example.org", "https://example.org/r?x"});
  CHECK(TlsReportRecord::parse("v=TLSRPTv1;rua=mailto:a%21b@example.org?subject=x")->rua[0] ==
        "mailto:a!b@example.org");
  for (const char* text : {"v=TLSRPTv2; rua=mailto:a@b", "v=TLSRPTv1", "v=TLSRPTv1; rua=", "v=TLSRPTv1; rua=mailto:a",
                           "v=TLSRPTv1; rua=http://a/", "v=TLSRPTv1; rua=mailto:a%0d%0a@b",
                           "v=TLSRPTv1; rua=mailto:%zz@b", "rua=mailto:a@b"}) {
    CAPTURE(text);
    CHECK_FALSE(TlsReportRecord::parse(text));
  }
}

TEST_CASE("two TLSRPT records are none") {
  DnsAnswer answer;
  answer.status = DnsStatus::kOk;
  answer.records = {TxtRecord{"v=TLSRPTv1; rua=mailto:a@b"}, TxtRecord{"other"}};
  CHECK(tls_report_record(answer));
  answer.records.emplace_back(TxtRecord{"v=TLSRPTv1; rua=mailto:c@d"});
  CHECK_FALSE(tls_report_record(answer));
}

TEST_CASE("a report is the JSON of RFC 8460") {
  TlsReportCounts counts{.policy = policy(), .successes = 5, .details = {}};
  counts.add_failure(kExpired, 2);
  const auto json = nlohmann::json::parse(tls_report_json({"Us", "postmaster@us.example", "id@us.example"},
                                                          UtcDay(std::chrono::year{2026} / 11 / 22), {counts}));
  CHECK(json["organization-name"] == "Us");
  CHECK(json["date-range"]["start-datetime"] == "2026-11-22T00:00:00Z");
  CHECK(json["date-range"]["end-datetime"] == "2026-11-22T23:59:59Z");
  CHECK(json["contact-info"] == "postmaster@us.example");
  CHECK(json["report-id"] == "id@us.example");
  const auto& first = json["policies"][0];
  CHECK(first["policy"]["policy-type"] == "sts");
  CHECK(first["policy"]["policy-string"][1] == "mode: enforce");
  CHECK(first["policy"]["policy-domain"] == "example.org");
  CHECK(first["policy"]["mx-host"][0] == "*.example.org");
  CHECK(first["summary"]["total-successful-session-count"] == 5);
  CHECK(first["summary"]["total-failure-session-count"] == 2);
  const auto& detail = first["failure-details"][0];
  CHECK(detail["result-type"] == "certificate-expired");
  CHECK(detail["sending-mta-ip"] == "192.0.2.9");
  CHECK(detail["receiving-mx-hostname"] == "mx.example.org");
  CHECK(detail["receiving-ip"] == "192.0.2.1");
  CHECK(detail["failed-session-count"] == 2);
  CHECK(detail["failure-reason-code"] == "it \"ended\"");
}

TEST_CASE("our files keep what was counted, and one that is spoilt is empty") {
  TlsReportDay day{.day = kNewYear, .domains = {}};
  day.counts_of(policy()).add_failure(kExpired, 3);
  day.counts_of(policy()).successes = 4;
  day.counts_of({.type = TlsReportPolicy::Type::kTlsa, .domain = "example.org", .strings = {"3 1 1 ab"}}).successes = 1;
  TlsReportFailure odd = kExpired;
  odd.reason = "\xff\xfe";  // no UTF-8
  day.counts_of(policy("example.net")).add_failure(odd, 1);
  const auto again = day_from_json(kNewYear, day_to_json(day));
  REQUIRE(again.domains.size() == 2);
  const auto& all = again.domains.at("example.org");
  REQUIRE(all.size() == 2);
  CHECK(all[0].details.at(kExpired) == 3);
  CHECK(all[0].failures == 3);
  CHECK(all[0].successes == 4);
  CHECK(all[1].policy.type == TlsReportPolicy::Type::kTlsa);
  for (const char* text : {"", "{}", "[1,2]", "[{\"policy\":3}]", "[{\"policy\":{\"policy-domain\":7}}", "null"}) {
    CAPTURE(text);
    CHECK(day_from_json(kNewYear, text).domains.empty());
  }
}

TEST_CASE("counting is bounded: what is too much is in the summary alone") {
  TlsReportCounts counts{.policy = policy(), .details = {}};
  for (int i = 0; i < 200; ++i) {
    TlsReportFailure failure = kExpired;
    failure.receiving_ip = std::to_string(i);
    counts.add_failure(failure, 1);
  }
  CHECK(counts.failures == 200);
  CHECK(counts.details.size() == TlsReportCounts::kMaxFailures);
  ReportWorld world;
  for (std::size_t i = 0; i < TlsReportLog::kMaxDomains + 5; ++i)
    world.counts->add(policy("d" + std::to_string(i)), nullptr);
  CHECK(world.counts->today().domains.size() == TlsReportLog::kMaxDomains);
  CHECK(world.log.count("tlsrpt.full") == 1);
}

TEST_CASE("a restart does not lose the day") {
  ReportWorld world;
  world.counts->add(policy(), nullptr);
  world.run(world.counts->flush());
  world.restart();
  world.counts->add(policy(), nullptr);
  world.counts->add(policy(), &kExpired);
  world.run(world.counts->flush());
  world.restart();
  world.run(world.counts->flush());
  const auto day = world.files->merged(kNewYear);
  REQUIRE(day.domains.contains("example.org"));
  CHECK(day.domains.at("example.org")[0].successes == 2);
  CHECK(day.domains.at("example.org")[0].failures == 1);
}

TEST_CASE("what runs writes each minute, and midnight begins a new day") {
  ReportWorld world;
  Nursery nursery(world.executor);
  nursery.spawn(world.counts->run());
  world.sim.run_for(1s);
  world.counts->add(policy(), nullptr);
  world.sim.run_for(2min);
  CHECK(world.files->merged(kNewYear).domains.size() == 1);
  world.sim.run_for(23h + 57min + 30s);
  world.counts->add(policy("late.example"), nullptr);  // half a minute before midnight
  world.sim.run_for(40s);
  world.counts->add(policy("early.example"), nullptr);
  world.sim.run_for(2min);
  CHECK(world.files->merged(kNewYear).domains.size() == 2);
  CHECK(world.files->merged(kNewYear + std::chrono::days(1)).domains.size() == 1);
  nursery.cancel();
  world.sim.run_until_idle();
}

TEST_CASE("a disk that is full for a while costs nothing but its time") {
  ReportWorld world;
  world.counts->add(policy(), nullptr);
  world.env.fail_write(28, 0);
  world.run(world.counts->flush());
  CHECK(world.log.count("tlsrpt.write") == 1);
  CHECK(world.files->merged(kNewYear).domains.empty());
  world.run(world.counts->flush());
  CHECK(world.files->merged(kNewYear).domains.size() == 1);
}

TEST_CASE("the counts of all workers make one report, by mail") {
  ReportWorld world;
  world.wants("example.org", "mailto:reports@example.org");
  TlsReportDay day{.day = kNewYear, .domains = {}};
  day.counts_of(policy()).successes = 2;
  REQUIRE(world.files->write(day, 0));
  REQUIRE(world.files->write(day, 1));
  CHECK(world.send() == 0);  // the day is not over
  world.sim.run_for(25h);
  CHECK(world.send() == 1);
  REQUIRE(world.mails.size() == 1);
  const OutgoingTlsReport& mail = world.mails[0];
  CHECK(mail.to == "reports@example.org");
  CHECK(mail.from == "tlsrpt-noreply@us.example");
  for (const char* line :
       {"To: <reports@example.org>\r\n", "TLS-Report-Domain: example.org\r\n", "TLS-Report-Submitter: us.example\r\n",
        "TLS-Required: No\r\n",
        "Subject: Report Domain: example.org\r\n Submitter: us.example\r\n Report-ID: <2026-01-01.",
        "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n", "Content-Type: application/tlsrpt+gzip\r\n",
        "filename=\"us.example!example.org!1767225600!1767311999!2026-01-01."}) {
    CAPTURE(line);
    CHECK(mail.message.find(line) != std::string::npos);
  }
  const auto begin = mail.message.find("\r\n\r\n", mail.message.find("tlsrpt+gzip")) + 4;
  std::string base64 = mail.message.substr(begin, mail.message.find("\r\n--", begin) - begin);
  std::erase_if(base64, [](char c) { return c == '\r' || c == '\n'; });
  const auto octets = base64_decode(base64);
  REQUIRE(octets);
  const auto json = nlohmann::json::parse(gunzip(*octets));
  CHECK(json["policies"][0]["summary"]["total-successful-session-count"] == 4);
  CHECK(world.files->days().empty());
  CHECK(world.send() == 0);
}

TEST_CASE("a report by https is posted, and every target gets it") {
  ReportWorld world;
  world.wants("example.org", "https://example.org/tls,mailto:r@example.org");
  world.http.answer("https://example.org/tls", 201, "");
  TlsReportDay day{.day = kNewYear, .domains = {}};
  day.counts_of(policy()).successes = 2;
  REQUIRE(world.files->write(day, 0));
  world.sim.run_for(25h);
  CHECK(world.send() == 1);
  REQUIRE(world.http.asked.size() == 1);
  CHECK(world.http.asked[0].method == "POST");
  CHECK(world.http.asked[0].headers[0].value == "application/tlsrpt+gzip");
  CHECK(nlohmann::json::parse(gunzip(world.http.asked[0].body))["organization-name"] == "Us");
  CHECK(world.mails.size() == 1);
}

TEST_CASE("who cannot be told yet is told later, nobody twice, and a day is given up in the end") {
  ReportWorld world;
  world.wants("example.org", "mailto:r@example.org");
  world.wants("example.net", "https://example.net/r");
  TlsReportDay day{.day = kNewYear, .domains = {}};
  for (const char* domain : {"example.net", "example.org", "unwanted.example"})
    day.counts_of(policy(domain)).successes = 1;
  REQUIRE(world.files->write(day, 0));
  world.sim.run_for(25h);
  world.queue_full = true;
  CHECK(world.send() == 0);
  world.queue_full = false;
  CHECK(world.send() == 1);
  CHECK(world.send() == 0);
  CHECK(world.mails.size() == 1);
  CHECK(world.files->sent(kNewYear).contains("unwanted.example"));
  CHECK(world.files->days().size() == 1);
  world.sim.run_for(48h);
  CHECK(world.send() == 0);
  CHECK(world.files->days().empty());
  CHECK(world.log.count("tlsrpt.given_up") == 1);
}

TEST_CASE("the sender of reports wakes after midnight, at no fixed time") {
  ReportWorld world;
  world.wants("example.org", "mailto:r@example.org");
  TlsReporter sender = world.reporter();
  Nursery nursery(world.executor);
  nursery.spawn(world.counts->run());
  nursery.spawn(sender.run());
  world.counts->add(policy(), nullptr);
  world.sim.run_for(24h + 4min);
  CHECK(world.mails.empty());
  world.sim.run_for(4h);
  CHECK(world.mails.size() == 1);
  world.sim.run_for(48h);
  CHECK(world.mails.size() == 1);
  nursery.cancel();
  world.sim.run_until_idle();
}

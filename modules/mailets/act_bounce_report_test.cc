#include "mailets_for_tests.h"

namespace postern::mailets {
namespace {

std::string report(std::string_view recipients, std::string_view type = "message/delivery-status") {
  return std::string(
             "Subject: failed\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=r\r\n\r\n"
             "--r\r\n\r\nSorry.\r\n--r\r\nContent-Type: ")
      .append(type)
      .append("\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n")
      .append(recipients)
      .append("\r\n--r\r\nContent-Type: text/rfc822-headers\r\n\r\nAction: failed\r\nStatus: 5.0.0\r\n\r\n--r--\r\n");
}

std::string kind(const std::string& message) {
  Mail m(message);
  REQUIRE(m.act("classify_bounce"));
  const auto note = [&](const char* name) {
    const auto found = m.mail.notes.find(name);
    return found == m.mail.notes.end() ? std::string() : std::get<std::string>(found->second);
  };
  const std::string status = note("bounce_status");
  return note("bounce") + (status.empty() ? "" : " " + status);
}

TEST_CASE("a failure is hard, unless it may pass by itself") {
  const std::string to = "Final-Recipient: rfc822; x@y.example\r\n";
  CHECK(kind(report(to + "Action: failed\r\nStatus: 5.1.1 (no such user)\r\n")) == "hard 5.1.1");
  CHECK(kind(report(to + "Action: Failed (by us)\r\nStatus: 5.7.1\r\n", "message/global-delivery-status")) ==
        "hard 5.7.1");
  CHECK(kind(report(to + "Action: failed\r\n")) == "hard");
  CHECK(kind(report(to + "Action: failed\r\nStatus: nonsense\r\n")) == "hard");
  CHECK(kind(report(to + "Action: failed\r\nStatus: 5.2.2\r\n")) == "soft 5.2.2");
  CHECK(kind(report(to + "Action: failed\r\nStatus: 4.4.7\r\n")) == "soft 4.4.7");
  CHECK(kind(report(to + "Action: delayed\r\nStatus: 4.4.1\r\n")) == "soft 4.4.1");
  CHECK(kind(report(to + "Action: relayed\r\nStatus: 2.0.0\r\n")) == "");
}

TEST_CASE("the worst of several recipients counts") {
  CHECK(kind(report("Action: delivered\r\nStatus: 2.0.0\r\n\r\nAction: delayed\r\nStatus: 4.2.2\r\n\r\n"
                    "\r\nAction: failed\r\nStatus: 5.1.2\r\n\r\nAction: failed\r\nStatus: 5.2.2\r\n")) == "hard 5.1.2");
}

TEST_CASE("what is no delivery report gets no note") {
  CHECK(kind("Subject: hello\r\n") == "");
  CHECK(kind("Subject: hello\r\n\r\nAction: failed\r\nStatus: 5.1.1") == "");
  // Somebody sends on a report that he got: nothing failed here.
  const std::string inner = report("Action: failed\r\nStatus: 5.1.1\r\n");
  CHECK(kind("Content-Type: multipart/mixed; boundary=f\r\n\r\n--f\r\n\r\nsee below\r\n--f\r\n"
             "Content-Type: message/rfc822\r\n\r\n" +
             inner + "\r\n--f--\r\n") == "");
}

TEST_CASE("an encoded report is read, under a note of one's own choice") {
  Mail m(
      "Content-Type: multipart/report; report-type=delivery-status; boundary=r\r\n\r\n--r\r\n"
      "Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
      "Reporting-MTA: dns; a\r\n\r\nAction: fa=\r\niled\r\nStatus: 5=2E1.1\r\n--r--\r\n");
  REQUIRE(m.act("classify_bounce", value("kind"), only(0)));
  CHECK(std::get<std::string>(m.mail.notes.at("kind")) == "hard");
  CHECK(std::get<std::string>(m.mail.notes.at("kind_status")) == "5.1.1");
  CHECK(m.select("has_note", list("kind", "hard")) == "0-2");
  CHECK(m.complaint("classify_bounce", value("")) == "note must not be empty");
}

}  // namespace
}  // namespace postern::mailets

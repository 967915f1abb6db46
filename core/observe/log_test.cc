// What lines look like, and which of them are written.
#include <doctest/doctest.h>

#include <array>
#include <limits>
#include <string>

#include "core/observe/format.h"
#include "core/observe/log_levels.h"

namespace postern {
namespace {

constexpr WallTime kTen = std::chrono::sys_days(std::chrono::year(2026) / 11 / 21) + 10h + 123456us;

std::string line(LogFormat format, LogFields fields, std::string_view bound = {}, bool journald = false,
                 LogLevel level = LogLevel::kInfo) {
  std::array<char, LogSystem::kMaxLineBytes> room;
  TimeStamp stamp;
  return std::string(format_line(room, format, journald, stamp, kTen, {level, "rcpt.refused", bound}, fields));
}
std::string text(LogFields fields) {
  std::string all = line(LogFormat::kText, fields);
  return all.substr(sizeof "2026-11-21T10:00:00.123456Z info rcpt.refused" - 1,
                    all.size() - sizeof "2026-11-21T10:00:00.123456Z info rcpt.refused");
}
std::string json(LogFields fields) {
  std::string all = line(LogFormat::kJson, fields);
  return all.substr(all.find("refused\"") + 8);
}

TEST_CASE("a line of text has time, level, event and fields") {
  CHECK(line(LogFormat::kText, {{"rcpt", "a@example.org"}, {"code", 550}}) ==
        "2026-11-21T10:00:00.123456Z info rcpt.refused rcpt=a@example.org code=550\n");
  CHECK(line(LogFormat::kText, {}, " session=1", true, LogLevel::kWarn) ==
        "<4>2026-11-21T10:00:00.123456Z warn rcpt.refused session=1\n");
}

TEST_CASE("a line of JSON has the same") {
  CHECK(line(LogFormat::kJson, {{"rcpt", "a@example.org"}, {"code", 550}}, ",\"session\":\"1\"") ==
        "{\"time\":\"2026-11-21T10:00:00.123456Z\",\"level\":\"info\",\"event\":\"rcpt.refused\",\"session\":\"1\","
        "\"rcpt\":\"a@example.org\",\"code\":550}\n");
}

TEST_CASE("every type of value is written in both formats") {
  LogFields fields = {
      {"i", -5},   {"u", std::uint64_t{18446744073709551615u}},    {"d", 2.5}, {"b", true}, {"t", 1500us},
      {"n", -90s}, {"m", std::numeric_limits<std::int64_t>::min()}};
  CHECK(text(fields) == " i=-5 u=18446744073709551615 d=2.5 b=true t=0.001500 n=-90.000000 m=-9223372036854775808");
  CHECK(json(fields) ==
        ",\"i\":-5,\"u\":18446744073709551615,\"d\":2.5,\"b\":true,\"t\":0.001500,\"n\":-90.000000,\"m\":-"
        "9223372036854775808}\n");
  CHECK(text({{"x", std::numeric_limits<double>::quiet_NaN()}, {"y", -std::numeric_limits<double>::infinity()}}) ==
        " x=nan y=-inf");
  CHECK(json({{"x", std::numeric_limits<double>::infinity()}}) == ",\"x\":null}\n");
}

TEST_CASE("values that could be misread are quoted") {
  CHECK(text({{"v", ""}}) == " v=\"\"");
  CHECK(text({{"v", "a b"}}) == " v=\"a b\"");
  CHECK(text({{"v", "a=b"}}) == " v=\"a=b\"");
  CHECK(text({{"v", "say \"hi\" \\o/"}}) == " v=\"say \\\"hi\\\" \\\\o/\"");
  CHECK(text({{"v", "gr\xc3\xbc\xc3\x9f"}}) == " v=\"gr\xc3\xbc\xc3\x9f\"");
}

TEST_CASE("control characters and broken UTF-8 never reach the log raw") {
  CHECK(text({{"v", "a\r\n250 ok\x1b[2J\x7f\t"}}) == " v=\"a\\r\\n250 ok\\x1b[2J\\x7f\\t\"");
  CHECK(text({{"v", std::string_view("\0", 1)}}) == " v=\"\\x00\"");
  CHECK(text({{"v",
               "\xc2\x9b"
               "31m"}}) == " v=\"\\u009b31m\"");  // CSI as a C1 control
  CHECK(text({{"v", "\xff\xc0\xaf\xed\xa0\x80\xe2\x82"}}) == " v=\"\\xff\\xc0\\xaf\\xed\\xa0\\x80\\xe2\\x82\"");
  CHECK(json({{"v", "a\n\x1b\xff"}}) == ",\"v\":\"a\\n\\u001b\\ufffd\"}\n");
}

TEST_CASE("characters that turn or break a line for its reader are escaped, in text and in JSON") {
  for (const auto& [raw, escaped] :
       std::initializer_list<std::pair<std::string_view, std::string_view>>{{"\xe2\x80\xa8", "\\u2028"},
                                                                            {"\xe2\x80\xa9", "\\u2029"},
                                                                            {"\xe2\x80\xaa", "\\u202a"},
                                                                            {"\xe2\x80\xae", "\\u202e"},
                                                                            {"\xe2\x81\xa6", "\\u2066"},
                                                                            {"\xe2\x81\xa9", "\\u2069"},
                                                                            {"\xe2\x80\x8e", "\\u200e"},
                                                                            {"\xe2\x80\x8f", "\\u200f"},
                                                                            {"\xd8\x9c", "\\u061c"},
                                                                            {"\xc2\x85", "\\u0085"}}) {
    CHECK(text({{"v", "a" + std::string(raw) + "b"}}) == " v=\"a" + std::string(escaped) + "b\"");
    CHECK(json({{"v", "a" + std::string(raw) + "b"}}) == ",\"v\":\"a" + std::string(escaped) + "b\"}\n");
  }
  // Their neighbours, and letters of those who write from right to left, stay.
  for (const std::string same : {"\xe2\x80\x8d", "\xe2\x80\xa7", "\xe2\x80\xaf", "\xe2\x81\xa5", "\xe2\x81\xaa",
                                 "\xd8\x9b", "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", "\xc2\xa0"})
    CHECK(text({{"v", same}}) == " v=\"" + same + "\"");
}

TEST_CASE("long values and long lines are cut and say so") {
  std::string longest(LogSystem::kMaxFieldBytes, 'x');
  CHECK(text({{"v", longest}}) == " v=" + longest);
  CHECK(text({{"v", longest + "x"}}) == " v=\"" + longest + "...\"");
  CHECK(json({{"v", longest + "x"}}) == ",\"v\":\"" + longest + "...\"}\n");

  std::string controls(LogSystem::kMaxFieldBytes, '\x01');  // four octets each when escaped
  std::string cut = line(LogFormat::kText, {{"a", controls}, {"b", controls}, {"c", 1}});
  CHECK(cut.size() < LogSystem::kMaxLineBytes);
  CHECK(cut.ends_with("\" cut=true\n"));
  CHECK(cut.find(" a=") != std::string::npos);
  CHECK(cut.find(" b=") == std::string::npos);
  std::string cut_json = line(LogFormat::kJson, {{"a", controls}, {"b", controls}});
  CHECK(cut_json.ends_with("\",\"cut\":true}\n"));
}

TEST_CASE("the stamp follows the clock across seconds, days and before 1970") {
  TimeStamp stamp;
  auto at = [&](WallTime when) {
    std::array<char, 64> room;
    LineBuffer out(room);
    stamp.put(out, when);
    return std::string(out.view());
  };
  CHECK(at(kTen) == "2026-11-21T10:00:00.123456Z");
  CHECK(at(kTen + 1us) == "2026-11-21T10:00:00.123457Z");
  CHECK(at(kTen + 14h) == "2026-11-22T00:00:00.123456Z");
  CHECK(at(WallTime(-1us)) == "1969-12-31T23:59:59.999999Z");
}

TEST_CASE("levels are set for all events and by prefix") {
  LogLevels levels(LogLevel::kInfo);
  CHECK(levels.allows(LogLevel::kInfo, "smtp.data"));
  CHECK_FALSE(levels.allows(LogLevel::kDebug, "smtp.data"));

  REQUIRE(levels.set("smtp", LogLevel::kDebug));
  REQUIRE(levels.set("smtp.tls", LogLevel::kError));
  CHECK(levels.floor().load() == LogLevel::kDebug);
  CHECK(levels.allows(LogLevel::kDebug, "smtp"));
  CHECK(levels.allows(LogLevel::kDebug, "smtp.data"));
  CHECK_FALSE(levels.allows(LogLevel::kDebug, "smtpd.data"));
  CHECK_FALSE(levels.allows(LogLevel::kWarn, "smtp.tls.failed"));
  CHECK(levels.allows(LogLevel::kError, "smtp.tls.failed"));

  REQUIRE(levels.set("smtp", std::nullopt));
  CHECK_FALSE(levels.allows(LogLevel::kDebug, "smtp.data"));
  CHECK(levels.floor().load() == LogLevel::kInfo);
  levels.set(LogLevel::kOff);
  CHECK_FALSE(levels.allows(LogLevel::kError, "pop3.login"));
  CHECK(levels.allows(LogLevel::kError, "smtp.tls.failed"));
}

TEST_CASE("there are only so many rules, and each prefix counts once") {
  LogLevels levels(LogLevel::kInfo);
  for (std::size_t at = 0; at < LogSystem::kMaxRules; ++at) {
    REQUIRE(levels.set("room" + std::to_string(at), LogLevel::kDebug));
    REQUIRE(levels.set("room" + std::to_string(at), LogLevel::kTrace));
  }
  auto refused = levels.set("one.more", LogLevel::kDebug);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == "log.rules");
}

TEST_CASE("level names read back as written") {
  for (auto level :
       {LogLevel::kTrace, LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarn, LogLevel::kError, LogLevel::kOff})
    CHECK(parse_log_level(to_text(level)) == level);
  CHECK_FALSE(parse_log_level("loud"));
}

TEST_CASE("a captured log keeps events, levels and fields") {
  CaptureLog capture;
  Log log = capture.log();
  Log session = log.with({{"session", "4f1c"}}).with({{"ip", "192.0.2.1"}});
  session.info("rcpt.refused", {{"rcpt", "a b\n\"\xc2\x9b\xff"}, {"code", 550}, {"empty", ""}});
  log.debug("other");
  REQUIRE(capture.lines().size() == 2);
  CHECK(capture.lines()[0].fields == "session=4f1c ip=192.0.2.1 rcpt=\"a b\\n\\\"\\u009b\\xff\" code=550 empty=\"\"");
  const CaptureLog::Line* line = capture.last("rcpt.refused");
  REQUIRE(line != nullptr);
  CHECK(line->level == LogLevel::kInfo);
  CHECK(line->field("session") == "4f1c");
  CHECK(line->field("rcpt") == "a b\n\"\xc2\x9b\xff");
  CHECK(line->field("code") == "550");
  CHECK(line->field("empty") == "");
  CHECK_FALSE(line->field("sess"));
  CHECK(capture.count("other") == 1);
  CHECK(capture.last("none") == nullptr);
}

TEST_CASE("a level that is off, and a log without a target, write nothing") {
  CaptureLog capture(LogLevel::kWarn);
  capture.log().info("quiet");
  capture.log().warn("loud");
  CHECK(capture.lines().size() == 1);
  Log nowhere;
  CHECK_FALSE(nowhere.enabled(LogLevel::kError));
  nowhere.with({{"a", 1}}).error("lost");
}

TEST_CASE("bound fields are bounded") {
  CaptureLog capture;
  Log log = capture.log();
  for (int at = 0; at < 100; ++at) log = log.with({{"field", std::string(100, 'x')}});
  log.info("event");
  CHECK(capture.lines().front().fields.size() < 2100);
  CHECK(capture.lines().front().fields.ends_with("x"));
}

}  // namespace
}  // namespace postern

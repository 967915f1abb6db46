#include "srs.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "postern/random.h"
#include "postern/text.h"
#include "secrets.h"

using namespace postern;
using namespace postern::queue;

namespace {

const WallTime kNow{std::chrono::seconds(1'800'000'000)};

Address address(std::string_view text) {
  auto parsed = Address::parse(text, {.max_local_part = 250});
  REQUIRE(parsed);
  return *parsed;
}

Srs make(std::string_view domain, std::string key = "a key of sixteen or more") {
  SrsOptions options;
  options.domain = *Domain::parse(domain);
  options.keys = {std::move(key)};
  return Srs(std::move(options));
}

Result<Srs> load(SrsOptions options, const std::string& file, bool make) {
  auto secrets = load_secrets(file, make);
  if (!secrets) return std::unexpected(secrets.error());
  options.keys = std::move(secrets->all);
  return Srs(std::move(options));
}

std::string code(const Result<Address>& result) {
  return result ? result->to_string() : result.error().code;
}

struct Folder {
  Folder() : path(std::filesystem::temp_directory_path() / ("postern-srs-" + random_base32(12))) {
    std::filesystem::create_directory(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file(std::string_view content) const {
    const auto name = path / "key";
    std::ofstream(name) << content;
    return name.string();
  }
  std::filesystem::path path;
};

}  // namespace

TEST_CASE("there and back") {
  const Srs srs = make("b.example");
  for (const char* text : {"ann@a.example", "ann+tag=x@a.example", "a=b=c@sub.a.example", "\"odd name\"@a.example",
                           "ann@[192.0.2.1]", "ANN@a.example"}) {
    auto there = srs.forward(address(text), kNow);
    REQUIRE(there);
    CHECK(there->domain().ascii() == "b.example");
    CHECK(srs.is_srs(*there));
    CHECK(code(srs.reverse(*there, kNow)) == text);
  }
}

TEST_CASE("a second forwarder leads back to the first one, and a third does too") {
  const Srs b = make("b.example", "the key of server b....");
  const Srs c = make("c.example", "the key of server c....");
  const Srs d = make("d.example", "the key of server d....");
  auto first = b.forward(address("ann@a.example"), kNow);
  REQUIRE(first);
  auto second = c.forward(*first, kNow);
  REQUIRE(second);
  CHECK(second->local().starts_with("SRS1="));
  auto third = d.forward(*second, kNow);
  REQUIRE(third);
  CHECK(third->local().size() == second->local().size());
  CHECK(code(c.reverse(*second, kNow)) == first->to_string());
  CHECK(code(d.reverse(*third, kNow)) == first->to_string());
  CHECK(code(b.reverse(*first, kNow)) == "ann@a.example");
}

TEST_CASE("nobody and our own senders stay as they are") {
  const Srs srs = make("b.example");
  CHECK(srs.forward(Address(), kNow)->is_null());
  CHECK(code(srs.forward(address("bob@b.example"), kNow)) == "bob@b.example");
}

TEST_CASE("servers that change the case of letters do no harm") {
  const Srs srs = make("b.example");
  auto there = srs.forward(address("ann@a.example"), kNow);
  REQUIRE(there);
  CHECK(code(srs.reverse(address(to_lower(there->to_string())), kNow)) == "ann@a.example");
  CHECK(code(srs.reverse(address(to_upper(there->local()) + "@b.example"), kNow)) == "ANN@a.example");
}

TEST_CASE("a hash that we did not make is refused, whatever was changed") {
  const Srs srs = make("b.example");
  const std::string good = srs.forward(address("ann@a.example"), kNow)->local();
  CHECK(code(srs.reverse(address(good + "e@b.example"), kNow)) == "srs.hash");
  std::string other = good;
  other.replace(other.find("a.example"), 9, "z.example");
  CHECK(code(srs.reverse(address(other + "@b.example"), kNow)) == "srs.hash");
  CHECK(code(srs.reverse(address("SRS0=AAAAAA=AA=a.example=ann@b.example"), kNow)) == "srs.hash");
  CHECK(code(srs.reverse(address("SRS0=" + good.substr(5, 3) + good.substr(11) + "@b.example"), kNow)) == "srs.hash");
  CHECK(code(make("b.example", "quite another key here").reverse(address(good + "@b.example"), kNow)) == "srs.hash");
}

TEST_CASE("what is no whole SRS address is refused as such") {
  const Srs srs = make("b.example");
  for (const char* text : {"SRS0=x@b.example", "SRS0=a=b@b.example", "SRS0=a=b=c@b.example", "SRS1=a=b@b.example"})
    CHECK(code(srs.reverse(address(text), kNow)) == "srs.syntax");
  CHECK_FALSE(srs.is_srs(address("ann@b.example")));
  CHECK_FALSE(srs.is_srs(address("SRS0=AAAA=BB=a.example=ann@else.example")));
  CHECK_FALSE(srs.is_srs(address("SRS2=AAAA=BB=a.example=ann@b.example")));
}

TEST_CASE("a bounce may come for three weeks, and not from the future") {
  const Srs srs = make("b.example");
  auto there = srs.forward(address("ann@a.example"), kNow);
  REQUIRE(there);
  CHECK(srs.reverse(*there, kNow + std::chrono::days(21)));
  CHECK(code(srs.reverse(*there, kNow + std::chrono::days(22))) == "srs.expired");
  CHECK(code(srs.reverse(*there, kNow - std::chrono::days(1))) == "srs.expired");
  // The stamp begins anew every 1024 days.
  const WallTime end{std::chrono::days(1024 * 20 - 1)};
  auto late = srs.forward(address("ann@a.example"), end);
  CHECK(code(srs.reverse(*late, end + std::chrono::days(2))) == "ann@a.example");
}

TEST_CASE("an older key is still believed, and a new one made when there is none") {
  const Folder folder;
  SrsOptions options;
  options.domain = *Domain::parse("b.example");
  auto old = load(options, folder.file("# keys\n\nthe first key of all.\n"), false);
  REQUIRE(old);
  auto there = old->forward(address("ann@a.example"), kNow);
  auto both = load(options, folder.file("a second, newer key...\r\nthe first key of all.\n"), false);
  REQUIRE(both);
  CHECK(code(both->reverse(*there, kNow)) == "ann@a.example");
  CHECK_FALSE(load(options, folder.file("short\n"), false));
  CHECK_FALSE(load(options, folder.file("# nothing\n"), false));
  const std::string fresh = (folder.path / "fresh").string();
  CHECK_FALSE(load(options, fresh, false));
  auto made = load(options, fresh, true);
  REQUIRE(made);
  auto again = load(options, fresh, true);
  REQUIRE(again);
  CHECK(code(again->reverse(*made->forward(address("ann@a.example"), kNow), kNow)) == "ann@a.example");
  struct stat info{};
  REQUIRE(::stat(fresh.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
}

TEST_CASE("long senders are rewritten up to a limit, and refused beyond") {
  const Srs srs = make("b.example");
  const std::string domain = std::string(60, 'd') + ".example";
  auto wide = srs.forward(address(std::string(60, 'l') + "@" + domain), kNow);
  REQUIRE(wide);
  CHECK(wide->local().size() > 64);
  CHECK(code(srs.reverse(*wide, kNow)) == std::string(60, 'l') + "@" + domain);
  const std::string long_domain =
      std::string(60, 'd') + "." + std::string(60, 'e') + "." + std::string(40, 'f') + ".example";
  CHECK(code(srs.forward(address(std::string(64, 'l') + "@" + long_domain), kNow)) == "srs.too_long");
}

TEST_CASE("what the published tool once wrote is what we write") {
  SrsOptions options;
  options.domain = *Domain::parse("b.example");
  options.keys = {"a-key-for-both-sides"};
  const Srs srs(options);
  const WallTime then{std::chrono::seconds(1'795'314'521)};
  CHECK(code(srs.forward(address("ann@a.example"), then)) == "SRS0=sp+jWD=JL=a.example=ann@b.example");
  CHECK(code(srs.forward(address("SRS0=abcd=XY=a.example=ann@far.example"), then)) ==
        "SRS1=7RBMcF=far.example==abcd=XY=a.example=ann@b.example");
}

TEST_CASE("the published tool reads what we write, and we what it writes") {
  if (std::system("command -v srs >/dev/null 2>&1") != 0) {
    MESSAGE("the program srs is not installed: skipped");
    return;
  }
  const auto run = [](const std::string& command) {
    std::string out;
    FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    REQUIRE(pipe != nullptr);
    char buffer[256];
    while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) out += buffer;
    ::pclose(pipe);
    return std::string(trim(out));
  };
  const std::string key = "a-key-for-both-sides";
  SrsOptions options;
  options.domain = *Domain::parse("b.example");
  options.keys = {key};
  const Srs ours(options);
  const WallTime now = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  const std::string there = ours.forward(address("ann@a.example"), now)->to_string();
  CHECK(run("srs --secret=" + key + " --hashlength=6 --reverse '" + there + "'") == "ann@a.example");
  const std::string theirs = run("srs --secret=" + key + " --alias=b.example --forward ann@a.example");
  CHECK(code(ours.reverse(address(theirs), now)) == "ann@a.example");
  const std::string foreign = run("srs --secret=other-key-elsewhere --alias=far.example --forward ann@a.example");
  const std::string further = run("srs --secret=" + key + " --alias=b.example --forward " + foreign);
  CHECK(further.starts_with("SRS1"));
  CHECK(code(ours.reverse(address(further), now)) == foreign);
  const std::string ours_further = ours.forward(address(foreign), now)->to_string();
  CHECK(run("srs --secret=" + key + " --hashlength=6 --reverse '" + ours_further + "'") == foreign);
}

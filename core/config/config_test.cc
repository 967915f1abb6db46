// Loading: values, defaults, origins, checks, waivers, and what a reload would change.
#include <doctest/doctest.h>

#include "core/config/testing.h"
#include "core/config/toml_guard.h"

namespace postern {
namespace {

using config_testing::Pop3;
using config_testing::Role;
using config_testing::Server;

const std::string kHost = "hostname = \"mx.example.org\"\n";

struct Loaded {
  std::shared_ptr<const Config> config;
  Diagnostics diagnostics;
};
Loaded load(const std::string& text) {
  ConfigSchemas schemas;
  config_testing::add_all(schemas);
  Loaded loaded;
  loaded.config = Config::parse(schemas, "postern.toml", text, loaded.diagnostics, "/etc/postern");
  return loaded;
}
std::shared_ptr<const Config> good(const std::string& text) {
  Loaded loaded = load(kHost + text);
  REQUIRE_MESSAGE(loaded.config != nullptr, loaded.diagnostics.render());
  return loaded.config;
}

TEST_CASE("what no file says stays at its default") {
  auto config = good("");
  const Pop3& pop3 = config->get<Pop3>();
  CHECK(pop3.idle_timeout == 10min);
  CHECK(pop3.hosts == std::vector<std::string>{"localhost"});
  CHECK(pop3.limits.per_minute == 60);
  CHECK_FALSE(pop3.strangers);
  CHECK(pop3.banner == "/etc/postern/banner.txt");  // defaults are relative to the same folder
  CHECK(config->get<Server>().listeners.empty());
}

TEST_CASE("every kind of field is read") {
  auto config = good(R"(
[[listener]]
address = "0.0.0.0:25"
[[listener]]
address = "unix:/run/lmtp"
role = "submission"
proxy = true
max_message = "2 MB"
[domain."example.org"]
aliases = ["example.net", "example.com"]
[domain.other]
postmaster = "root"
[pop3]
idle_timeout = "1h30m"
max_line = 512
hosts = ["a", "b"]
apop = true
buffer = "16 KiB"
policy = "lenient"
password = "sesame"
banner = "../b.txt"
source = "2001:db8::1"
networks = ["10.0.0.0/8", "::1"]
weights = { a = 1, "b c" = -2 }
[pop3.limits]
per_minute = 5
[pop3.strangers]
ratio = 1
)");
  const Server& server = config->get<Server>();
  REQUIRE(server.listeners.size() == 2);
  CHECK(server.listeners[0].role == Role::kMx);
  CHECK_FALSE(server.listeners[0].max_message);
  CHECK(server.listeners[1].address.path == "/run/lmtp");
  CHECK(server.listeners[1].role == Role::kSubmission);
  CHECK(server.listeners[1].proxy);
  CHECK(server.listeners[1].max_message == Size{2'000'000});
  CHECK(server.domains.at("example.org").aliases.size() == 2);
  CHECK(server.domains.at("other").postmaster == "root");
  const Pop3& pop3 = config->get<Pop3>();
  CHECK(pop3.idle_timeout == 90min);
  CHECK(pop3.max_line == 512);
  CHECK(pop3.hosts == std::vector<std::string>{"a", "b"});
  CHECK(pop3.apop);
  CHECK(pop3.buffer == 16_KiB);
  CHECK(pop3.policy == "lenient");
  CHECK(pop3.banner == "/etc/b.txt");
  CHECK(pop3.source.to_string() == "2001:db8::1");
  CHECK(pop3.networks.size() == 2);
  CHECK(pop3.weights == std::map<std::string, std::int64_t>{{"a", 1}, {"b c", -2}});
  CHECK(pop3.limits.per_minute == 5);
  REQUIRE(pop3.strangers);
  CHECK(pop3.strangers->ratio == 1.0);
}

TEST_CASE("values keep where they were written") {
  auto config =
      good("[[listener]]\naddress = \"0.0.0.0:25\"\n[pop3]\nhosts = [\"a\",\n  \"b\"]\nweights = { x = 1 }\n");
  const Pop3& pop3 = config->get<Pop3>();
  CHECK(pop3.origin().to_string() == "postern.toml:4:2");
  CHECK(pop3.origin("hosts").to_string() == "postern.toml:5:9");
  CHECK(pop3.origin("hosts[1]").to_string() == "postern.toml:6:3");
  CHECK(pop3.origin("weights.x").to_string() == "postern.toml:7:17");
  CHECK(pop3.origin("apop").to_string() == pop3.origin().to_string());
  CHECK(pop3.is_set("hosts"));
  CHECK_FALSE(pop3.is_set("apop"));
  CHECK(config->get<Server>().listeners[0].origin("address").to_string() == "postern.toml:3:11");
}

TEST_CASE("all errors come at once, in the order of the file") {
  Loaded loaded = load("hostname = \"x\"\nfoo = 1\n[pop3]\nmax_line = 1\n[[listener]]\n");
  CHECK(loaded.config == nullptr);
  CHECK(loaded.diagnostics.errors() == 4);
  std::string all = loaded.diagnostics.render();
  CHECK(all.find("toml:1:12") < all.find("toml:2:1"));
  CHECK(all.find("toml:2:1") < all.find("toml:4:12"));
  CHECK(all.find("toml:4:12") < all.find("toml:5:1"));
}

TEST_CASE("warnings can be waived by code, with a reason") {
  Loaded loaded =
      load(kHost + "[[waive]]\nwarning = \"pop3.long-lines\"\nreason = \"old clients\"\n[pop3]\nmax_line = 2000\n");
  CHECK(loaded.config != nullptr);
  CHECK(loaded.diagnostics.render() == "");
  CHECK(loaded.diagnostics.unused_waivers().empty());

  loaded = load(kHost + "[[waive]]\nwarning = \"pop3.long-lines\"\nreason = \"\"\nuntil = 1\n");
  CHECK(loaded.config == nullptr);
  CHECK(loaded.diagnostics.errors() == 2);

  loaded = load(kHost + "waive = [1]\n");
  CHECK(loaded.diagnostics.errors() == 1);
}

TEST_CASE("the configuration in force is shown with origins, secrets hidden, and reads back") {
  auto config = good(
      "[[listener]]\naddress = \"[::1]:25\"\n[domain.\"example.org\"]\n[pop3]\npassword = \"sesame\"\nweights.a = 1\n");
  CHECK(config->render(true) ==
        "hostname = \"mx.example.org\"                     # postern.toml:1:1\n"
        "\n"
        "[[listener]]                                    # postern.toml:2:1\n"
        "address = \"[::1]:25\"                            # postern.toml:3:1\n"
        "role = \"mx\"                                     # default\n"
        "proxy = false                                   # default\n"
        "\n"
        "[domain.\"example.org\"]                          # postern.toml:4:9\n"
        "postmaster = \"postmaster\"                       # default\n"
        "aliases = []                                    # default\n"
        "\n"
        "[pop3]\n"
        "idle_timeout = \"10m\"                            # default\n"
        "max_line = 255                                  # default\n"
        "hosts = [\"localhost\"]                           # default\n"
        "apop = false                                    # default\n"
        "buffer = \"64 KiB\"                               # default\n"
        "policy = \"strict\"                               # default\n"
        "password = \"(hidden)\"                           # postern.toml:6:1\n"
        "greeting = \"ready\"                              # default\n"
        "banner = \"/etc/postern/banner.txt\"              # default\n"
        "source = \"0.0.0.0\"                              # default\n"
        "networks = []                                   # default\n"
        "weights = { a = 1 }                             # postern.toml:7:1\n"
        "\n"
        "[pop3.limits]\n"
        "per_minute = 60                                 # default\n"
        "ratio = 0.5                                     # default\n");
  Loaded again = load(config->render(false));
  REQUIRE_MESSAGE(again.config != nullptr, again.diagnostics.render());
  CHECK(again.config->render(false) == config->render(false));
}

TEST_CASE("two configurations are compared setting by setting") {
  auto before = good("[pop3]\npassword = \"one\"\nmax_line = 300\n");
  auto after = good(
      "[[listener]]\naddress = \"[::1]:25\"\n[pop3]\n# moved\npassword = \"two\"\nmax_line = 300\nlimits.per_minute = "
      "61\nhosts = [\"x\"]\n");
  std::string all;
  for (const ConfigChange& change : before->compare(*after)) {
    const char* when[] = {"live", "new sessions", "restart"};
    all += change.path + ": " + change.before + " -> " + change.after + " (" + when[static_cast<int>(change.apply)] +
           ")\n";
  }
  CHECK(all ==
        "listener[0]:  -> [[listener]] (restart)\n"
        "listener[0].address:  -> \"[::1]:25\" (restart)\n"
        "listener[0].proxy:  -> false (restart)\n"
        "listener[0].role:  -> \"mx\" (restart)\n"
        "pop3.hosts: [\"localhost\"] -> [\"x\"] (new sessions)\n"
        "pop3.limits.per_minute: 60 -> 61 (live)\n"
        "pop3.password: \"(hidden)\" -> \"(hidden)\" (new sessions)\n");
  CHECK(before->compare(*before).empty());
  CHECK(after->compare(*before).size() == 7);
}

struct Unknown {};
struct Again {
  int max_line = 0;
};
void describe(Schema<Again>& s) {
  s.table("pop3", "Again.");
  s.field("max_line", &Again::max_line, "A line.");
}
struct Inside {
  int x = 0;
};
void describe(Schema<Inside>& s) {
  s.table("pop3.limits", "Inside another's table.");
  s.field("x", &Inside::x, "X.");
}
struct Beside {
  int x = 3;
};
void describe(Schema<Beside>& s) {
  s.table("pop3.more.deep", "Beside another's table.");
  s.field("x", &Beside::x, "X.");
}
struct Nameless {
  Role role = Role::kMx;
};
void describe(Schema<Nameless>& s) {
  s.field("role", &Nameless::role, "No names.");
}
struct Greedy {
  int include = 0;
};
void describe(Schema<Greedy>& s) {
  s.field("include", &Greedy::include, "Not ours.");
}

TEST_CASE("wrong declarations are refused at start") {
  ConfigSchemas schemas;
  config_testing::add_all(schemas);
  CHECK_THROWS_AS(schemas.add<Pop3>(), Error);
  CHECK_THROWS_AS(schemas.add<Again>(), Error);
  CHECK_THROWS_AS(schemas.add<Inside>(), Error);
  CHECK_THROWS_AS(schemas.add<Nameless>(), Error);
  CHECK_THROWS_AS(schemas.add<Greedy>(), Error);
  CHECK_THROWS_AS(good("")->get<Unknown>(), Error);
}

TEST_CASE("a module may have a table inside another module's") {
  ConfigSchemas schemas;
  config_testing::add_all(schemas);
  schemas.add<Beside>();
  Diagnostics diagnostics;
  auto config =
      Config::parse(schemas, "postern.toml", kHost + "[pop3]\nmax_line = 300\n[pop3.more.deep]\nx = 4\n", diagnostics);
  REQUIRE_MESSAGE(config != nullptr, diagnostics.render());
  CHECK(config->get<Beside>().x == 4);
  CHECK(config->get<Pop3>().max_line == 300);
  Config::parse(schemas, "postern.toml", kHost + "[pop3.mor.deep]\nx = 4\n[pop3.more]\ny = 1\n", diagnostics);
  CHECK(diagnostics.errors() == 2);
}

TEST_CASE("hostile files are refused, not suffered") {
  std::string nested = "x = " + std::string(40, '[') + std::string(40, ']');
  CHECK(load(nested).diagnostics.render().find("nested more than 32 deep") != std::string::npos);
  std::string long_line = "x = \"" + std::string(kMaxConfigLine, 'x') + "\"";
  CHECK(load(long_line).diagnostics.render().find("longer than 8192 octets") != std::string::npos);
  std::string huge(Config::kMaxFileBytes + 1, '\n');
  CHECK(load(huge).diagnostics.render().find("larger than 4 MiB") != std::string::npos);
  CHECK(load("a = \"\xff\"").diagnostics.render().find("UTF-8") != std::string::npos);
  CHECK(load("\xef\xbb\xbf# \xc3\xa4\n'\xc3\xa4' = '\'").diagnostics.render().find("quotes and comments only") ==
        std::string::npos);
  for (std::string quoted :
       {"\"\xc3\xa4\\\"\xc3\xa4\"", "'\xc3\xa4'", "\"\"\"\xc3\xa4\n\"\xc3\xa4\"\"\"\"", "'''\xc3\xa4\n\xc3\xa4'''"}) {
    CAPTURE(quoted);
    CHECK(load("x = " + quoted + " # \xc3\xa4\n").diagnostics.render().find("unknown key \"x\"") != std::string::npos);
  }
  std::string many;
  for (int at = 0; at < 1000; ++at) many += "k" + std::to_string(at) + " = 1\n";
  Diagnostics diagnostics = load(many).diagnostics;
  CHECK(diagnostics.errors() == 1001);
  CHECK(diagnostics.items().size() == Diagnostics::kMaxItems);
  CHECK(diagnostics.render().ends_with("801 more problems are not shown\n"));
}

}  // namespace
}  // namespace postern

// Loading: values, defaults, origins, and whole error messages as an administrator sees them.
#include <doctest/doctest.h>

#include "core/config/testing.h"

namespace postern {
namespace {

using config_testing::Pop3;
using config_testing::Role;
using config_testing::Server;

struct Loaded {
  std::shared_ptr<const Config> config;
  std::string messages;
};
Loaded load(std::string text) {
  ConfigSchemas schemas;
  config_testing::add_all(schemas);
  Diagnostics diagnostics;
  auto config = Config::parse(schemas, "postern.toml", std::move(text), diagnostics, "/etc/postern");
  return {config, diagnostics.render()};
}
// Everything wrong with a [pop3] table of these lines; the first of them is line 3.
std::string wrong(const std::string& lines) {
  Loaded loaded = load("hostname = \"mx.example.org\"\n[pop3]\n" + lines);
  CHECK(loaded.config == nullptr);
  return loaded.messages;
}

}  // namespace
}  // namespace postern
using namespace postern;
TEST_CASE("print") {
  for (std::string s : {"idle_timout = \"10m\"", "idle_timeout = 10", "idle_timeout = \"1m\"", "idle_timeout = \"10 parsecs\"", "idle_timeout = \"2d\"",
   "max_line = \"x\"", "max_line = 5000", "max_line = -1", "hosts = \"x\"", "hosts = []", "hosts = [\"a\", 1, \"\"]", "hosts=[\"a\",\"b\",\"c\",\"d\"]", "apop = \"true\"", "apop = true", "buffer = \"2 MiB\"", "buffer = 100",
   "policy = \"lenent\"", "policy = \"xxxxxxx\"", "password = \"verysecretword\"", "password = 12345", "password = [\"sesame\"]", "greeting = \"a\\r\\nb\"", "source = \"300.1.1.1\"", "networks = [\"10.0.0.1/8\"]", "weights = 3", "weights = {a=1,b=9}", "weights={a=1,b=2,c=3}", "weights = {a=[1]}",
   "limits = 5", "limits.per_minute = 0", "limits.ratio = 2", "limits.ratio = nan", "strangers = []", "listener = 1", "[pop33]\nx=1", "[[listener]]\nrole = \"Mx\"\nproxi = true", "[[listener]]\naddress = \"x\"\nmax_message = \"1 B\"", "[listener]\naddress = \"x\"", "[domain.\"a.b\"]\npostmaster = \"\"\nalias = [\"\"]", "[domain]\na=1", "greeting = \"\xc3\xa4\", x", "weights.x = 1979-01-01", "pop3 = 1", "hostname = \"x\""})
    std::puts(wrong(s).c_str());
  auto l = load("hostname = \"localhost\"\nlistener = 1\npop3 = 1\n"); std::puts(l.messages.c_str());
  l = load(""); std::puts(l.messages.c_str());
  l = load("hostname = \"mx.example.org\"\n[[listener]]\naddress=\"[::1]:25\"\nmax_message = \"2 MB\"\n[domain.\"example.org\"]\n[pop3]\npassword = \"x\"\nweights={a=1}\n"); std::puts(l.messages.c_str());
  std::puts(l.config->render(true).c_str());
    ConfigSchemas schemas;
  config_testing::add_all(schemas);
  std::puts(schemas.render_sample().c_str());
  std::puts(schemas.render_manual().c_str());
  std::puts(schemas.render_json_schema().c_str());
}

// The sample, the manual and the JSON schema, made from one declaration.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/config/describe.h"
#include "core/config/testing.h"

namespace postern {
namespace {

ConfigSchemas all() {
  ConfigSchemas schemas;
  config_testing::add_all(schemas);
  return schemas;
}
std::shared_ptr<const Config> good(const std::string& text) {
  ConfigSchemas schemas = all();
  Diagnostics diagnostics;
  auto config = Config::parse(schemas, "postern.toml", text, diagnostics, "/etc/postern");
  REQUIRE_MESSAGE(config != nullptr, diagnostics.render());
  return config;
}

TEST_CASE("the sample loads as it is, and changes nothing") {
  CHECK(good(all().render_sample())->compare(*good("hostname = \"mx.example.org\"\n")).empty());
}

TEST_CASE("each commented setting of the sample is right when uncommented") {
  std::string text = all().render_sample(), uncommented;
  for (std::size_t start = 0; start < text.size();) {
    std::string line = text.substr(start, text.find('\n', start) - start);
    start += line.size() + 1;
    bool is_setting = line.size() > 1 && line[0] == '#' && line[1] != ' ' && !line.starts_with("#include");
    uncommented += (is_setting ? line.substr(1) : line) + "\n";
  }
  auto config = good(uncommented);
  CHECK(config->get<config_testing::Server>().listeners.at(0).max_message == 25_MiB);
  CHECK(config->get<config_testing::Pop3>().strangers->per_minute == 60);
}

TEST_CASE("the sample explains each setting") {
  std::string sample = all().render_sample();
  CHECK(sample.find("\n# How long a silent client is kept.\n"
                    "# (duration, 10m to 1d; applies to new sessions)\n"
                    "# Example: idle_timeout = \"15m\"\n"
                    "#idle_timeout = \"10m\"\n") != std::string::npos);
  CHECK(sample.find("\n# Our name.\n# (text; needs a restart; required)\nhostname = \"mx.example.org\"\n") !=
        std::string::npos);
  CHECK(sample.find("\n# Listeners.\n# (tables, one for each)\n#[[listener]]\n") != std::string::npos);
}

TEST_CASE("the manual has each setting with type, default, effect and text") {
  std::string manual = all().render_manual();
  CHECK(manual.find("\n## `[pop3]`\n\nPOP3 server (RFC 1939).\n") != std::string::npos);
  CHECK(manual.find("\n### `idle_timeout`\n\nduration, 10m to 1d; default `\"10m\"`; applies to new sessions.\n\n"
                    "How long a silent client is kept.\n\n    idle_timeout = \"15m\"\n") != std::string::npos);
  CHECK(manual.find("\n### `password`\n\ntext, at most 8 octets; default `\"\"`; applies to new sessions. Secret: "
                    "never shown.\n") != std::string::npos);
  CHECK(manual.find("\n## `[domain.NAME]`\n") != std::string::npos);
  CHECK(manual.find("\n### `per_minute`\n\ninteger, 1 to 1000; default `60`; applies at once.\n") != std::string::npos);
  CHECK(manual.find("\n### `ratio`\n\nnumber, 0 to 1; default `0.5`; applies to new sessions.\n") != std::string::npos);
}

TEST_CASE("the JSON schema says the same to an editor") {
  auto schema = nlohmann::json::parse(all().render_json_schema());
  CHECK(schema["required"] == nlohmann::json{"hostname"});
  CHECK(schema["additionalProperties"] == false);
  auto& pop3 = schema["properties"]["pop3"];
  CHECK(pop3["additionalProperties"] == false);
  CHECK(pop3["properties"]["max_line"]["minimum"] == 64);
  CHECK(pop3["properties"]["policy"]["enum"] == nlohmann::json{"strict", "lenient"});
  CHECK(pop3["properties"]["hosts"]["maxItems"] == 3);
  auto& listener = schema["properties"]["listener"];
  CHECK(listener["type"] == "array");
  CHECK(listener["items"]["required"] == nlohmann::json{"address"});
  CHECK(listener["items"]["properties"]["role"]["enum"] == nlohmann::json{"mx", "submission"});
}

TEST_CASE("rendering twice gives the same") {
  CHECK(all().render_sample() == all().render_sample());
  CHECK(all().render_manual() == all().render_manual());
  CHECK(all().render_json_schema() == all().render_json_schema());
}

TEST_CASE("text is wrapped at spaces") {
  CHECK(wrapped("one two three", 7) == std::vector<std::string>{"one two", "three"});
  CHECK(wrapped("unbreakable x", 4) == std::vector<std::string>{"unbreakable", "x"});
  CHECK(wrapped("a\n\nb", 10) == std::vector<std::string>{"a", "", "b"});
  CHECK(wrapped("", 10).empty());
}

// Permissions: a number whose example is octal is octal wherever it is written.
struct Socket {
  unsigned mode = 0660;
};
void describe(Schema<Socket>& s) {
  s.table("socket", "A socket.");
  s.field("mode", &Socket::mode, "Its permissions.").range(0, 0777).example("0o640");
}

TEST_CASE("a number whose example is octal is shown in octal everywhere") {
  ConfigSchemas schemas;
  schemas.add<Socket>();
  CHECK(schemas.render_sample().find(
            "# (integer, 0o0 to 0o777; needs a restart)\n# Example: mode = 0o640\n#mode = 0o660\n") !=
        std::string::npos);
  CHECK(schemas.render_manual().find("default `0o660`") != std::string::npos);
  Diagnostics diagnostics;
  auto config = Config::parse(schemas, "postern.toml", "[socket]\nmode = 0o600\n", diagnostics, "/etc/postern");
  REQUIRE(config);
  CHECK(config->get<Socket>().mode == 0600);
  CHECK(config->render(false).find("mode = 0o600\n") != std::string::npos);
  CHECK_FALSE(Config::parse(schemas, "postern.toml", "[socket]\nmode = 660\n", diagnostics, "/etc/postern"));
  CHECK(diagnostics.render().find("socket.mode is 0o1224; the most allowed is 0o777\n") != std::string::npos);
  CHECK(diagnostics.render().find("write it in octal: 0o640\n") != std::string::npos);
}

}  // namespace
}  // namespace postern

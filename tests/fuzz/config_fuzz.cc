// Octets as a configuration file, through a schema with every kind of field. Beyond memory safety it checks that a
// loaded configuration, shown as TOML, loads again and is the same, and that refused files say why.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "core/config/testing.h"

using namespace postern;

namespace {

void expect(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 64 << 10) return 0;
  ConfigSchemas schemas;
  config_testing::add_all(schemas);
  Diagnostics diagnostics;
  auto config = Config::parse(schemas, "fuzz.toml", std::string(reinterpret_cast<const char*>(data), size), diagnostics,
                              "/etc/postern");
  expect((config == nullptr) == diagnostics.has_errors());
  std::string messages = diagnostics.render();
  for (char c : messages) expect(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
  if (!config) return 0;
  // A hidden secret is one of eight octets at most here; its stand-in is longer, so such files are not read back.
  std::string shown = config->render(false);
  if (!config->get<config_testing::Pop3>().password.empty()) return 0;
  std::string from = "password = \"(hidden)\"";
  shown.replace(shown.find(from), from.size(), "password = \"\"");
  Diagnostics again;
  auto same = Config::parse(schemas, "shown.toml", shown, again, "/etc/postern");
  expect(same != nullptr);
  expect(config->compare(*same).empty());
  return 0;
}

// Files and what they include, on a real disk.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/config/testing.h"

namespace postern {
namespace {

using config_testing::Pop3;
using config_testing::Server;

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "postern-config-XXXXXX").string();
    path = ::mkdtemp(name.data());
    std::filesystem::create_directory(path / "conf.d");
  }
  ~Folder() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path / name) << text; }
  std::filesystem::path path;
};

struct Loaded {
  std::shared_ptr<const Config> config;
  std::string messages;
};
Loaded load(const std::filesystem::path& file) {
  ConfigSchemas schemas;
  config_testing::add_all(schemas);
  Diagnostics diagnostics;
  auto config = Config::load(schemas, file, diagnostics);
  return {config, diagnostics.render()};
}

const std::string kMain =
    "include = [\"conf.d/*.toml\"]\nhostname = \"mx.example.org\"\n[[listener]]\naddress = \"[::1]:25\"\n";

TEST_CASE("tables of included files are joined and appended in the order of their names") {
  Folder folder;
  folder.write("postern.toml", kMain + "[pop3]\nmax_line = 300\n");
  folder.write("conf.d/20.toml", "[[listener]]\naddress = \"[::1]:27\"\n[domain.b]\n");
  folder.write("conf.d/10.toml", "[[listener]]\naddress = \"[::1]:26\"\n[domain.a]\n[pop3]\nbanner = \"x\"\n");
  folder.write("conf.d/10.toml~", "this is no TOML");
  Loaded loaded = load(folder.path / "postern.toml");
  REQUIRE_MESSAGE(loaded.config != nullptr, loaded.messages);
  const Server& server = loaded.config->get<Server>();
  REQUIRE(server.listeners.size() == 3);
  CHECK(server.listeners[1].address.port == 26);
  CHECK(server.listeners[2].address.port == 27);
  CHECK(server.listeners[2].origin("address").to_string() == "conf.d/20.toml:2:11");
  CHECK(server.domains.size() == 2);
  const Pop3& pop3 = loaded.config->get<Pop3>();
  CHECK(pop3.max_line == 300);
  CHECK(pop3.banner == folder.path / "x");  // relative to the main file, wherever it was written
}

TEST_CASE("a key defined twice is an error that names both places") {
  Folder folder;
  folder.write("postern.toml", kMain + "[pop3]\nmax_line = 300\n");
  folder.write("conf.d/a.toml", "[pop3]\nmax_line = 301\n");
  Loaded loaded = load(folder.path / "postern.toml");
  CHECK(loaded.config == nullptr);
  CHECK(loaded.messages ==
        "conf.d/a.toml:2:1: error: pop3.max_line is defined twice\n"
        "  2 | max_line = 301\n"
        "    | ^\n"
        "  it was first defined at " +
            (folder.path / "postern.toml").string() + ":6:1\n");
}

TEST_CASE("syntax errors of several included files come together") {
  Folder folder;
  folder.write("postern.toml", kMain);
  folder.write("conf.d/a.toml", "x\n");
  folder.write("conf.d/b.toml", "[y\n");
  Loaded loaded = load(folder.path / "postern.toml");
  CHECK(loaded.messages ==
        "conf.d/a.toml:1:2: error: \"=\" is missing after the key\n"
        "  1 | x\n"
        "    |  ^\n"
        "  settings are written key = value\n"
        "conf.d/b.toml:1:3: error: this table's name has no closing bracket\n"
        "  1 | [y\n"
        "    |   ^\n");
}

TEST_CASE("an empty folder is no error, a missing file is one, and included files include nothing") {
  Folder folder;
  folder.write("postern.toml", kMain);
  CHECK(load(folder.path / "postern.toml").config != nullptr);

  folder.write("postern.toml", "include = [\"missing.toml\", 3]\nhostname = \"mx.example.org\"\n");
  CHECK(load(folder.path / "postern.toml").messages ==
        (folder.path / "postern.toml").string() +
            ":1:12: error: there is no file \"missing.toml\"\n"
            "  1 | include = [\"missing.toml\", 3]\n"
            "    |            ^\n" +
            (folder.path / "postern.toml").string() +
            ":1:28: error: include should list the names of files, but has the integer 3\n"
            "  1 | include = [\"missing.toml\", 3]\n"
            "    |                            ^\n");

  folder.write("postern.toml", kMain);
  folder.write("conf.d/a.toml", "include = [\"b.toml\"]\n");
  CHECK(load(folder.path / "postern.toml").messages.find("only the main file may include others") != std::string::npos);
}

TEST_CASE("what is no readable file is refused") {
  Folder folder;
  CHECK(load(folder.path / "none.toml").messages ==
        "error: \"" + (folder.path / "none.toml").string() + "\" cannot be read: No such file or directory\n");
  CHECK(load(folder.path).messages.find("it is a folder, not a file") != std::string::npos);
  folder.write("large.toml", std::string(Config::kMaxFileBytes + 1, '#'));
  CHECK(load(folder.path / "large.toml").messages.find("larger than 4 MiB") != std::string::npos);
  CHECK(load("/dev/zero").messages.find("it is a device, not a file") != std::string::npos);
  ::alarm(20);  // opened as a file is, the pipe would wait for a writer for ever
  REQUIRE(::mkfifo((folder.path / "pipe.toml").c_str(), 0600) == 0);
  CHECK(load(folder.path / "pipe.toml").messages.find("it is a named pipe, not a file") != std::string::npos);
  folder.write("postern.toml", "include = [\"pipe.toml\"]\n");
  CHECK(load(folder.path / "postern.toml").messages.find("it is a named pipe, not a file") != std::string::npos);
  ::alarm(0);
}

TEST_CASE("a text without a folder includes nothing") {
  ConfigSchemas schemas;
  config_testing::add_all(schemas);
  Diagnostics diagnostics;
  CHECK(Config::parse(schemas, "postern.toml", kMain, diagnostics) == nullptr);
  CHECK(diagnostics.render().find("include works in files only") != std::string::npos);
}

}  // namespace
}  // namespace postern

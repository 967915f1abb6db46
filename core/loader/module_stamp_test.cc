#include "core/loader/module_stamp.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "core/loader/module_set.h"
#include "postern/module.h"

// This program carries a stamp of its own, as modules do.
#define POSTERN_FINGERPRINT "of the test"
namespace {
const postern::ModuleInfo kInfo{.fingerprint = POSTERN_FINGERPRINT,
                                .name = "test",
                                .purpose = "",
                                .provides = {},
                                .needs = {},
                                .uses = {},
                                .create = nullptr};
}
POSTERN_MODULE(kInfo)

namespace postern {
namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/postern-stamp.XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path write(const std::string& name, std::string_view octets) const {
    std::ofstream(path / name, std::ios::binary) << octets;
    return path / name;
  }
  std::filesystem::path path;
};

TEST_CASE("the fingerprint is read from a file that is not opened") {
  auto stamp = read_module_stamp("/proc/self/exe");
  REQUIRE(stamp);
  CHECK(*stamp == "of the test");
}

TEST_CASE("what is no module says so") {
  Folder folder;
  CHECK(read_module_stamp(folder.path / "missing.so").error().code == "module.open");
  CHECK(read_module_stamp(folder.write("text.so", "this is text")).error().code == "module.entry");
  CHECK(read_module_stamp(folder.write("empty.so", "")).error().code == "module.entry");
  CHECK(read_module_stamp("/bin/sh").error().code == "module.entry");
  ::alarm(20);
  REQUIRE(::mkfifo((folder.path / "pipe.so").c_str(), 0600) == 0);
  CHECK(read_module_stamp(folder.path / "pipe.so").error().code == "module.entry");
  CHECK(ModuleSet::load({folder.path}).error().code == "module.entry");
  ::alarm(0);
}

TEST_CASE("damaged files are never believed") {
  Folder folder;
  std::ifstream in("/proc/self/exe", std::ios::binary);
  std::string head(64, '\0');
  in.read(head.data(), 64);
  for (std::size_t at = 0; at < head.size(); ++at)
    for (const char octet : {'\x00', '\x7f', '\xff'}) {
      std::string damaged = head + std::string(4096, octet);
      damaged[at] = octet;
      CHECK_FALSE(read_module_stamp(folder.write("damaged.so", damaged)));
    }
  for (std::size_t size = 0; size <= head.size(); ++size)
    CHECK_FALSE(read_module_stamp(folder.write("short.so", head.substr(0, size))));
}

}  // namespace
}  // namespace postern

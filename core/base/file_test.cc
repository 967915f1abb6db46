#include "postern/file.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

namespace postern {
namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/postern-file.XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path write(const char* name, const std::string& text) const {
    std::ofstream(path / name, std::ios::binary) << text;
    return path / name;
  }
  std::filesystem::path path;
};

std::string code_of(const std::filesystem::path& file) {
  auto text = read_regular_file(file, 1000);
  return text ? "read" : text.error().code;
}

TEST_CASE("a file is read whole, up to the limit and not beyond") {
  Folder folder;
  for (const std::size_t size : {0, 1, 999, 1000}) {
    const std::string octets(size, '\xff');
    auto text = read_regular_file(folder.write("file", octets), 1000);
    REQUIRE(text);
    CHECK(*text == octets);
  }
  CHECK(code_of(folder.write("file", std::string(1001, 'x'))) == "file.large");
  CHECK(code_of(folder.write("file", std::string(200'000, 'x'))) == "file.large");
}

TEST_CASE("a file that says it is empty and is not is read all the same") {
  auto text = read_regular_file("/proc/self/status", 1 << 20);
  REQUIRE(text);
  CHECK(text->starts_with("Name:"));
}

TEST_CASE("links lead to what they name") {
  Folder folder;
  folder.write("file", "text");
  std::filesystem::create_symlink("file", folder.path / "link");
  CHECK(read_regular_file(folder.path / "link", 10).value_or("") == "text");
  std::filesystem::create_symlink("nothing", folder.path / "dangling");
  CHECK(code_of(folder.path / "dangling") == "file.open");
}

TEST_CASE("what is no regular file is refused at once") {
  Folder folder;
  ::alarm(10);  // were the pipe opened as a file is, this would wait for a writer
  REQUIRE(::mkfifo((folder.path / "pipe").c_str(), 0600) == 0);
  CHECK(code_of(folder.path / "pipe") == "file.kind");
  CHECK(read_regular_file(folder.path / "pipe", 10).error().detail == "it is a named pipe, not a file");
  CHECK(code_of(folder.path) == "file.kind");
  CHECK(code_of("/dev/zero") == "file.kind");
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (folder.path / "socket").c_str(), sizeof address.sun_path - 1);
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  CHECK(code_of(folder.path / "socket") == "file.kind");
  ::close(fd);
  CHECK(code_of(folder.path / "missing") == "file.open");
  ::alarm(0);
}

}  // namespace
}  // namespace postern

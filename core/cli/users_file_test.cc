#include "postern/users_file.h"

#include <argon2.h>
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

using namespace postern;

namespace {

struct Folder {
  Folder() {
    char name[] = "/tmp/postern-cli-XXXXXX";
    path = mkdtemp(name);
    file = path / "users";
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string text() const {
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  void write(std::string_view text) const { std::ofstream(file) << text; }
  std::filesystem::path path, file;
};

}  // namespace

TEST_CASE("users are added, changed and removed, and all else in the file stays") {
  Folder folder;
  folder.write("# people\nold@example.org:$6$x$y:apop=s\n\n");
  ::chmod(folder.file.c_str(), 0600);
  {
    auto users = UsersFile::open(folder.file);
    REQUIRE(users);
    CHECK(users->add("alice@example.org", "$argon2id$a"));
    CHECK(users->set_hash("OLD@example.org", "!"));
    CHECK(users->save());
  }
  CHECK(folder.text() == "# people\nold@example.org:!:apop=s\n\nalice@example.org:$argon2id$a\n");
  struct stat info{};
  REQUIRE(::stat(folder.file.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  auto users = UsersFile::open(folder.file);
  REQUIRE(users->list().size() == 2);
  CHECK(users->list()[0].locked);
  CHECK(users->list()[0].apop);
  CHECK(users->list()[1].scheme == "argon2id");
  CHECK(users->remove("old@example.org"));
  CHECK(users->save());
  CHECK(folder.text() == "# people\n\nalice@example.org:$argon2id$a\n");
}

TEST_CASE("a file that is not there is made, for its folder's owner and group only") {
  Folder folder;
  auto users = UsersFile::open(folder.file);
  REQUIRE(users);
  CHECK(users->list().empty());
  CHECK(users->add("alice", "!"));
  CHECK(users->save());
  CHECK(folder.text() == "alice:!\n");
  struct stat info{};
  REQUIRE(::stat(folder.file.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0640);
  CHECK_FALSE(std::filesystem::exists(folder.path / "users.new"));
}

TEST_CASE("what would break the file is refused, and what was not saved is forgotten") {
  Folder folder;
  folder.write("alice:!\n");
  auto users = UsersFile::open(folder.file);
  for (const char* name : {"", "a b", "a:b", "a\nb", "#a", "a@@b", "@example.org"}) {
    CAPTURE(name);
    CHECK(users->add(name, "!").error().code == "users.name");
  }
  CHECK(users->add("ALICE", "!").error().code == "users.exists");
  CHECK(users->add("bob", "").error().code == "users.password");
  CHECK(users->add("bob", "a:b").error().code == "users.password");
  CHECK(users->set_hash("bob", "!").error().code == "users.unknown");
  CHECK(users->remove("bob").error().code == "users.unknown");
  CHECK(users->add("bob", "!"));
  CHECK(folder.text() == "alice:!\n");
}

TEST_CASE("two edits do not run at once") {
  Folder folder;
  auto first = UsersFile::open(folder.file);
  auto second = UsersFile::open(folder.file);
  REQUIRE_FALSE(second);
  CHECK(second.error().code == "users.locked");
  first = fault("test", "gives the lock back");
  CHECK(UsersFile::open(folder.file));
}

TEST_CASE("a damaged file is reported, not rewritten") {
  Folder folder;
  folder.write("alice:!\nnonsense\n");
  auto users = UsersFile::open(folder.file);
  REQUIRE_FALSE(users);
  CHECK(users.error().code == "users.syntax");
  CHECK(users.error().detail.ends_with(":2: expected \"name:hash\""));
}

TEST_CASE("a folder that is not there is an error") {
  Folder folder;
  CHECK(UsersFile::open(folder.path / "no" / "users").error().code == "users.io");
}

TEST_CASE("passwords are hashed with fresh salt, and the hash verifies") {
  auto one = hash_password("secret");
  auto two = hash_password("secret");
  REQUIRE(one);
  CHECK(one->starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
  CHECK(*one != *two);
  CHECK(argon2id_verify(one->c_str(), "secret", 6) == ARGON2_OK);
  CHECK(argon2id_verify(one->c_str(), "secreT", 6) != ARGON2_OK);
  CHECK(hash_password("").error().code == "users.password");
  CHECK(hash_password(std::string(2000, 'x')).error().code == "users.password");
}

TEST_CASE("a users file that is a named pipe is refused at once") {
  Folder folder;
  ::alarm(20);  // opened as a file is, it would wait for a writer for ever
  REQUIRE(::mkfifo(folder.file.c_str(), 0600) == 0);
  auto users = UsersFile::open(folder.file);
  REQUIRE_FALSE(users);
  CHECK(users.error().detail.find("it is a named pipe, not a file") != std::string::npos);
  ::alarm(0);
}

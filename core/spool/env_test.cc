// Whole files: replaced so that no crash and no full disk leaves half a text.
#include <doctest/doctest.h>

#include <cerrno>

#include "postern/env.h"

using namespace postern;

namespace {

constexpr std::size_t kLimit = 100'000;

std::string text_of(Env& env) {
  return read_file(env, "/d/name", kLimit).value_or("unreadable");
}

}  // namespace

TEST_CASE("a file that is replaced is the old one or the new one, whenever the power is cut") {
  const std::string old(3000, 'o'), fresh(5000, 'n');
  bool was_old = false, was_new = false;
  for (std::uint64_t moment = 0; moment < 12; ++moment)
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      FaultEnv env(seed);
      REQUIRE(replace_file(env, "/d", "name", old) == 0);
      env.stop_after(moment);
      const int error = replace_file(env, "/d", "name", fresh);
      env.power_loss(seed);
      const std::string text = text_of(env);
      CAPTURE(moment);
      CAPTURE(seed);
      CHECK((text == old || text == fresh));
      if (error == 0) CHECK(text == fresh);
      was_old |= text == old;
      was_new |= text == fresh;
      remove_drafts(env, "/d");
      CHECK(env.list("/d").value() == std::vector<std::string>{"name"});
    }
  CHECK(was_old);
  CHECK(was_new);
}

TEST_CASE("a file that cannot be replaced stays what it was, and leaves no draft") {
  FaultEnv env;
  REQUIRE(replace_file(env, "/d", "name", "old") == 0);
  env.fail_write(ENOSPC, 0);
  CHECK(replace_file(env, "/d", "name", "fresh") == ENOSPC);
  env.fail_sync(EIO, 0);
  CHECK(replace_file(env, "/d", "name", "fresh") == EIO);
  CHECK(text_of(env) == "old");
  CHECK(env.list("/d").value() == std::vector<std::string>{"name"});
}

TEST_CASE("the drafts of one name are told from those of others") {
  FaultEnv env;
  for (const char* name : {"/d/a.0123456789abcdef.tmp", "/d/ab.0123456789abcdef.tmp", "/d/a", "/d/a.x"})
    env.set_content(name, "x");
  remove_drafts(env, "/d", "a");
  CHECK(env.list("/d").value() == std::vector<std::string>{"a", "a.x", "ab.0123456789abcdef.tmp"});
  remove_drafts(env, "/d");
  CHECK(env.list("/d").value() == std::vector<std::string>{"a", "a.x"});
}

TEST_CASE("a file with more than the limit is not read") {
  FaultEnv env;
  env.set_content("/d/name", std::string(kLimit, 'x'));
  CHECK(read_file(env, "/d/name", kLimit)->size() == kLimit);
  CHECK(read_file(env, "/d/name", kLimit - 1).error() == EFBIG);
  CHECK(read_file(env, "/d/none", kLimit).error() == ENOENT);
}

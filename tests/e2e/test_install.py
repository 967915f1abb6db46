"""`cmake --install`: what is installed runs by itself from any folder, and a plugin builds against it out of the tree."""
# ctest: timeout=600
# ctest: dev-only
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from postern import BUILD, main, program

PLUGIN = """\
#include <cstdio>
#include <cstdlib>
#include "postern/fingerprint.h"
#ifdef STALE
#undef POSTERN_FINGERPRINT
#define POSTERN_FINGERPRINT "of another build"
#endif
#include "postern/module.h"
#include "postern/pipeline.h"

namespace tiny {
using namespace postern;

// Runs when the file is opened: the loader must not get that far with a stale one.
const bool opened = [] {
  if (const char* mark = std::getenv("TINY_OPENED")) std::fclose(std::fopen(mark, "w"));
  return true;
}();

class Nobody final : public Matcher {
 public:
  Task<Result<RecipientSet>> match(RuleCall call) override {
    return Task<Result<RecipientSet>>::ready(RecipientSet::none(call.recipients.size()));
  }
};

class TinyModule final : public Module {
 public:
  void describe(ConfigSchemas&) override {}
  void provide(Core& core) override {
    core.services.need<RuleRegistry>().add(MatcherDeclaration{
        .name = "is_tiny", .purpose = "Nobody.", .example = "match.is_tiny", .errors = "", .arguments = {},
        .make = [](const ScriptValue&) -> Result<std::shared_ptr<Matcher>> { return std::make_shared<Nobody>(); }});
  }
};

const ModuleInfo kInfo{.fingerprint = POSTERN_FINGERPRINT, .name = "tiny", .purpose = "a matcher that matches nobody",
                       .provides = {}, .needs = {"rules"}, .uses = {},
                       .create = +[]() -> std::unique_ptr<Module> { return std::make_unique<TinyModule>(); }};
}  // namespace tiny

POSTERN_MODULE(tiny::kInfo)
"""
PROJECT = """\
cmake_minimum_required(VERSION 3.25)
project(tiny LANGUAGES CXX)
find_package(Postern 0.1 REQUIRED)
postern_add_plugin(tiny tiny.cc)
postern_add_plugin(stale tiny.cc)
target_compile_definitions(stale PRIVATE STALE)
"""


def cache(name):
    """A variable of the build under test."""
    for line in (BUILD / "CMakeCache.txt").read_text().splitlines():
        if line.startswith(name + ":"):
            return line.partition("=")[2]
    raise KeyError(name)


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        program("cmake")
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="postern-install."))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        # Moved after it was installed: nothing may have recorded where that was.
        cls.call("cmake", "--install", BUILD, "--prefix", cls.home / "first")
        cls.prefix = cls.home / "moved"
        (cls.home / "first").rename(cls.prefix)
        cls.postern = cls.prefix / "bin" / "postern"

    @classmethod
    def call(cls, *command, check=True, **environment):
        clean = {k: v for k, v in os.environ.items() if k not in ("POSTERN_MODULES", "POSTERN_CONFIG", "LD_LIBRARY_PATH")}
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=500, cwd=cls.home, env=clean | environment)
        if check and done.returncode != 0:
            raise AssertionError(f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def test_everything_is_where_it_belongs(self):
        for file in ("lib/libpostern.so", "lib/postern/modules/smtp.so", "lib/postern/plugins/maildir.so", "include/postern/module.h",
                     "include/postern/fingerprint.h", "share/postern/scripts/mailserver.lua", "etc/postern/postern.toml.sample",
                     "lib/systemd/system/postern.service", "lib/cmake/Postern/PosternConfig.cmake", "share/doc/postern/SETTINGS.md"):
            self.assertTrue((self.prefix / file).is_file(), file)
        for name in ("sendmail", "mailq", "newaliases"):
            link = self.prefix / "lib/postern" / name
            self.assertEqual(os.readlink(link), "../../bin/postern-sendmail")
            self.assertFalse((self.prefix / "bin" / name).exists(), "it would hide another's, or be hidden")
        self.assertIn(f"ExecStart={self.home}/first/bin/postern run", (self.prefix / "lib/systemd/system/postern.service").read_text())

    def test_the_program_finds_its_library_and_its_modules(self):
        loaded = self.call("ldd", self.postern).stdout
        self.assertIn(f"{self.prefix}/bin/../lib/libpostern.so", loaded)
        self.assertNotIn(str(BUILD), loaded)
        modules = [json.loads(line) for line in self.call(self.postern, "list", "modules", "--json").stdout.splitlines()]
        self.assertLessEqual({"smtp", "pop3", "auth", "queue", "lua", "maildir"}, {m["name"] for m in modules})
        for module in modules:
            self.assertTrue(module["file"].startswith(str(self.prefix / "lib" / "postern")), module)
            self.assertNotIn(str(BUILD), self.call("ldd", module["file"]).stdout)

    def test_sendmail_runs_under_its_other_names_and_agrees_with_the_server_about_the_drop_folder(self):
        self.call(self.prefix / "lib/postern/newaliases")
        sample = (self.prefix / "etc/postern/sendmail.conf.sample").read_text()
        drop = re.search("^#drop = (.*)$", sample, re.M)[1]
        self.assertIn(drop, self.call(self.postern, "show", "settings").stdout)
        self.assertRegex((self.prefix / "lib/tmpfiles.d/postern.conf").read_text(), rf"(?m)^d {drop} 3733 postern postern -$")
        # The sample is a good file when nothing is commented out (here with folders of this test's).
        conf = self.home / "sendmail.conf"
        conf.write_text(re.sub("^#([a-z_]+ = )(/(var|run)/)?", lambda m: m[1] + (f"{self.home}/none/" if m[2] else ""), sample, flags=re.M))
        done = self.call("sh", "-c", 'exec "$0" bob </dev/null', self.prefix / "lib/postern/sendmail", check=False,
                         POSTERN_SENDMAIL_CONF=str(conf))
        self.assertEqual(done.returncode, 75, done.stderr)
        self.assertIn(f"{self.home}/none/spool/postern/drop", done.stderr)

    def test_the_sample_is_a_good_configuration(self):
        done = self.call(self.postern, "check", "--config", self.prefix / "etc/postern/postern.toml.sample")
        self.assertIn("is good", done.stdout)

    def test_a_plugin_builds_out_of_the_tree_and_a_stale_one_is_never_opened(self):
        source, build = self.home / "source", self.home / "build"
        source.mkdir()
        (source / "tiny.cc").write_text(PLUGIN)
        (source / "CMakeLists.txt").write_text(PROJECT)
        self.call("cmake", "-S", source, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}",
                  f"-DCMAKE_CXX_COMPILER={cache('CMAKE_CXX_COMPILER')}")
        self.call("cmake", "--build", build)
        config = self.prefix / "etc/postern/postern.toml.sample"
        for name in ("tiny", "stale"):
            folder = self.home / name
            folder.mkdir()
            shutil.copy(build / f"{name}.so", folder)
            mark = self.home / f"{name}.opened"
            done = self.call(self.postern, "list", "matchers", "--config", config, "--modules", folder, check=False, TINY_OPENED=str(mark))
            if name == "tiny":
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn("is_tiny", done.stdout)
                self.assertTrue(mark.exists())
            else:
                self.assertEqual(done.returncode, 1)
                self.assertIn("stale.so was built for another build", done.stderr)
                self.assertFalse(mark.exists(), "the constructors of a stale plugin ran")

    def test_another_compiler_is_refused_with_words(self):
        other = shutil.which("g++")
        if not other:
            self.skipTest("there is no other compiler")
        source = self.home / "other"
        source.mkdir()
        (source / "tiny.cc").write_text(PLUGIN)
        (source / "CMakeLists.txt").write_text(PROJECT)
        done = self.call("cmake", "-S", source, "-B", self.home / "other-build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}",
                         f"-DCMAKE_CXX_COMPILER={other}", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("this Postern was built with", done.stderr)


if __name__ == "__main__":
    main()

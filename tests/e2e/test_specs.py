"""The specs of matchers and mailets (tests/specs): all pass, and every word that scripts may use has its case. A matcher
selects a mail in one and leaves a mail in one; a mailet is named by a case that shows what comes of it.
"""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

from postern import POSTERN, TOP, Server, main, wait_until

SPECS = TOP / "tests" / "specs"
CONFIG = """
[server]
hostname = "mail.example.org"
state = "{home}/state"
[[domain]]
name = "example.org"
[pipeline]
scripts = ["{script}"]
"""
# Matchers that leave nobody: no case can show one.
LEAVES_NOBODY = {"all"}


def read(pattern):
    """The text of the files, without comments."""
    text = "\n".join(one.read_text() for one in sorted(SPECS.glob(pattern)))
    return re.sub(r"(?m)(^|\s)--.*$", "", text)


class Specs(unittest.TestCase):
    def listed(self, what):
        """The names that `postern list` has for what is usable."""
        with tempfile.TemporaryDirectory(prefix="postern-specs.") as home:
            config = pathlib.Path(home) / "postern.toml"
            config.write_text(CONFIG.format(home=home, script=SPECS / "settling_mailets.lua"))
            done = subprocess.run([POSTERN, "list", what, "--json", "--config", config], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
        self.assertGreater(len(names), 30, done.stdout)
        return names

    def test_they_pass(self):
        done = subprocess.run([POSTERN, "test", SPECS, "--json"], capture_output=True, text=True, timeout=120)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((done.returncode, rows[-1]["failed"]), (0, 0), done.stdout + done.stderr)
        self.assertEqual(len(rows) - 1, len(re.findall(r"(?m)^spec\.case\(", read("*_spec.lua"))), "every case ran")

    def test_every_matcher_selects_a_mail_and_leaves_a_mail(self):
        scripts, specs = read("*_matchers.lua"), read("*_spec.lua")
        names = self.listed("matchers")
        unused = [one for one in names if not re.search(rf'mark\("{one}", .*\bmatch\.{one}\b', scripts)]
        self.assertEqual(unused, [], f"no script in {SPECS} has a mark of them")
        self.assertEqual([one for one in names if not re.search(rf'expect_header[ (]"{one}"', specs)], [], "no case where they select")
        selecting = {one for one in names if not re.search(rf'expect_no_header[ (]"{one}"', specs)}
        self.assertEqual(selecting, LEAVES_NOBODY, "no case where they do not select")

    def test_every_mailet_has_a_case(self):
        scripts, names = read("*_mailets.lua"), self.listed("mailets")
        self.assertEqual([one for one in names if not re.search(rf"\bact\.{one}\b", scripts)], [], f"no script in {SPECS} uses them")
        cases = "\n".join(re.findall(r'spec\.case\("(.*?)", function', read("*_spec.lua")))
        self.assertEqual([one for one in names if not re.search(rf"\b{one}\b", cases)], [], "no case names them")


class SeenOutside(unittest.TestCase):
    """log and count: a spec uses them, but has neither a log nor metrics to look at."""

    def test_a_line_in_the_log_and_a_number_in_the_metrics(self):
        script = """
local postern = require "postern"
local match, act = postern.match, postern.act
postern.pipeline "root" {
  { when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  { when = match.subject_is "hello", act.log("seen by a rule", "warn"), act.count("archived", 2) },
  { when = match.subject_is "other", act.log("never seen"), act.count "never" },
  { when = match.recipient_is_local, act.deliver },
  { act.bounce("5.7.1", "relaying denied") },
}
"""
        with Server(script=script) as server:
            server.submit("alice", "bob")
            server.mail("bob")
            server.wait_log("seen by a rule")
            counted = r'counter="archived".*\} 2$'
            wait_until(lambda: re.search(counted, server.run("metrics").stdout, re.M), "the counter")
            self.assertNotRegex(server.run("metrics").stdout, r'counter="never".*\} [1-9]')


if __name__ == "__main__":
    main()

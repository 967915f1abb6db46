# ctest: timeout=300
"""The scripts that are shipped, as they are shipped: their specs pass, `postern check` has nothing against them, every
recipe of the cookbook is accepted, and lists and vacation do in a running server what their specs say.
"""
import email
import email.policy
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from postern import HOST, POSTERN, TOP, Server, letter, main, token_of, wait_until
from test_relay_out import Sink

SCRIPTS = TOP / "scripts"
SHIPPED = sorted(one for one in SCRIPTS.glob("*.lua") if not one.name.endswith("_spec.lua"))
COOKBOOK = (SCRIPTS / "README.md").read_text()
MOST_LINES = 80

# What a configuration must have for all of them together.
ACCOUNTS = ["ann", "ben", "robot", "crew", "friends", "archive", "postmaster", "audit", "rest"]
CONFIG = """
[server]
hostname = "mail.example.org"
state = "{home}/state"
[[domain]]
name = "example.org"
[auth]
users_file = "{home}/users"
[memory]
[[sqlite]]
name = "mail"
file = "{home}/mail.sqlite"
[[alias]]
from = "crew-bounces@example.org"
to = ["ann@example.org"]
[[alias]]
from = "friends-bounces@example.org"
to = ["ann@example.org"]
[[delivery.route]]
name = "provider"
to = ["[127.0.0.1]:9"]
[pipeline]
scripts = ["{script}"]
"""
# Files that recipes name.
FILES = {"blocked.txt": "192.0.2.0/24   # one a line\n", "partners.txt": ".example.org\n", "folders.csv": "sales@example.org,Sales\n"}
MARK = '-- in "root":'


class Folder(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="postern-scripts."))
        self.addCleanup(shutil.rmtree, self.home)
        (self.home / "users").write_text("".join(f"{one}@example.org:!\n" for one in ACCOUNTS))
        (self.home / "users").chmod(0o600)
        for name, text in FILES.items():
            (self.home / name).write_text(text)

    def check(self, script):
        """`postern check` of a configuration with this script: status and all that it says."""
        config = self.home / "postern.toml"
        config.write_text(CONFIG.format(home=self.home, script=script))
        done = subprocess.run([POSTERN, "check", "--config", config], capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr


class Shipped(Folder):
    def test_their_specs_pass(self):
        done = subprocess.run([POSTERN, "test", SCRIPTS], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for script in SHIPPED:
            self.assertIn(script.stem + "_spec.lua", done.stdout, "every script has a spec")

    def test_check_has_nothing_against_them(self):
        for script in SHIPPED:
            with self.subTest(script.name):
                status, text = self.check(script)
                self.assertEqual(status, 0, text)
                self.assertNotIn("lint.", text)
                self.assertNotIn(f"{script.name}:", text)

    def test_they_are_short_say_how_to_use_them_and_stand_in_the_readme(self):
        for script in SHIPPED:
            text = script.read_text()
            self.assertLess(len(text.splitlines()), MOST_LINES, script.name)
            self.assertIn(f'--   scripts = ["scripts/{script.name}"]', text)
            self.assertIn(f"| `{script.name}` |", COOKBOOK)


class Cookbook(Folder):
    def blocks(self):
        """[(number, Lua)] of the recipes, and the shared beginning."""
        shared = re.search(r"All recipes begin with\n\n```lua\n(.*?)```", COOKBOOK, re.S)[1]
        out = []
        for piece in re.split(r"\n(?=\*\*\d+\. )", COOKBOOK)[1:]:
            number = int(re.match(r"\*\*(\d+)", piece)[1])
            out += [(number, block) for block in re.findall(r"```lua\n(.*?)```", piece, re.S)]
        return shared, out

    @staticmethod
    def whole(shared, block):
        """A script of the recipe: what stands below the mark goes where the README says."""
        head, _, rules = block.partition(MARK)
        return f"""{shared}{head}
postern.pipeline "root" {{
  {{ when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") }},
{rules}
  {{ when = match.recipient_is_local, act.deliver }},
  {{ when = match.relay_allowed, act.relay }},
  {{ act.bounce("5.7.1", "relaying denied") }},
}}
return match, act, dns, kv
"""

    def test_there_are_thirty_recipes_numbered_one_by_one(self):
        _, blocks = self.blocks()
        numbers = [number for number, _ in blocks]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertGreaterEqual(len(numbers), 30)

    def test_check_accepts_every_recipe(self):
        shared, blocks = self.blocks()
        for number, block in blocks:
            with self.subTest(recipe=number):
                script = self.home / f"recipe{number}.lua"
                script.write_text(self.whole(shared, block))
                status, text = self.check(script)
                self.assertEqual(status, 0, text)
                self.assertNotIn("lint.", text)
                self.assertNotIn(f"{script.name}:", text)


if __name__ == "__main__":
    main()

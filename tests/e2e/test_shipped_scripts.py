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

# What each recipe does, as a spec of its own: `t` has ann, ben and rest at example.org; STRANGER and ANN are clients.
SPEC = """
local spec = require "postern.spec"
local postern = require "postern"
spec.scripts "recipe@.lua"
local ANN = { role = "submission", auth = "ann@example.org", tls = true, ip = "198.51.100.7" }
local function FROM_ANN(t, to, text) return t:mail { from = "ann@example.org", to = to, client = ANN, text = text } end
local function STRANGER(t, to, text) return t:mail { from = "x@far.example", to = to or "ann@example.org", text = text } end
local function FILE(name)
  return "MIME-Version: 1.0\\nContent-Type: multipart/mixed; boundary=b\\n\\n--b\\nContent-Type: text/plain\\n\\nsee\\n--b\\n"
    .. "Content-Type: application/octet-stream\\nContent-Disposition: attachment; filename=" .. name .. "\\n\\nMZ\\n--b--\\n"
end
spec.case("recipe @", function(t)
  t:account("ann@example.org", "ann@example.org"):account("ben@example.org", "ben@example.org")
  t:account("rest@example.org", "rest@example.org")
$
end)
"""
CASES = {
    1: """t:dns("1.113.0.203.bl.example.net", "A", "127.0.0.2")
  STRANGER(t):expect_refused(550, "5.7.1", "listed")""",
    2: """t:dns("1.113.0.203.one.example.net", "A", "127.0.0.2"):dns("1.113.0.203.two.example.net", "A", "127.0.0.2")
  t:dns_fails("1.113.0.203.good.example.net", "A", "timeout")
  STRANGER(t, { "ann@example.org", "ben@example.org" }):to("ann@example.org"):expect_refused(550, "5.7.1", "too many")""",
    3: """t:dns("far.example", "MX"):dns("far.example", "A")
  STRANGER(t):expect_refused(550, "5.1.8")
  t:mail { from = "", to = "ann@example.org" }:expect_delivered()""",
    4: """t:mail { from = "x@far.example", to = "ann@example.org", client = { ehlo = "mail.example.org" } }:expect_refused(550)
  t:mail { from = "x@far.example", to = "ann@example.org", client = { ehlo = "192.0.2.1" } }:expect_refused(550)
  STRANGER(t):expect_delivered()""",
    5: """local key = '"grey/' .. postern.hash.sha256 "203.0.113 x@far.example ann@example.org" .. '"'
  t:clock(1000):answer("kv.get", "memory " .. key, "nothing"):answer("kv.set", "memory " .. key .. ' = "1000.0" for 36d', "ok")
  STRANGER(t):expect_refused(451, "4.7.1", "greylisted")
  t:clock(1400):answer("kv.get", "memory " .. key, '"1000.0"')
  STRANGER(t):expect_delivered()""",
    6: """t:mail { from = "x@far.example", to = "ann@example.org", client = { reverse_name = "mx.customer.example" } }:expect_delivered()""",
    7: """t:mail { from = "x@far.example", to = "ann@example.org", client = { ip = "192.0.2.1" } }:expect_refused(550, "5.7.1", "listed")
  t:mail { from = "x@a.example.org", to = "ann@example.org", client = { ip = "192.0.2.1" } }:expect_delivered(nil, "INBOX")
  t:account("sales@example.org", "ann@example.org")
  STRANGER(t, "sales@example.org"):expect_delivered(nil, "Sales")""",
    8: """t:dns("1.113.0.203.country.example.net", "TXT", "AQ")
  STRANGER(t, nil, "Subject: Invoice 1\\n\\n"):expect_delivered(nil, "Junk")
  STRANGER(t):expect_delivered(nil, "INBOX")""",
    9: """t:account("spamtrap@example.org", "ann@example.org")
  local key = 'memory "trap/203.0.113.1"'
  t:answer("kv.set", key .. ' = "1" for 1d', "ok"):answer("kv.get", key, '"1"')
  STRANGER(t, "spamtrap@example.org"):expect_refused(550)
  t:answer("kv.get", key, '"1"')
  STRANGER(t):expect_refused(550)
  t:answer("kv.get", key, "nothing")
  STRANGER(t):expect_delivered()""",
    10: """STRANGER(t):expect_delivered()
  assert(STRANGER(t).story:find "hold", "it waits")""",
    11: """local token = postern.hash.hmac_sha256("change me", "ann"):sub(1, 12)
  t:account("ann+wrong@example.org", "ann@example.org"):account("ann+" .. token .. "@example.org", "ann@example.org")
  t:mail { from = "", to = "ann+wrong@example.org" }:expect_refused(550)
  t:mail { from = "", to = "ann+" .. token .. "@example.org" }:expect_delivered()""",
    12: """FROM_ANN(t, "ben@example.org"):expect_delivered()
  t:answer("directory.alias", "ben@example.org", "-")
  t:mail { from = "ben@example.org", to = "ann@example.org", client = ANN }:expect_refused(550, "5.7.1")""",
    13: """t:answer("rate_limit", "ann@example.org user/mails/3600000000000/", "200 of 200, passed")
  FROM_ANN(t, "x@far.example"):expect_refused(451, "4.7.1")""",
    14: """t:answer("kv.incr", 'memory "recipients/ann@example.org" +1 for 1d', "501")
  FROM_ANN(t, "x@far.example"):expect_refused(452)""",
    15: """t:account("all@example.org", "rest@example.org")
  STRANGER(t, "all@example.org"):expect_refused(550)
  t:mail { from = "ann@example.org", to = "all@example.org" }:expect_refused(550)
  FROM_ANN(t, "all@example.org"):expect_delivered()""",
    16: """FROM_ANN(t, "x@far.example"):expect_relayed():expect_body "1 Main Street"
  STRANGER(t):expect_body "hello" """,
    17: """FROM_ANN(t, "x@far.example", "From: Ann <ann@pc7.example.org>\\n\\n"):expect_header("From", "Ann <ann@example.org>")""",
    18: """STRANGER(t, nil, "Subject: LOTTERY\\n\\n"):expect_delivered(nil, "Junk")
  STRANGER(t):expect_delivered(nil, "INBOX")""",
    19: """STRANGER(t, nil, FILE "a.EXE"):expect_refused(550, "5.7.1")
  STRANGER(t, nil, FILE "a.txt"):expect_delivered()""",
    20: """STRANGER(t, nil, FILE "a.exe"):expect_delivered():expect_header("X-Stripped", "a.exe"):expect_body "a.exe" """,
    21: """STRANGER(t):expect_header("Subject", "[EXT] a spec's mail"):expect_header "X-External"
  FROM_ANN(t, "ben@example.org"):expect_no_header "X-External" """,
    22: """local big = "\\n" .. ("x"):rep(70, "") .. "\\n"
  STRANGER(t, nil, "Subject: x\\n" .. big:rep(150000)):expect_refused(550, "5.3.4")""",
    23: """STRANGER(t, nil, "Subject: your order #4711\\n\\n"):expect_delivered()""",
    24: """STRANGER(t, nil, 'X-Ticket: {"id":7}\\n\\n'):expect_header("X-Seen", '{"at":"2026-01-01T00:00:00Z","from":"x@far.example"}')
  STRANGER(t, nil, "X-Ticket: {{{\\n\\n"):expect_delivered()""",
    25: """t:account("ann+archive@example.org", "ann@example.org")
  local r = STRANGER(t, { "ann+archive@example.org", "ben@example.org" })
  r:to("ann+archive@example.org"):expect_delivered("ann@example.org", "Archive")
  r:to("ben@example.org"):expect_delivered(nil, "INBOX")""",
    26: """STRANGER(t, nil, "List-Id: <crew.far.example>\\n\\n"):expect_delivered(nil, "Lists/crew")
  STRANGER(t, nil, "List-Id: <../../etc.far.example>\\n\\n"):expect_delivered(nil, "INBOX")
  t:mail { from = "boss@example.org", to = "ann@example.org" }:expect_delivered(nil, "INBOX")""",
    27: """STRANGER(t, "rest@example.org"):expect_delivered("rest@example.org", "For/unknown")""",
    28: """t:answer("sql", 'mail: SELECT folder FROM folders WHERE address = ? ["ann@example.org"]', '{"columns":["folder"],"rows":[["Work"]]}')
  STRANGER(t):expect_delivered(nil, "Work")""",
    29: """FROM_ANN(t, "x@partner.example"):expect_relayed { gateway = "mx.partner.example:25", tls = "verify" }
  STRANGER(t, "x@partner.example"):expect_refused(550, "5.7.1"):expect_rule "gate" """,
    32: """t:clock(postern.time.parse_rfc3339 "2026-06-01T12:00:00Z")
  STRANGER(t):expect_delivered():expect_no_header "X-Held" """,
    33: """t:account("audit@example.org", "audit@example.org")
  local r = FROM_ANN(t, "x@far.example"):expect_relayed():expect_brought(1)
  r.brought[1]:expect_delivered "audit@example.org"
  t:mail { from = "ann@example.org", to = "ben@example.org" }:expect_brought(0)""",
    35: """t:answer("kv.get", 'memory "maintenance"', '"1"')
  STRANGER(t):expect_refused(451, "4.3.2")
  FROM_ANN(t, "x@far.example"):expect_relayed()""",
    36: """STRANGER(t):expect_delivered()""",
}
OF_THE_QUEUE = {30, 31, 34, 37}  # their hooks run after the commit: no spec sees them


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

    def test_every_recipe_does_what_it_says(self):
        shared, blocks = self.blocks()
        self.assertEqual({number for number, _ in blocks}, set(CASES) | OF_THE_QUEUE)
        for number, block in blocks:
            (self.home / f"recipe{number}.lua").write_text(self.whole(shared, block))
            if number in CASES:
                text = SPEC.replace("@.lua", f"{number}.lua").replace("recipe @", f"recipe {number}").replace("$", CASES[number])
                (self.home / f"recipe{number}_spec.lua").write_text(text)
        done = subprocess.run([POSTERN, "test", self.home], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    main()

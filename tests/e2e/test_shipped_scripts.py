# ctest: timeout=600
"""The scripts that are shipped, as they are shipped: their specs pass, `postern check` has nothing against them, every
recipe of the cookbook is accepted, and lists and vacation do in a running server what their specs say.
"""
import datetime
import email
import email.policy
import http.server
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
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
    17: """FROM_ANN(t, "x@far.example", "From: Ann <ann@pc7.example.org>\\n\\n"):expect_header("From", "Ann <ann@example.org>")
  local header = FROM_ANN(t, "x@far.example", "From: =?utf-8?Q?J=C3=B6rg?= <j@pc7.example.org>\\n\\n")
    :expect_header("From", "Jörg <j@example.org>").outcomes[1].header
  assert(header:find("<j@example.org>", 1, true), "the address is not encoded")""",
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


def shipped(name):
    """A shipped script for the test's domain."""
    return (SCRIPTS / name).read_text().replace("example.org", "example.test")


def alias(name, *targets):
    return f'[[alias]]\nfrom = "{name}@example.test"\nto = {list(targets)}\n'.replace("'", '"')


def parsed(octets):
    return email.message_from_bytes(octets, policy=email.policy.default)


class Running(unittest.TestCase):
    """The scripts in a server; what goes to the world ends in a sink."""

    def run_server(self, script, extra="", accounts=("ann", "ben", "zoe")):
        self.sink = Sink()
        self.addCleanup(self.sink.close)
        route = f'[[delivery.route]]\nname = "provider"\ndomains = ["*"]\nto = ["[{HOST}]:{self.sink.port}"]\n[queue]\nretry = "1s"\n'
        self.server = self.enterContext(Server(extra + route, script=script, accounts=list(accounts)))

    def stranger(self, recipient, text=None, sender="x@far.test", rcpt=250, data=250):
        with self.server.smtp("mx") as talk:
            talk.ehlo().say(f"MAIL FROM:<{sender}>").expect(250)
            talk.say(f"RCPT TO:<{recipient}@example.test>").expect(rcpt)
            if rcpt == 250:
                talk.data(text or letter(sender=sender, to=f"{recipient}@example.test"), data)

    def sent_to(self, recipient):
        return [(mail, text) for mail, rcpts, text in self.sink.mails if recipient in rcpts]


class Hook(http.server.BaseHTTPRequestHandler):
    """A web hook that keeps what it is told."""

    def do_POST(self):  # noqa: N802 - the library's name
        self.server.told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class RecipesOfTheQueue(Running):
    """Recipes whose hooks run after the commit."""

    def run_recipe(self, number, *changes, extra=""):
        shared, blocks = Cookbook.blocks(self)
        [block] = [block for n, block in blocks if n == number]
        for old, new in changes:
            self.assertIn(old, block)
            block = block.replace(old, new)
        self.run_server(Cookbook.whole(shared, block), extra)

    def test_30_another_line_by_the_hour(self):
        night = Sink()
        self.addCleanup(night.close)
        self.run_recipe(30, ("hour >= 20 or hour < 6", "hour >= 0"), ("night.example.org:25", f"[{HOST}]:{night.port}"),
                        extra='[delivery]\nallow_private = ["127.0.0.0/8"]\n')
        self.server.submit("ann", "x@far.test")
        wait_until(lambda: night.mails, "the other line")

    def test_31_mail_for_a_destination_is_held(self):
        self.run_recipe(31, ("moving.example", "provider"))
        self.server.submit("ann", "x@far.test")
        self.server.wait_log("queue.")
        self.server.submit("ann", "ben")
        self.server.mail("ben")
        time.sleep(1)  # where it would have been tried
        self.assertEqual(1, self.server.queued())
        self.assertEqual([], self.sink.mails)

    def test_34_a_program_hears_of_deliveries(self):
        web = http.server.HTTPServer((HOST, 0), Hook)
        web.told = []
        threading.Thread(target=web.serve_forever, daemon=True).start()
        self.addCleanup(web.server_close)
        self.addCleanup(web.shutdown)
        where = f"{HOST}:{web.server_port}"
        self.run_recipe(34, ("https://hooks.example.org", f"http://{where}"), extra=f'[http]\nallow_private = ["{where}"]\n')
        self.server.submit("ann", ["ben", "x@far.test"])
        wait_until(lambda: len(web.told) == 2, "both to be told of")
        self.assertEqual({"delivered"}, {one["stage"] for one in web.told})
        self.sink.refuse["y@far.test"] = "550 5.1.1 nobody"
        self.server.submit("ann", "y@far.test")
        wait_until(lambda: [one for one in web.told if one["stage"] == "bounced" and one["code"] == 550], "the bounce")

    def test_37_what_matters_is_counted(self):
        self.run_recipe(37)
        self.sink.refuse["x@far.test"] = "421 4.3.2 go away"
        self.server.submit("ann", "x@far.test")
        wait_until(lambda: 'counter="told_to_go_away"' in self.server.run("metrics").stdout, "the counter")


class Lists(Running):
    def setUp(self):
        script = shipped("lists.lua").replace('["robot@example.test"] = "writer"', '["cid@far.test"] = "member"')
        self.run_server(script, "[relay]\nforward_aliases = true\n" + alias("crew-bounces", "zoe@example.test") + alias("crew-owner", "zoe@example.test"),
                        ("ann", "ben", "zoe", "crew", "friends"))

    def post(self):
        text = self.server.submit("ann", "crew", letter("plan", to="crew@example.test"))
        wait_until(lambda: self.sent_to("cid@far.test"), "the member elsewhere")
        self.server.wait_queue_empty()
        return text

    def test_a_post_reaches_the_members_here_and_elsewhere(self):
        text = self.post()
        for octets in (*self.server.mail("ann"), *self.server.mail("ben")):
            mail = parsed(octets)
            self.assertEqual(("[crew] plan", "The crew <crew.example.test>", "list"), (mail["Subject"], mail["List-Id"], mail["Precedence"]))
            self.assertIsNone(mail["Reply-To"])
            self.assertEqual(token_of(text), token_of(octets))
        [(mail, _)] = self.sent_to("cid@far.test")
        self.assertIn("<crew-bounces@example.test>", mail)
        self.assertEqual([], self.server.fetch("crew"))

    def test_what_a_dead_member_causes_goes_to_the_owner_and_not_to_the_list(self):
        self.sink.refuse["cid@far.test"] = "550 5.1.1 gone"
        self.server.submit("ann", "crew", letter("plan", to="crew@example.test"))
        [report] = self.server.mail("zoe")
        self.assertIn(b"cid@far.test", report)
        self.server.wait_queue_empty()
        self.assertEqual((1, 1), (len(self.server.fetch("ann")), len(self.server.fetch("ben"))))
        self.stranger("crew", sender="", rcpt=550)

    def test_a_member_whose_server_sends_all_back_makes_no_loop(self):
        self.post()
        [(_, text)] = self.sent_to("cid@far.test")
        self.stranger("crew", text, sender="cid@far.test")
        self.server.wait_queue_empty()
        self.assertEqual((1, 1, 1), (len(self.server.fetch("ann")), len(self.server.fetch("ben")), len(self.sink.mails)))

    def test_strangers_hear_at_rcpt_and_a_moderator_gets_what_they_write(self):
        self.stranger("crew", rcpt=550)
        self.stranger("crew", sender="ann@example.test", rcpt=550)  # she has not logged in
        self.stranger("friends")
        [octets] = self.server.mail("ann")
        self.assertEqual("[to approve] hello", parsed(octets)["Subject"])
        self.server.wait_queue_empty()
        self.assertEqual([], self.server.fetch("ben"))


class OtherScripts(Running):
    def test_vacation_answers_a_stranger_once(self):
        today = datetime.datetime.now(datetime.timezone.utc)
        script = shipped("vacation.lua").replace("2026-12-21", f"{today - datetime.timedelta(1):%Y-%m-%d}")
        self.run_server(script.replace("2027-01-06", f"{today + datetime.timedelta(1):%Y-%m-%d}"), "[memory]\n")
        self.stranger("ann")
        wait_until(lambda: self.sink.mails, "the answer")
        self.stranger("ann")
        self.stranger("ann", sender="")
        self.stranger("ann", letter(sender="y@far.test", to="ann@example.test", headers="List-Id: <x.far.test>\r\n"), sender="y@far.test")
        self.server.mail("ann", 4)
        self.server.wait_queue_empty()
        [(mail, rcpts, text)] = self.sink.mails
        self.assertIn("MAIL FROM:<>", mail)
        self.assertEqual(("x@far.test",), tuple(rcpts))
        self.assertIn(b"I am away until 6 January", text)

    def test_a_spare_way_when_the_provider_fails(self):
        spare = Sink()
        self.addCleanup(spare.close)
        script = shipped("smarthost.lua").replace("SPARE_AFTER = nil, 4", 'SPARE_AFTER = "spare", 1')
        self.run_server(script, f'[[delivery.route]]\nname = "spare"\nto = ["[{HOST}]:{spare.port}"]\n')
        self.server.submit("ann", "x@far.test", letter(sender="ann@example.test"))
        wait_until(lambda: self.sink.mails, "the provider")
        self.sink.refuse["y@far.test"] = "451 4.3.0 not now"
        self.server.submit("ann", ["y@far.test", "ben"], letter(sender="ann@example.test"))
        wait_until(lambda: spare.mails, "the spare way")
        self.server.wait_queue_empty()
        self.server.mail("ben")
        self.assertEqual([("y@far.test",)], [tuple(rcpts) for _, rcpts, _ in spare.mails])

    def test_the_archive_has_the_envelope_and_nobody_else(self):
        self.run_server(shipped("archive.lua"), accounts=("ann", "ben", "zoe", "archive", "postmaster"))
        self.server.submit("ann", ["ben", "zoe"], letter(sender="ann@example.test", to="ben@example.test"))  # zoe by Bcc
        for name in ("ben", "zoe"):
            self.assertNotIn(b"X-Journal", self.server.mail(name)[0])
        copy = parsed(self.server.mail("archive")[0])
        self.assertEqual(("<ann@example.test>", "<ben@example.test>, <zoe@example.test>", "ann@example.test"),
                         (copy["X-Journal-From"], copy["X-Journal-To"], copy["X-Journal-User"]))

    def test_what_is_in_quarantine_is_found_and_released(self):
        self.run_server(shipped("quarantine.lua"))
        self.stranger("ben", letter(sender="ann@example.test", to="ben@example.test"))
        self.server.wait_log("queue.held")
        listed = self.server.run("queue", "list", "--query", "held").stdout
        self.assertIn("a stranger in our name", listed)
        self.assertEqual([], self.server.fetch("ben"))
        identifier = re.search(r"\b[0-9a-z]{13}\b", listed)[0]
        self.server.run("queue", "release", identifier)
        self.server.mail("ben")


if __name__ == "__main__":
    main()

"""The tools that stand on trails: specs and the gate of a reload, explain, replay, the Lua prompt."""
import contextlib
import http.server
import json
import os
import sqlite3
import threading
import unittest

from postern import SCRIPT, Server, letter, main, wait_until

SPEC = """\
local spec = require "postern.spec"
spec.before(function(t) t:account("bob@example.test", "bob@example.test") end)
spec.case("mail for bob is delivered", function(t)
  t:mail { from = "a@foreign.test", to = "bob@example.test" }:expect_delivered("bob@example.test", "INBOX")
end)
spec.case("what is marked goes to Junk", function(t)
  t:mail { from = "a@foreign.test", to = "bob@example.test", text = "Subject: [junk] x\\n\\n" }:expect_delivered(nil, "Junk")
end)
spec.case("strangers do not relay", function(t)
  t:mail { from = "a@foreign.test", to = "x@abroad.test" }:expect_refused(550, "5.7.1"):expect_rule("gate")
end)
"""
LISTED = """\
local postern = require "postern"
postern.on("rcpt", { role = "mx" }, function(session, rcpt, mail)
  local answer, err = postern.dns.a(session.client.ip:reversed() .. ".bl.test")
  if err then return end
  if answer:any_in "127.0.0.0/24" then return postern.reject(550, "5.7.1", "listed") end
end)
""" + SCRIPT.split("\n", 1)[1]


class Specs(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.__exit__, None, None, None)

    def spec(self, text, name="mail_spec.lua"):
        (self.server.home / name).write_text(text)

    def test_cases_that_pass_and_fail(self):
        self.spec(SPEC)
        done = self.server.run("test")
        self.assertEqual(done.stdout.count("\nok") + done.stdout.startswith("ok"), 3, done.stdout)
        self.assertIn("3 cases, 0 failed", done.stdout)
        self.spec(SPEC.replace('"INBOX"', '"Elsewhere"'))
        done = self.server.run("test", self.server.home, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("mail_spec.lua:4: bob@example.test: expected delivery to bob@example.test in Elsewhere, but it was "
                      "delivered to bob@example.test in INBOX", done.stdout)
        self.assertIn("mail.lua:", done.stdout)  # the steps
        self.assertIn("3 cases, 1 failed", done.stdout)
        rows = [json.loads(line) for line in self.server.run("test", "--json", check=False).stdout.splitlines()]
        self.assertEqual([row.get("passed") for row in rows], [False, True, True, None])
        self.assertEqual(rows[-1]["failed"], 1)
        self.assertEqual(self.server.run("test", "--filter", "strangers", check=False).returncode, 0)

    def test_wrong_calls_and_broken_specs(self):
        self.assertEqual(self.server.run("test", check=False).returncode, 2)  # no spec there
        self.assertEqual(self.server.run("test", "/nowhere", check=False).returncode, 2)
        self.spec("local spec = require 'postern.spec'\nspec.cas('x')\n")
        done = self.server.run("test", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("mail_spec.lua:2", done.stderr)

    def test_what_is_not_stated_fails_the_case_with_the_question(self):
        self.server.write(script=LISTED)
        self.spec(SPEC)
        done = self.server.run("test", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('dns.a "1.113.0.203.bl.test"', done.stdout)
        self.spec(SPEC.replace("spec.before(function(t)", 'spec.before(function(t) t:dns("1.113.0.203.bl.test", "A")')
                  + """spec.case("who is listed is refused", function(t)
  t:dns("2.0.0.127.bl.test", "A", "127.0.0.2")
  t:mail { to = "bob@example.test", client = { ip = "127.0.0.2" } }:expect_refused(550, "5.7.1", "listed")
end)
""")
        self.assertIn("4 cases, 0 failed", self.server.run("test").stdout)

    def test_a_store_chance_and_the_hooks_of_the_queue(self):
        self.server.write(script=LISTED.replace("local answer, err", """
  local tries = postern.kv.incr("tries/" .. mail.sender, 1, "1h")
  postern.kv.set("drawn", tostring(math.random(1000000)))
  if tries < 2 then return postern.defer(451, "4.7.1", "again, please") end
  local answer, err""", 1) + """
postern.on("route", function(mail, event)
  if postern.kv.get "night" then event.gateway = "night.example.test:25" end
end)
postern.on("attempt", function(mail, event)
  if event.destination == "moving.test" then return postern.hold "1h" end
  if event.attempts > 5 then return nothing.at_all end
end)
""")
        self.spec("""local spec = require "postern.spec"
spec.before(function(t)
  t:account("Bob@example.test", "bob@example.test"):dns("1.113.0.203.bl.test", "A")
end)
local drawn
spec.case("the second mail is taken", function(t)
  local mail = { from = "a@foreign.test", to = "BOB@Example.test" }
  t:mail(mail):expect_refused(451, "4.7.1", "again")
  spec.equal(t:kv "tries/a@foreign.test", "1")
  local first = t:kv "drawn"
  t:mail(mail):expect_delivered("bob@example.test")
  t:seed(1)
  t:kv("tries/a@foreign.test", "7")
  t:mail(mail):expect_delivered()
  spec.equal(t:kv "drawn", first)
  t:clock(1767225600 + 3601)
  t:mail(mail):expect_delivered()          -- what the case put there has no end
end)
spec.case("nothing is left of another case", function(t)
  spec.equal(t:kv "tries/a@foreign.test", nil)
end)
spec.case("routes and attempts", function(t)
  t:event("route", { to = "x@far.test", tls = "verify" }):expect_route { tls = "verify" }
  t:kv("night", "yes")
  t:event("route", { to = "x@far.test" }):expect_route { gateway = "night.example.test:25" }
  t:event("attempt", { to = "x@moving.test" }):expect_held(3600)
  t:event("attempt", { to = "x@far.test" }):expect_nothing()
  t:event("attempt", { to = "x@far.test", attempts = 6 }):expect_failure "mail.lua:"
end)
spec.case("this fails", function(t) t:event("attempt", { to = "x@moving.test" }):expect_nothing() end)
""")
        done = self.server.run("test", check=False)
        self.assertIn("4 cases, 1 failed", done.stdout)
        self.assertIn("attempt: expected hooks that say nothing, but it was held for 3600 s", done.stdout)

    def test_specs_without_a_configuration(self):
        self.spec(SPEC.replace("spec.before", 'spec.scripts "mail.lua"\nspec.before', 1))
        done = self.server.run("test", self.server.home / "mail_spec.lua", "--config", "/nowhere/postern.toml", config=False)
        self.assertIn("3 cases, 0 failed", done.stdout)

    def test_a_reload_is_refused_when_one_fails_and_a_start_only_warns(self):
        self.spec(SPEC.replace('"INBOX"', '"Elsewhere"'))
        self.server.start()
        self.server.wait_log("specs.failed")
        done = self.server.run("reload", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("mail_spec.lua:4", done.stderr)
        self.assertIn("postern_reload_failures_total 1", self.server.run("metrics").stdout)
        self.spec(SPEC)
        self.server.run("reload")
        self.spec(SPEC.replace('"INBOX"', '"Elsewhere"'))
        self.server.config_file.write_text(self.server.toml().replace("[pipeline]", "[pipeline]\nspecs = false"))
        self.server.run("reload")


class Recorded(unittest.TestCase):
    """A server that takes mail of several kinds, whose trails and texts are kept."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server("[archive]\nkeep = \"all\"\n", accounts=["alice", "bob", "carol"], script=SCRIPT.replace(
            '{ when = match.recipient_is_local', '{ when = match.subject_is "no", act.bounce("5.7.1", "said no") },\n'
            '  { when = match.subject_is "twice", act.set_header("X-Twice", "yes"), act.go "local" },\n'
            '  { when = match.recipient_is_local'))
        cls.addClassCleanup(cls.server.__exit__, None, None, None)
        cls.server.start()
        with cls.server.smtp("mx") as talk:
            talk.ehlo().mail("a@foreign.test", "bob@example.test").data(letter("plain"), 250)
            talk.mail("a@foreign.test", "bob@example.test", "carol@example.test").data(letter("[junk] two"), 250)
            talk.mail("a@foreign.test", "bob@example.test").data(letter("no"), 550)
            talk.say("MAIL FROM:<a@foreign.test>").expect(250)
            talk.say("RCPT TO:<nobody@example.test>").expect(550)
            talk.say("RCPT TO:<x@abroad.test>").expect(550)
            talk.say("RSET").expect(250).say("QUIT").expect(221)
        cls.server.submit("alice", ["bob", "carol"], letter("twice"))
        cls.server.mail("bob", 2)
        cls.server.stop()
        cls.home = cls.server.home

    def replay(self, *arguments, check=True):
        done = self.server.run("replay", "--json", *arguments, check=check)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return done, rows[:-1], rows[-1]

    def test_a_replay_of_unchanged_scripts_differs_nowhere(self):
        done, findings, total = self.replay("--fail-over", 0)
        self.assertEqual(findings, [])
        self.assertEqual(total["replayed"], 5)
        self.assertEqual(total["differ"] + total["unanswered"] + total["without_body"], 0)
        self.assertIn("5 transactions replayed", self.server.run("replay").stdout)

    def test_a_changed_script_is_told_with_what_differs(self):
        new = self.home / "new"
        new.mkdir(exist_ok=True)
        (new / "mail.lua").write_text(self.server.script_file.read_text().replace('folder = "Junk"', 'folder = "Spam"'))
        done, findings, total = self.replay("--scripts", new, "--fail-over", 1)
        self.assertEqual(total["differ"], 1)
        self.assertEqual(total["routes"], 4)  # two accounts, there and here
        texts = [change["text"] for change in findings[0]["changes"]]
        self.assertTrue(any("folder Junk" in text for text in texts) and any("folder Spam" in text for text in texts), texts)
        done, *_ = self.replay("--scripts", new, "--fail-over", 0, check=False)
        self.assertEqual(done.returncode, 1)

    def test_a_question_that_nobody_answered_is_reported(self):
        listed = self.home / "listed.lua"
        listed.write_text(LISTED)
        _, findings, total = self.replay("--scripts", listed)
        self.assertEqual(total["unanswered"], 3)  # those that came to a hook at RCPT on the mx
        self.assertEqual({one["effect"] for found in findings for one in found["unanswered"]}, {"dns.a"})

    def test_wrong_times_and_scripts(self):
        self.assertEqual(self.server.run("replay", "--since", "soon", check=False).returncode, 2)
        self.assertEqual(self.server.run("replay", "--scripts", "/nowhere", check=False).returncode, 2)
        _, _, total = self.replay("--until", "2020-01-01")
        self.assertEqual(total["replayed"], 0)

    def test_the_prompt_on_a_recorded_mail(self):
        record = [json.loads(line) for line in self.server.run("why", "carol@example.test", "--json").stdout.splitlines()]
        mail = next(row for row in record if row["message"] and len(row["recipients"]) == 2 and row["sender"] == "a@foreign.test")
        done = self.server.run("lua", "repl", "--id", mail["message"], text='mail:header "Subject"\nlocal n = #mail.recipients\nn + 1\n'
                               'session.ehlo\n{ a = 1, "x" }\npostern.dns.a "new.test"\n')
        self.assertEqual(done.stdout.splitlines()[:4], ["[junk] two", "3", "client.example.test", '{ "x", a = 1 }'], done.stdout)
        self.assertIn('? dns.a "new.test" was not asked', done.stdout)

    def test_the_prompt_on_a_file(self):
        mail = self.home / "mail.eml"
        mail.write_text("Subject: from a file\n\nhi\n")
        done = self.server.run("lua", "repl", "--message", mail, text='mail:header "Subject"\nfor i = 1, 2 do\nprint(i)\nend\nnonsense(\n', check=False)
        self.assertEqual(done.stdout.splitlines()[:3], ["from a file", "1", "2"], done.stdout + done.stderr)
        self.assertEqual(done.returncode, 1)


class Counting(http.server.BaseHTTPRequestHandler):
    asked = []

    def answer(self):
        self.asked.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"page")

    do_GET = do_POST = answer

    def log_message(self, *arguments):
        pass


class Explain(unittest.TestCase):
    def test_the_world_is_asked_and_not_changed(self):
        web = http.server.HTTPServer(("127.0.0.1", 0), Counting)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        self.addCleanup(web.server_close)
        self.addCleanup(web.shutdown)
        port = web.server_address[1]
        script = SCRIPT.replace('local postern = require "postern"', f"""local postern = require "postern"
postern.on("mail", function(session, mail)
  local rows, why = postern.sql.query("lite", "SELECT count(*) AS n FROM users WHERE lower(name) = ?", "bob")
  local gone = postern.sql.query("lite", "DELETE FROM users")
  local page = postern.http.get "http://127.0.0.1:{port}/page"
  local sent = postern.http.post("http://127.0.0.1:{port}/hook", {{ body = "x" }})
  local number = postern.kv.incr "n" + postern.kv.incr "n"
  mail.notes.seen = table.concat({{ rows and rows[1].n or why, gone.changed, page.body, sent.status, number }}, " ")
end)
postern.on("rcpt", function(session, rcpt, mail) return postern.reject(550, "5.7.1", mail.notes.seen) end)
""", 1)
        with Server(script=script) as server:
            with contextlib.closing(sqlite3.connect(server.home / "lite.db")) as lite:
                lite.executescript("CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('Bob')")
            server.write(extra=f'[http]\nallow_private = ["127.0.0.1:{port}"]\n[[sqlite]]\nname = "lite"\n'
                         f'file = "{server.home}/lite.db"\nread_only = false\n', script=script)
            ask = ["explain", "--from", "a@foreign.test", "--to", "bob@example.test", "--ip", "127.0.0.9"]
            done = server.run(*ask)
            self.assertIn("550 5.7.1 1 1 page 200 3", done.stdout)
            self.assertIn("would be done at mail: sql lite: DELETE FROM users", done.stdout)
            self.assertIn(f"would be done at mail: http POST http://127.0.0.1:{port}/hook", done.stdout)
            self.assertIn('would be done at mail: kv.incr memory "n" +1', done.stdout)
            self.assertIn('the store "memory" is in the running server', done.stdout)
            [row] = [json.loads(line) for line in server.run(*ask, "--json").stdout.splitlines()]
            self.assertEqual([deed["effect"] for deed in row["would_do"]], ["sql", "http", "kv.incr", "kv.incr"])
            self.assertEqual(Counting.asked, ["GET /page"] * 2)
            with contextlib.closing(sqlite3.connect(server.home / "lite.db")) as lite:
                self.assertEqual(lite.execute("SELECT count(*) FROM users").fetchone(), (1,))

    def test_local_refused_and_relayed(self):
        extra = '[[delivery.route]]\nname = "partner"\ndomains = ["partner.test"]\nto = ["[127.0.0.1]:9"]\ntls = "none"\n'
        script = SCRIPT.replace('{ act.bounce("5.7.1", "relaying denied") }', '{ when = match.relay_allowed, act.relay }, { act.bounce("5.7.1", "no") }')
        with Server(extra, script=script) as server:
            done = server.run("explain", "--from", "a@foreign.test", "--to", "bob@example.test", "--to", "x@abroad.test", "--ip", "127.0.0.9")
            self.assertIn("delivered to bob@example.test in INBOX", done.stdout)
            self.assertIn("stranger/anonymous/foreign", done.stdout)
            self.assertIn("mail.lua:", done.stdout)
            self.assertIn("550 5.7.1", done.stdout)
            relay = ["explain", "--from", "alice@example.test", "--to", "x@partner.test", "--ip", "127.0.0.9", "--role", "submission",
                     "--auth", "alice@example.test", "--tls"]
            done = server.run(*relay)
            self.assertIn("route partner", done.stdout)
            self.assertIn("127.0.0.1:9", done.stdout)
            [row] = [json.loads(line) for line in server.run(*relay, "--json").stdout.splitlines()]
            self.assertEqual(row["recipients"][0]["action"], "relay")
            self.assertEqual(row["recipients"][0]["way"]["rows"][0]["route"], "partner")
            self.assertEqual(server.queued(), 0)
            server.stop()
            self.assertIn("no server runs", server.run(*relay).stdout)
            server.start()


if __name__ == "__main__":
    main()

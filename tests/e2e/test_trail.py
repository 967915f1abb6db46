"""The trail store: stories, the index, the erasure of a person, the archive, and that no secret gets in."""
import base64
import json
import unittest

from postern import DOMAIN, Server, b64, letter, main, password_of, wait_until

SCRIPT = """\
local postern = require "postern"
local match, act = postern.match, postern.act
postern.on("connect", { role = "lmtp" }, function(session)
  return postern.reject(554, "5.7.1", "not for you")
end)
local function broken(mail) return mail.nothing.here end
postern.pipeline "root" {
  { when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  { name = "noise", when = match.subject_starts_with "[noise]", act.discard("noise is not wanted") },
  { name = "careful", when = match.subject_starts_with "[broken]", act.go "careful" },
  { when = match.recipient_is_local, act.go "local" },
  { act.bounce("5.7.1", "relaying denied") },
}
postern.pipeline "careful" { { name = "oops", when = broken, act.deliver { folder = "INBOX" } }, { act.deliver { folder = "INBOX" } } }
postern.pipeline "local" { { name = "inbox", act.deliver { folder = "INBOX" } } }
"""

EXTRA = f"""\
[[alias]]
from = "sales@{DOMAIN}"
to = ["bob@{DOMAIN}"]
[archive]
keep = "all"
"""


class Trails(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(EXTRA, script=SCRIPT, accounts=("alice", "bob", "carol")))

    def why(self, *arguments, contains=""):
        """What `postern why` says, once it knows."""
        def told():
            done = self.server.run("why", *arguments, check=False)
            return done.stdout if done.returncode == 0 and contains in done.stdout else None
        return wait_until(told, f"a story of {arguments} with {contains!r}")

    def octets(self, folder="trail"):
        return b"".join(f.read_bytes() for f in sorted((self.server.state / folder).iterdir()) if f.is_file())

    # ---- stories

    def test_an_accepted_mail_through_an_alias(self):
        with self.server.smtp() as talk:
            id = talk.ehlo("teller.test").mail("ann@foreign.test", f"sales@{DOMAIN}").data(letter("hello")).last.split()[-1]
        self.server.wait_queue_empty()
        self.why(id, contains=f"The mail {id} was accepted on ")
        story = self.why(id, contains="Nothing of the mail waits")
        self.assertTrue(story.startswith(f"The mail {id} was accepted on "), story)
        for part in ("It introduced itself as teller.test.", "It had a mail from ann@foreign.test.",
                     f"sales@{DOMAIN} is an alias for bob@{DOMAIN}.", "into the folder INBOX", "decided by the rule inbox at ", "mail.lua:"):
            self.assertIn(part, story)

    def test_somebody_who_wanted_to_relay(self):
        with self.server.smtp() as talk:
            talk.ehlo().say("MAIL FROM:<relay@foreign.test>").expect(250).say("RCPT TO:<victim@elsewhere.test>").expect(550).say("QUIT").expect(221)
        story = self.why("victim@elsewhere.test")
        self.assertIn("we do not pass on mail of a stranger", story)
        self.assertIn("victim@elsewhere.test was refused; the sender was told \"550 ", story)
        self.assertEqual(story, self.why("--recipient", "victim@elsewhere.test", "--refused", "--since", "1h"))
        self.assertNotEqual(self.server.run("why", "victim@elsewhere.test", "--accepted", check=False).returncode, 0)

    def test_a_mail_that_a_rule_threw_away(self):
        with self.server.smtp() as talk:
            id = talk.ehlo().mail("ann@foreign.test", f"bob@{DOMAIN}").data(letter("[noise] x")).last.split()[-1]
        story = self.why(id)
        self.assertIn("gets nothing: the mail was accepted and thrown away (noise is not wanted). [decided by the rule noise at ", story)
        self.assertIn(id, self.why("--rule", "noise"))

    def test_a_mail_that_was_put_off_because_a_rule_failed(self):
        with self.server.smtp() as talk:
            talk.ehlo().mail("deferred@foreign.test", f"bob@{DOMAIN}").data(letter("[broken] x"), 451)
        story = self.why("deferred@foreign.test")
        self.assertIn("The rule oops", story)
        self.assertIn("failed: ", story)
        self.assertIn(f"bob@{DOMAIN} was put off; the sender's server was told \"451 ", story)

    def test_a_session_that_was_ended_when_it_connected(self):
        with self.server.smtp("lmtp") as talk:
            talk.expect(554)
        story = self.why("--refused", contains="not for you")
        self.assertIn("A session was refused on ", story)

    def test_steps_and_data(self):
        with self.server.smtp() as talk:
            id = talk.ehlo().mail("ann@foreign.test", f"bob@{DOMAIN}").data(letter("x")).last.split()[-1]
        row = json.loads(self.why("--id", id, "--json"))
        self.assertEqual(row["message"], id)
        self.assertEqual(row["fates"][0]["rule"], "inbox")
        self.assertTrue(row["steps"] and row["story"][0]["at"])
        self.assertIn("rule inbox at ", self.why(id, "--steps"))
        self.assertEqual(self.server.run("why", "nobody@nowhere.test", check=False).returncode, 1)
        self.assertEqual(self.server.run("why", id, "--since", "yesterday", check=False).returncode, 2)

    # ---- the archive

    def test_the_archive_has_accepted_and_refused_mail_as_it_came(self):
        text = letter("[broken] keep me")
        with self.server.smtp() as talk:
            talk.ehlo().mail("ann@foreign.test", f"bob@{DOMAIN}").data(text, 451)
        good = letter("keep me, too")
        with self.server.smtp() as talk:
            id = talk.ehlo().mail("ann@foreign.test", f"bob@{DOMAIN}").data(good).last.split()[-1]
        file = self.server.state / "archive" / f"{id}.eml"
        kept = wait_until(lambda: file.exists() and file.read_bytes(), "the archived mail")
        head, _, octets = kept.partition(b"\n\n")
        self.assertEqual(octets, good)
        self.assertEqual(head.decode(), f"postern-archive 1\nsender ann@foreign.test\nrecipient bob@{DOMAIN}")
        wait_until(lambda: text in self.octets("archive"), "the refused mail in the archive")

    # ---- secrets

    def test_no_password_gets_below_the_state_folder(self):
        right, wrong = password_of("carol"), "a wrong Password 7f3a"
        carol = f"carol@{DOMAIN}"
        with self.server.smtp("lesson") as talk:
            talk.ehlo().say("AUTH PLAIN " + b64(f"\0{carol}\0{wrong}")).expect(535)
            talk.say("AUTH PLAIN").expect(334).say(b64(f"\0{carol}\0{wrong}")).expect(535)
            talk.say("AUTH LOGIN").expect(334).say(b64(carol)).expect(334).say(b64(wrong)).expect(535)
        with self.server.smtp("lesson") as talk:
            talk.ehlo().say("AUTH PLAIN " + b64(f"\0{carol}\0{right}")).expect(235)
            talk.say(f"MAIL FROM:<{carol}>").expect(250).say("RCPT TO:<x@nowhere.invalid>").expect(250, 550, 451)
            talk.say(f"RCPT TO:<bob@{DOMAIN}>").expect(250).data(letter("mine", sender=carol))
        story = self.why("--sender", carol)
        self.assertIn(f"It logged in as {carol}.", story)
        self.server.run("why", carol, "--steps")
        forbidden = [right.encode(), wrong.encode()]
        for password in (right, wrong):
            for form in (password, f"\0{carol}\0{password}"):
                # base64 of the password wherever it begins within a group of three octets
                forbidden += [base64.b64encode(b"\0" * shift + form.encode())[4 * (shift > 0):-4] for shift in range(3)]
        for file in self.server.state.rglob("*"):
            if file.is_file():
                octets = file.read_bytes()
                for secret in forbidden:
                    self.assertNotIn(secret, octets, f"{file} has {secret!r}")
        self.assertIn(b"carol", self.octets())  # the look was at the right place

    # ---- administration

    def test_stats_and_reindex(self):
        with self.server.smtp() as talk:
            id = talk.ehlo().mail("ann@foreign.test", f"bob@{DOMAIN}").data(letter("x")).last.split()[-1]
        self.why(id)
        stats = json.loads(self.server.run("trail", "stats", "--json").stdout)
        self.assertGreater(stats["octets"], 0)
        self.assertGreater(stats["written"], 0)
        self.assertEqual(stats["dropped"], 0)
        self.assertIn("the oldest from ", self.server.run("trail", "stats").stdout)
        self.assertIn("files", json.loads(self.server.run("trail", "reindex", "--json").stdout))
        self.why(id)


class Life(unittest.TestCase):
    """What happens over restarts, and without a server."""

    def send(self, server, sender, *recipients):
        with server.smtp() as talk:
            return talk.ehlo().mail(sender, *recipients).data(letter("x", sender=sender, to=recipients[0])).last.split()[-1]

    def everything(self, server):
        return b"".join(f.read_bytes() for folder in ("trail", "archive") for f in (server.state / folder).iterdir())

    def test_after_a_restart_the_index_knows_what_was_written_before(self):
        with Server(script=SCRIPT) as server:
            id = self.send(server, "ann@foreign.test", f"bob@{DOMAIN}")
            server.wait_queue_empty()
            server.restart()
            def indexed():
                return json.loads(server.run("trail", "stats", "--json").stdout)["indexed_records"] > 0
            wait_until(indexed, "the index")
            self.assertIn(id, server.run("why", id).stdout)
            index = server.state / "trail" / "index.sqlite"
            server.stop()
            self.assertIn("No server runs", server.run("why", id).stdout)
            for name in ("index.sqlite-wal", "index.sqlite-shm"):
                (server.state / "trail" / name).unlink(missing_ok=True)
            index.write_bytes(b"this is no index" * 1000)
            self.assertIn(id, server.run("why", id).stdout)
            server.start()
            server.wait_log("trail.index_rebuilt")
            wait_until(indexed, "the index made anew")
            self.assertIn(id, server.run("why", id).stdout)

    def test_a_person_is_erased_while_the_server_runs_and_without_one(self):
        with Server(EXTRA, script=SCRIPT) as server:
            for sender in ("ann@foreign.test", "dora@foreign.test"):
                own = self.send(server, sender, f"bob@{DOMAIN}")
                with server.smtp() as talk:
                    talk.ehlo().say(f"MAIL FROM:<{sender}>").expect(250).say("RCPT TO:<ann@foreign.test>").expect(550).say("QUIT").expect(221)
                wait_until(lambda: own in server.run("why", sender, check=False).stdout, "the trail")
            server.wait_queue_empty()
            self.assertIn(b"ann@foreign.test", self.everything(server))
            def told():
                return json.loads(server.run("trail", "erase", "Ann@foreign.test", "--dry-run", "--json").stdout)["redacted"] == 3
            wait_until(told, "the record of the delivery")
            would = json.loads(server.run("trail", "erase", "Ann@foreign.test", "--dry-run", "--json").stdout)
            self.assertEqual((would["removed"], would["redacted"], would["archived"]), (1, 3, 1), would)  # one of them tells of the delivery
            refused = server.run("trail", "erase", "ann@foreign.test", check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("say --yes", refused.stderr)
            self.assertIn(b"ann@foreign.test", self.everything(server))
            done = json.loads(server.run("trail", "erase", "ann@foreign.test", "--yes", "--json").stdout)
            self.assertEqual((done["removed"], done["redacted"], done["archived"], done["waiting"]), (1, 3, 1, []), done)
            self.assertNotIn(b"ann@foreign.test", self.everything(server).lower())
            self.assertIn("erased@erased.invalid", server.run("why", f"bob@{DOMAIN}").stdout)
            self.assertEqual(server.run("why", "ann@foreign.test", check=False).returncode, 1)
            self.assertIn("dora@foreign.test", server.run("why", "dora@foreign.test").stdout)
            later = self.send(server, "eve@foreign.test", f"bob@{DOMAIN}")  # the log goes on
            wait_until(lambda: later in server.run("why", later, check=False).stdout, "the trail")
            server.wait_queue_empty()
            server.stop()
            text = server.run("trail", "erase", "dora@foreign.test", "--yes").stdout
            self.assertIn("records were removed", text)
            self.assertIn("no server could be asked", text)
            self.assertNotIn(b"dora@foreign.test", self.everything(server))
            self.assertIn(later, server.run("why", later).stdout)
            self.assertEqual(server.run("trail", "erase", "nonsense", "--yes", check=False).returncode, 2)
            server.start()
            self.assertIn(later, server.run("why", later).stdout)

    def test_a_flood_by_one_source_is_told(self):
        with Server('[trail]\nsource_rate = "1 KiB"\nrate = "64 KiB"\n', script=SCRIPT) as server:
            for number in range(40):
                with server.smtp() as talk:
                    talk.ehlo().say(f"MAIL FROM:<flood{number}@foreign.test>").expect(250)
                    talk.say("RCPT TO:<victim@elsewhere.test>").expect(550).say("QUIT").expect(221)
            wait_until(lambda: "were not kept" in server.run("why", "--refused", check=False).stdout, "what was not kept", 40)
            stats = json.loads(server.run("trail", "stats", "--json").stdout)
            self.assertGreater(stats["dropped_of_source"], 10)


if __name__ == "__main__":
    main()

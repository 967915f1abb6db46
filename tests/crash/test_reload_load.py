"""Reloads under load: scripts change while mail comes in, and no message that got a 250 is missing, none comes twice.

Each reload swaps the script for another that puts the mail into another folder or waits for a look-up first; now and then one is refused
(a broken script, a spec that fails), which must change nothing. At the end each message lies in exactly one folder of each of its recipients.

RELOADS=1000 for the whole run by hand, SEED=N to repeat its choices.
"""
# ctest: timeout=420
import collections
import os
import pathlib
import random
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from postern import PATIENCE, SANITIZED, Server, main, token_of  # noqa: E402
from test_kill import NAMES, Heard, Sender  # noqa: E402

RELOADS = int(os.environ.get("RELOADS", 20 if SANITIZED else 60))
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))

SCRIPT = """
local postern = require "postern"
local match, act = postern.match, postern.act
postern.on("rcpt", function(session, rcpt)
  session.notes.generation = {generation}
  {wait}
end)
local function noted(mail) return mail.size > 0 end
postern.pipeline "root" {{
  {{ when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") }},
  {{ when = noted, act.set_header("X-Generation", "{generation}"), act.go "local" }},
  {{ act.bounce("5.7.1", "nothing has a size") }},
}}
postern.pipeline "local" {{
  {{ act.deliver {{ folder = "{folder}" }} }},
}}
"""
WAITS = ["", 'postern.dns.a("nobody.invalid")']
FOLDERS = ["INBOX", "Other"]
BROKEN = ["this is no Lua", 'local postern = require "postern"\npostern.pipeline "root" {{ {{ when = true }} }}']
SPEC = """
local spec = require "postern.spec"
spec.scripts "mail.lua"
spec.case("mail for bob lies somewhere", function(t)
  t:domain("example.test", "local")
  t:account("bob@example.test", "bob")
  local r = t:mail {{ from = "a@foreign.test", to = "bob@example.test", text = "Subject: x\\n\\nhi\\n" }}
  r:expect_delivered("bob", "{folder}")
end)
"""


class Reloads(unittest.TestCase):
    def test_no_loss_and_no_duplicate_over_reloads(self):
        print(f"SEED={SEED} RELOADS={RELOADS}", flush=True)
        luck, heard = random.Random(SEED), Heard()
        # Nobody answers there: a hook that asks waits, and is overtaken by reloads.
        server = Server(accounts=NAMES, listeners=["mx"], script=self.script(0, "INBOX", ""),
                        extra="[smtp]\nmax_connections_per_ip = 1000\n[dns]\nservers = [\"127.0.0.1:9\"]\ntries = 1\ntimeout = \"100ms\"\n")
        taken = refused = 0
        with server:
            senders = [Sender(server, heard, random.Random(luck.random())) for _ in range(4)]
            for sender in senders:
                sender.start()
            for number in range(1, RELOADS + 1):
                folder = luck.choice(FOLDERS)
                kind = luck.random()
                text = self.script(number, folder, luck.choice(WAITS))
                if kind < 0.1:
                    text = luck.choice(BROKEN).format()
                server.write(script=text)
                code = self.reload(server)
                if kind < 0.1:
                    self.assertEqual(code, 1, "a broken script was taken")
                    refused += 1
                else:
                    self.assertEqual(code, 0)
                    taken += 1
                time.sleep(luck.uniform(0, 0.05))
            for sender in senders:
                sender.stop = True
            for sender in senders:
                sender.join(2 * PATIENCE)
                self.assertFalse(sender.is_alive(), "a client hangs")
            server.wait_queue_empty(6 * PATIENCE)
            self.compare(server, heard)
            print(f"{taken} reloads taken, {refused} refused, {len(heard.accepted)} messages promised", flush=True)
            self.assertGreater(len(heard.accepted), RELOADS, "too little load for a test that means something")

    def test_a_spec_that_fails_refuses_the_reload(self):
        server = Server(accounts=NAMES, listeners=["mx"], script=self.script(0, "INBOX", ""))
        with server:
            spec = server.home / "mail_spec.lua"
            server.write(script=self.script(1, "Other", ""))
            spec.write_text(SPEC.format(folder="INBOX"))
            self.assertEqual(self.reload(server), 1)
            spec.write_text(SPEC.format(folder="Other"))
            self.assertEqual(self.reload(server), 0, server.log()[-3000:])

    @staticmethod
    def script(generation, folder, wait):
        return SCRIPT.format(generation=generation, folder=folder, wait=wait)

    @staticmethod
    def reload(server):
        """Another reload may still be under way (the start's own look at the specs)."""
        for _ in range(200):
            done = server.run("reload", check=False)
            if "reload.busy" not in done.stdout + done.stderr and "under way" not in done.stderr:
                return done.returncode
            time.sleep(0.05)
        raise AssertionError(done.stdout + done.stderr)

    def compare(self, server, heard):
        have = {name: collections.Counter() for name in NAMES}
        for name in NAMES:
            for folder in ("", "Other"):
                for file in server.files(name, folder) if (server.maildir(name, folder)).is_dir() else []:
                    have[name][token_of(file.read_bytes().replace(b"\r\n", b"\n"))] += 1
        lost = [(t, n) for t in heard.accepted for n in heard.sent[t] if have[n][t] == 0]
        twice = [(t, n, have[n][t]) for t, to in heard.sent.items() for n in NAMES if have[n][t] > 1 or (have[n][t] and n not in to)]
        self.assertEqual(lost, [], f"{len(lost)} promised messages are missing (SEED={SEED})")
        self.assertEqual(twice, [], f"{len(twice)} messages came more than once (SEED={SEED})")


if __name__ == "__main__":
    main()

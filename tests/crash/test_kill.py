"""kill -9 at random moments under load: no message that got a 250 is ever missing, and none is delivered twice.

Each round starts the server, loads it over several connections, and kills it in the middle. Every message has a token.
At the end the last server empties its queue, and the Maildirs are compared with what the senders heard:

  250 heard      in the Maildir of each recipient exactly once
  no 250 heard   at most once (the answer may have been lost on its way)

Some messages go to two recipients, some are large enough for a body file; one mailbox is read and emptied over POP3
meanwhile, since a delivery whose file the user has already moved away must not be delivered again.

ROUNDS=50 for a thorough run by hand, SEED=N to repeat the moments of one.
"""
# ctest: timeout=420
import collections
import json
import os
import pathlib
import random
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from postern import PATIENCE, SANITIZED, Server, letter, main, token_of, wait_until  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", 5))
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
SENDERS = 8
NAMES = ["alice", "bob", "carol", "dora"]
READER = "dora"  # reads and deletes while mail comes in


class Heard:
    """What the senders know, for all rounds."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sent = {}  # token: recipients
        self.accepted = set()
        self.fetched = collections.Counter()  # (name, token) that the reader deleted, with +OK to its QUIT
        self.maybe_fetched = set()  # read and marked for deletion, QUIT not answered


class Sender(threading.Thread):
    """Sends until its connection dies or it is told to stop; notes what was promised."""

    def __init__(self, server, heard, random):
        super().__init__(daemon=True)
        self.server, self.heard, self.random = server, heard, random
        self.stop = False

    def run(self):
        try:
            while not self.stop:
                with self.server.smtp("mx", timeout=PATIENCE) as talk:
                    talk.ehlo()
                    for _ in range(self.random.randint(1, 40)):
                        self.one(talk)
                        if self.stop:
                            return
        except (OSError, AssertionError):
            pass  # the server was killed; whether it died by itself is checked elsewhere

    def one(self, talk):
        to = self.random.sample(NAMES, self.random.choice([1, 1, 1, 2]))
        size = self.random.choice([100, 1000, 5000, 30_000]) if self.random.random() < 0.97 else 400_000
        text = letter("crash", "x" * 70 + "\r\n" + ("y" * 75 + "\r\n") * (size // 77))
        token = token_of(text)
        with self.heard.lock:
            self.heard.sent[token] = to
        talk.mail("a@foreign.test", *[f"{n}@example.test" for n in to])
        talk.data(text)  # raises when the answer is not 250, or none comes
        with self.heard.lock:
            self.heard.accepted.add(token)


class Reader(threading.Thread):
    """A user who fetches and deletes all the time."""

    def __init__(self, server, heard):
        super().__init__(daemon=True)
        self.server, self.heard, self.stop = server, heard, False

    def run(self):
        while not self.stop:
            try:
                self.session()
            except (OSError, AssertionError):
                if self.server.process is None or self.server.process.poll() is not None:
                    return
            time.sleep(0.1)

    def session(self):
        with self.server.pop(READER) as talk:
            count = min(50, int(talk.say("STAT").expect_pop().last.split()[1]))
            tokens = []
            for number in range(1, count + 1):
                talk.say(f"RETR {number}").expect_pop()
                tokens.append(token_of(talk.octets_to_dot()))
                talk.say(f"DELE {number}").expect_pop()
            with self.heard.lock:
                self.heard.maybe_fetched.update(tokens)
            talk.say("QUIT").expect_pop()
            with self.heard.lock:
                self.heard.fetched.update(tokens)
                self.heard.maybe_fetched.difference_update(tokens)


class Kill(unittest.TestCase):
    def test_no_loss_and_no_duplicate_over_kills(self):
        print(f"SEED={SEED} ROUNDS={ROUNDS}", flush=True)
        luck = random.Random(SEED)
        heard = Heard()
        server = Server(accounts=NAMES, listeners=["mx", "pop3s"], extra="[smtp]\nmax_connections_per_ip = 1000\n")
        with server:
            for number in range(ROUNDS):
                promised = len(heard.accepted)
                self.load_and_kill(server, heard, luck)
                print(f"round {number + 1}: {len(heard.accepted) - promised} promised, {len(heard.sent)} sent in all", flush=True)
                server.start()
            if not SANITIZED:
                self.assertGreater(len(heard.accepted), 20 * ROUNDS, "too little load for a test that means something")
            self.release_what_was_set_aside(server)
            server.wait_queue_empty(6 * PATIENCE)
            self.compare(server, heard)
            server.restart()  # nothing comes back to life either
            server.wait_queue_empty(PATIENCE)
            self.compare(server, heard)
            self.assertNotIn("spool.damage", server.log())

    def load_and_kill(self, server, heard, luck):
        senders = [Sender(server, heard, random.Random(luck.random())) for _ in range(SENDERS)]
        reader = Reader(server, heard)
        for thread in (*senders, reader):
            thread.start()
        time.sleep(luck.uniform(0.05, 3.0))
        died_alone = server.process.poll() is not None
        log = server.log(False)[-4000:]
        server.kill()
        for thread in senders:
            thread.stop = True
        reader.stop = True
        for thread in (*senders, reader):
            thread.join(2 * PATIENCE)
            self.assertFalse(thread.is_alive(), "a client hangs although its server is gone")
        self.assertFalse(died_alone, "the server died by itself:\n" + log)
        server.no_findings()

    def release_what_was_set_aside(self, server):
        """What was handled alone in its second crash is held, or in a third, since it may be the cause; here it is not. Nothing else is held."""
        def rows():
            return [json.loads(line) for line in server.run("queue", "list", "--limit", 100_000, "--json").stdout.splitlines()]

        wait_until(lambda: all(row["state"] == "held" for row in rows()), "nothing but held messages", 6 * PATIENCE)
        held = rows()
        print(f"{len(held)} had been set aside", flush=True)
        for row in held:
            self.assertTrue(row["why"].startswith("poison: "), row)
            server.run("queue", "release", row["id"])

    def compare(self, server, heard):
        counts = collections.Counter(heard.fetched)
        have = {name: collections.Counter() for name in NAMES}
        for name in NAMES:
            for file in server.files(name):
                token = token_of(file.read_bytes().replace(b"\r\n", b"\n"))
                self.assertIsNotNone(token, f"{file} is not whole")
                have[name][token] += 1
        for token in counts:
            have[READER][token] += counts[token]
        lost, twice, unknown = [], [], []
        for token, to in heard.sent.items():
            for name in NAMES:
                n = have[name][token]
                if n > 1 or (n == 1 and name not in to):
                    twice.append((token, name, n))
                if token in heard.accepted and name in to and n == 0 and not (name == READER and token in heard.maybe_fetched):
                    lost.append((token, name))
        for name in NAMES:
            unknown += [(t, name) for t in have[name] if t not in heard.sent]
        self.assertEqual(lost, [], f"{len(lost)} promised messages are missing (SEED={SEED})")
        self.assertEqual(twice, [], f"{len(twice)} messages came more than once (SEED={SEED})")
        self.assertEqual(unknown, [], "messages that nobody sent")
        for name in NAMES:
            box = server.maildir(name) / "tmp"
            left = list(box.iterdir()) if box.is_dir() else []
            self.assertEqual(left, [], f"remnants in {name}'s tmp")


if __name__ == "__main__":
    main()

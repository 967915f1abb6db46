"""Limits: clients that are silent, that err, that are too many; a disk that is full."""
import os
import shutil
import subprocess
import threading
import time
import unittest

from postern import HOST, PATIENCE, SANITIZED, Server, b64, letter, main, token_of, wait_until


class Clients(unittest.TestCase):
    def test_a_silent_client_is_sent_away_and_told_why(self):
        with Server(listeners=["mx"], extra='[smtp]\ncommand_timeout = "1s"\n') as server, server.smtp("mx") as talk:
            talk.ehlo()
            began = time.monotonic()
            talk.expect(421, "4.4.2")
            self.assertGreater(time.monotonic() - began, 0.8)
            self.assertTrue(talk.ended())

    def test_silence_within_the_text_ends_the_session_and_the_message(self):
        with Server(extra='[smtp]\ndata_timeout = "1s"\n') as server, server.smtp("mx") as talk:
            talk.ehlo().mail("a@foreign.test", "bob@example.test").say("DATA").expect(354).send(b"Subject: half\r\n")
            talk.expect(421, "4.4.2")
            self.assertTrue(talk.ended())
            self.assertEqual(server.queued(), 0)

    def test_a_trickle_does_not_outlive_the_time_for_a_text(self):
        with Server(listeners=["mx"], extra='[smtp]\ntransfer_timeout = "10s"\ndata_timeout = "5s"\n') as server, server.smtp("mx") as talk:
            talk.ehlo().mail("a@foreign.test", "bob@example.test").say("DATA").expect(354)
            began = time.monotonic()
            talk.socket.settimeout(0.5)
            try:
                while time.monotonic() - began < 10 + PATIENCE and not talk.rest:
                    talk.send(b"x")
                    try:
                        talk.rest += talk.socket.recv(1000) or b"end"
                    except TimeoutError:
                        pass
            except (BrokenPipeError, ConnectionResetError):
                pass
            self.assertGreater(time.monotonic() - began, 9)
            self.assertLess(time.monotonic() - began, 10 + PATIENCE)

    def test_hundreds_of_idle_sessions_disturb_nobody(self):
        with Server(extra="[smtp]\nmax_connections_per_ip = 1000\n[pop3]\nmax_connections_per_ip = 1000\n") as server:
            idle = [self.enterContext(server.smtp("mx")) for _ in range(300)]
            idle += [self.enterContext(server.talk("pop3")) for _ in range(100)]
            for talk in idle[:300]:
                talk.ehlo()
            for talk in idle[300:]:
                talk.expect_pop()
            server.submit("alice", "bob")
            server.mail("bob")
            for talk in idle[:300:50]:
                talk.say("NOOP").expect(250)

    def test_connections_from_one_address_are_counted(self):
        with Server(listeners=["mx"], extra="[smtp]\nmax_connections_per_ip = 5\n") as server:
            talks = [self.enterContext(server.smtp("mx")) for _ in range(5)]
            for talk in talks:
                talk.ehlo()
            with server.smtp("mx") as sixth:
                sixth.expect(421, "4.7.0")
                self.assertTrue(sixth.ended())
            talks[0].say("QUIT").expect(221)
            talks[0].close()

            def room_again():
                with server.smtp("mx") as again:
                    return again.line().startswith("220")

            wait_until(room_again, "room for another session")

    def test_errors_unknown_commands_and_failed_logins_have_an_end(self):
        settings = '[smtp]\nmax_errors = 6\nmax_unknown_commands = 3\nmax_auth_failures = 2\nauth_failure_delay = "0s"\n'
        with Server(listeners=["mx", "lesson", "pop3s"], extra=settings) as server:
            for line, most in (("RCPT TO:<x@foreign.test>", 7), ("BOGUS", 4)):
                with server.smtp("mx") as talk:
                    talk.ehlo().say("MAIL FROM:<a@foreign.test>").expect(250)
                    codes = []
                    while len(codes) <= most and codes[-1:] != ["421"]:
                        codes.append(talk.say(line).reply()[:3])
                    self.assertEqual(codes[-1], "421", codes)
                    self.assertTrue(talk.ended())
            with server.smtp("lesson") as talk:
                talk.ehlo()
                for _ in range(2):
                    talk.say("AUTH PLAIN " + b64("\0alice@example.test\0wrong")).expect(535, 421)
                self.assertTrue(talk.ended())

    def test_guessing_passwords_becomes_slow(self):
        with Server(extra='[smtp]\nauth_failure_delay = "1s"\n') as server, server.smtp("lesson") as talk:
            talk.ehlo()
            began = time.monotonic()
            talk.say("AUTH PLAIN " + b64("\0alice@example.test\0wrong")).expect(535)
            self.assertGreater(time.monotonic() - began, 0.9)

    def test_out_of_descriptors_it_waits_and_recovers(self):
        limited = ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh"]
        server = Server(listeners=["mx", "submission", "pop3s"], extra="[smtp]\nmax_connections_per_ip = 1000\n[limits]\nreserved_descriptors = 64\n")
        server.start(prefix=limited)
        with_server = self.enterContext(_Started(server))
        talks = []
        for _ in range(300):
            try:
                talks.append(with_server.smtp("mx", timeout=2))
            except OSError:
                break
        time.sleep(1)
        self.assertIsNone(server.process.poll())
        for talk in talks:
            talk.close()

        def served():
            try:
                with server.smtp("mx", timeout=2) as again:
                    return again.line().startswith("220")
            except OSError:
                return False

        wait_until(served, "service after the flood")
        server.submit("alice", "bob")
        server.mail("bob")


class _Started:
    """The `with` of a server that was started with more words than usual."""

    def __init__(self, server):
        self.server = server

    def __enter__(self):
        return self.server

    def __exit__(self, *exception):
        return self.server.__exit__(*exception)


class FullDisk(unittest.TestCase):
    """The state folder is a small file system of its own, in a mount namespace that ends with the server."""

    ROOM = 40 << 20

    def setUp(self):
        self.server = Server(listeners=["mx", "pop3s"], extra='[limits]\nmemory = "2 GiB"\n')
        self.server.state.mkdir()
        unshare = ["unshare", "-m", "--propagation", "private"] if os.geteuid() == 0 else ["unshare", "-rm"]
        mount = [*unshare, "sh", "-c", f'mount -t tmpfs -o size={self.ROOM} tmpfs "{self.server.state}" && exec "$@"', "sh"]
        probe = subprocess.run([*mount, "true"], capture_output=True, text=True) if shutil.which("unshare") else None
        if probe is None or probe.returncode != 0:
            self.skipTest("no mount namespace may be made here: " + (probe.stderr.strip() if probe else "no unshare"))
        self.server.start(prefix=mount)
        self.enterContext(_Started(self.server))
        self.inside = f"/proc/{self.server.pid}/root{self.server.state}"

    def ask(self, *arguments):
        return self.server.run(*arguments, "--socket", self.inside + "/control.sock")

    def send(self, text):
        with self.server.smtp("mx") as talk:
            talk.ehlo().say("MAIL FROM:<a@foreign.test>")
            if not talk.reply().startswith("250"):
                return talk.transcript[-1][3:6]
            talk.say("RCPT TO:<bob@example.test>").expect(250)
            return talk.data(text, 250, 452, 451).last[:3]

    def fill(self):
        with open(self.inside + "/ballast", "ab") as ballast:
            try:
                while True:
                    ballast.write(b"\0" * 65536)
                    ballast.flush()
            except OSError:
                pass

    def test_452_when_full_and_recovery_once_there_is_room(self):
        accepted = []
        big = "x" * 70 + "\r\n"
        for _ in range(3):
            accepted.append(letter(body=big * 300))
            self.assertEqual(self.send(accepted[-1]), "250")
        wait_until(lambda: len(self.server.fetch("bob")) == 3, "the first three")
        self.fill()
        codes = []
        for _ in range(400):  # what has been set aside for the log is used up first
            text = letter(body=big * 3000)
            codes.append(self.send(text))
            if codes[-1] == "250":
                accepted.append(text)
            elif codes[-3:] == ["452"] * 3:
                break
        self.assertEqual(codes[-3:], ["452"] * 3, f"{codes[-20:]}\n{self.server.log()[-2000:]}")
        self.assertNotIn("451", codes, "a full disk is 452 and no latch")
        self.assertIsNone(self.server.process.poll())
        os.unlink(self.inside + "/ballast")
        text = letter(body=big * 3000)
        wait_until(lambda: self.send(text) == "250", "250 after room was made")
        accepted.append(text)
        self.ask("queue", "retry")

        def all_there():
            self.ask("queue", "retry")
            return {token_of(m) for m in self.server.fetch("bob")} >= {token_of(t) for t in accepted}

        wait_until(all_there, "all that got 250", 3 * PATIENCE)
        tokens = [token_of(m) for m in self.server.fetch("bob")]
        self.assertEqual(len(tokens), len(set(tokens)), "something came twice")
        self.assertEqual(set(tokens), {token_of(t) for t in accepted}, "something came that had no 250")

    def test_a_body_that_does_not_fit_is_452_and_leaves_no_room_taken(self):
        before = shutil.disk_usage(self.inside).used
        body = ("x" * 70 + "\r\n") * 600_000  # 43 MB into a file system of 40 MiB
        for _ in range(2):
            self.assertEqual(self.send(letter(body=body)), "452")
        self.assertEqual(self.send(letter()), "250")
        wait_until(lambda: shutil.disk_usage(self.inside).used < before + (16 << 20), "the room given back")


if __name__ == "__main__":
    main()

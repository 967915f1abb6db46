"""Reload: what changed takes effect at once, running sessions live on, and what is wrong changes nothing at all."""
# ctest: timeout=420
import os
import signal
import smtplib
import unittest

from postern import PATIENCE, SANITIZED, SCRIPT, Server, letter, main, wait_until

REFUSING = SCRIPT.replace('postern.pipeline "root" {', 'postern.pipeline "root" {\n  { when = match.subject_is "old news", act.bounce("5.6.9", "read it already") },')


class Reload(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())

    def can_log_in(self, name):
        try:
            self.server.smtplib("submission", name).quit()
            return True
        except smtplib.SMTPAuthenticationError:
            return False

    def answer(self, subject):
        with self.server.smtp("mx") as talk:
            talk.ehlo().mail("a@foreign.test", "bob@example.test")
            return talk.data(letter(subject), 250, 550, 554).last

    def test_by_command_accounts_and_scripts_take_effect(self):
        self.assertFalse(self.can_log_in("carol"))
        self.assertTrue(self.can_log_in("bob"))
        self.assertTrue(self.answer("old news").startswith("250"))
        self.server.write(accounts=["alice", "carol"], script=REFUSING)
        self.assertFalse(self.can_log_in("carol"))  # written, not yet in force
        self.assertIn("Reloaded", self.server.run("reload").stdout)
        self.assertTrue(self.can_log_in("carol"))
        self.assertFalse(self.can_log_in("bob"))  # also out of the cache of right passwords
        with self.server.smtp("mx") as talk:
            talk.ehlo().say("MAIL FROM:<a@foreign.test>").expect(250)
            talk.say("RCPT TO:<bob@example.test>").expect(550)
            talk.say("RCPT TO:<carol@example.test>").expect(250)
            talk.data(letter("old news"), 550, "read it already")

    def test_by_sighup(self):
        self.server.write(accounts=["alice", "bob", "dora"])
        self.server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.can_log_in("dora"), "dora's account")

    def test_a_broken_configuration_is_refused_as_a_whole(self):
        for broken in ({"extra": "[smtp]\nmax_recipient = 3\n"}, {"script": "nonsense(\n"}, {"script": SCRIPT.replace("deliver", "delivr")},
                       {"extra": '[[relay.network]]\nnetwork = "0.0.0.0/0"\nreason = "a slip"\n'}):
            with self.subTest(broken):
                self.server.write(accounts=["alice", "carol"], **broken)
                done = self.server.run("reload", check=False)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertRegex(done.stderr, r"(postern\.toml|mail\.lua):\d+")
                self.assertTrue(self.can_log_in("bob"))  # not even the good half took effect
                self.assertFalse(self.can_log_in("carol"))
                self.assertTrue(self.answer("after a refused reload").startswith("250"))
                self.server.write(accounts=["alice", "bob"], extra="", script=SCRIPT)
        self.server.run("reload")

    def test_a_pipe_in_the_place_of_a_file_holds_up_neither_reload_nor_stop(self):
        for file in (self.server.script_file, self.server.config_file):
            text = file.read_text()
            file.unlink()
            os.mkfifo(file)
            if file is self.server.script_file:
                done = self.server.run("reload", check=False)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn("named pipe, not a file", done.stderr)
            said = self.server.log().count("named pipe")
            self.server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: self.server.log().count("named pipe") > said, f"the refusal of {file}")
            if file is self.server.script_file:
                file.unlink()
                file.write_text(text)
                self.server.run("reload")
        self.assertTrue(self.can_log_in("bob"))
        self.server.process.send_signal(signal.SIGHUP)
        self.server.stop(seconds=PATIENCE)

    def test_memory_does_not_grow_with_reloads(self):
        """What each reload read lies free in the heap of whichever thread read it, unless it is given back."""
        self.server.run("reload")
        before = self.server.memory("VmRSS")
        for _ in range(12):
            self.server.run("reload")
        if not SANITIZED:
            wait_until(lambda: self.server.memory("VmRSS") - before < 16 << 20, "the memory of twelve reloads to be given back")

    def test_a_refused_reload_by_sighup_is_logged(self):
        self.server.write(script="nonsense(\n")
        self.server.process.send_signal(signal.SIGHUP)
        self.server.wait_log("reload.refused")
        self.assertTrue(self.answer("still here").startswith("250"))

    def test_a_transaction_under_way_goes_on(self):
        with self.server.smtp("mx") as talk:
            talk.ehlo().mail("a@foreign.test", "bob@example.test").say("DATA").expect(354)
            text = letter()
            talk.send(text[:40])
            for _ in range(3):
                self.server.run("reload")
            talk.send(text[40:] + b".\r\n").expect(250)
            talk.mail("a@foreign.test", "bob@example.test").data(letter())
        self.server.mail("bob", 2)

    def test_limits_apply_to_new_sessions(self):
        with self.server.smtp("mx") as old:
            old.ehlo()
            self.server.write(extra='[smtp]\nmax_message_size = "2 MiB"\n')
            self.server.run("reload")
            with self.server.smtp("mx") as new:
                self.assertIn("SIZE 2097152", new.ehlo().last)
            old.say("NOOP").expect(250)

    def test_a_new_certificate_is_shown(self):
        def shown():
            with self.server.smtp("submissions") as talk:
                return talk.socket.getpeercert(binary_form=True)

        before = shown()
        for end in ("crt", "key"):
            (self.server.home / f"mail.{end}").unlink()
        self.server.run("certificate", "localhost", "127.0.0.1", self.server.where("mx")[0], "--out", self.server.home / "mail", config=False)
        self.server.run("reload")
        self.assertNotEqual(shown(), before)

    def test_hundreds_of_reloads_leak_nothing_and_lose_nothing(self):
        rounds = 20 if SANITIZED else 200
        self.server.stop()
        self.server.start(prefix=["env", "MALLOC_ARENA_MAX=1"])  # else each thread of the pool fills one of its own, for long
        for _ in range(10 if SANITIZED else 100):
            self.server.run("reload")
        before = self.server.memory("VmRSS")
        for n in range(rounds):
            self.server.run("reload")
            if n % 10 == 0:
                self.assertTrue(self.answer("between").startswith("250"))
        if not SANITIZED:
            self.assertLess(self.server.memory("VmRSS") - before, 12 << 20)


if __name__ == "__main__":
    main()

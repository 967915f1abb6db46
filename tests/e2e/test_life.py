"""A server's life: one to a folder, privileges dropped, an end that loses nothing, damage that is set aside."""
import json
import os
import signal
import time
import unittest

from postern import PATIENCE, Server, Talk, letter, main, token_of, wait_until


class Ending(unittest.TestCase):
    def test_sigterm_lets_a_transaction_finish(self):
        with Server() as server:
            text = letter(body="".join(f"line {n}\r\n" for n in range(2000)))
            with server.smtp("mx") as talk, server.smtp("mx") as idle, server.pop("alice") as pop:
                idle.ehlo()
                talk.ehlo().mail("a@foreign.test", "bob@example.test").say("DATA").expect(354)
                talk.send(text[:9000])
                server.process.send_signal(signal.SIGTERM)
                server.wait_log("server.draining")
                time.sleep(0.5)
                for piece in range(9000, len(text), 4000):
                    talk.send(text[piece : piece + 4000])
                    time.sleep(0.05)
                talk.send(b".\r\n").expect(250, "queued as")
                talk.say("NOOP").line()  # 421, or the end
                idle.expect(421)  # RFC 5321 section 3.8: said, not just hung up
                self.assertTrue(pop.ended())
            self.assertEqual(server.process.wait(PATIENCE), 0)
            server.process = None
            server.no_findings()
            server.start()
            self.assertTrue(server.mail("bob")[0].endswith(text))

    def test_new_connections_are_not_taken_while_it_ends(self):
        with Server(server='drain = "30s"') as server, server.smtp("mx") as talk:
            talk.ehlo().mail("a@foreign.test", "bob@example.test").say("DATA").expect(354)
            server.begin_end()
            server.wait_log("server.draining")

            def refused():
                try:
                    with Talk(server.where("mx"), timeout=2) as late:
                        return late.line()[:3] in ("421", "")
                except OSError:
                    return True

            wait_until(refused, "new connections refused")
            talk.send(letter() + b".\r\n").expect(250)

    def test_a_client_that_does_not_end_is_cut_off_after_the_drain_time(self):
        with Server(server='drain = "1s"') as server, server.smtp("mx") as talk:
            talk.ehlo().mail("a@foreign.test", "bob@example.test").say("DATA").expect(354).send(b"Subject: never")
            began = time.monotonic()
            server.stop()
            self.assertLess(time.monotonic() - began, 1 + PATIENCE / 2)
            self.assertTrue(talk.ended())
            self.assertNotIn(b"250", talk.rest)

    def test_an_aborted_message_leaves_nothing(self):
        with Server() as server:
            for cut in ("MAIL", "RCPT", "DATA", "text"):
                with server.smtp("mx") as talk:
                    talk.ehlo()
                    if cut != "MAIL":
                        talk.say("MAIL FROM:<a@foreign.test>").expect(250)
                    if cut in ("DATA", "text"):
                        talk.say("RCPT TO:<bob@example.test>").expect(250).say("DATA").expect(354)
                    if cut == "text":
                        talk.send(b"Subject: half\r\n\r\n" + b"x" * 1_000_000)
            server.submit("alice", "bob")
            [mail] = server.mail("bob")
            self.assertNotIn(b"half", mail)

    def test_mail_and_queue_survive_a_restart(self):
        with Server() as server:
            for n in range(5):
                server.submit("alice", "bob", letter(f"m{n}"))
            server.restart()
            before = server.mail("bob", 5)
            server.restart()
            self.assertEqual(server.fetch("bob"), before)


class Folder(unittest.TestCase):
    def test_a_second_server_on_the_same_folder_refuses_and_names_the_first(self):
        with Server(listeners=["mx", "pop3s", "submission"]) as first:
            second = Server(listeners=["mx"])
            second.state = first.state
            second.write()
            second.start(expect_ready=False)
            self.assertEqual(second.process.wait(PATIENCE), 1)
            self.assertIn(str(first.pid), second.log())
            self.assertNotIn("postern: ready", second.log())
            self.assertEqual(first.status()["pid"], first.pid)  # its sockets were left alone
            first.submit("alice", "bob")
            first.mail("bob")

    def test_after_a_crash_the_folder_is_free(self):
        with Server() as server:
            server.kill()
            server.start()
            server.submit("alice", "bob")
            server.mail("bob")

    def test_the_state_folder_is_nobody_elses(self):
        with Server() as server:
            self.assertEqual(server.state.stat().st_mode & 0o077, 0)
            self.assertEqual((server.state / "control.sock").stat().st_mode & 0o177, 0)


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class Privileges(unittest.TestCase):
    def test_started_as_root_it_runs_as_the_named_user(self):
        import pwd
        nobody = pwd.getpwnam("nobody")
        with Server(user="nobody") as server:
            lines = dict(line.split(":", 1) for line in open(f"/proc/{server.pid}/status") if ":" in line)
            self.assertEqual(lines["Uid"].split(), [str(nobody.pw_uid)] * 4)
            self.assertEqual(lines["Gid"].split(), [str(nobody.pw_gid)] * 4)
            self.assertEqual(lines["Groups"].split(), [])
            self.assertEqual(int(lines["CapEff"], 16), 0)
            server.submit("alice", "bob")
            server.mail("bob")
            self.assertEqual({f.stat().st_uid for f in server.files("bob")}, {nobody.pw_uid})
            self.assertEqual(server.status()["state"], "running")  # root may ask
            server.restart()
            self.assertEqual(len(server.fetch("bob")), 1)

    def test_root_without_a_user_does_not_start(self):
        server = Server(listeners=["mx"])
        server.config_file.write_text(server.toml().replace('user = "root"\n', ""))
        done = server.run("run", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("user", done.stderr)

    def test_a_user_that_does_not_exist(self):
        done = Server(listeners=["mx"], user="no-such-user").run("run", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no-such-user", done.stderr)


class Damage(unittest.TestCase):
    def test_a_damaged_record_is_set_aside_and_the_others_are_delivered(self):
        with Server() as server:
            obstacle = server.state / "mail" / "example.test" / "bob"
            obstacle.parent.mkdir(parents=True, exist_ok=True)
            obstacle.write_text("not a folder: bob's mail has to wait in the spool\n")
            texts = [letter(f"m{n}", "x" * 20_000 + "\r\n") for n in range(6)]
            for text in texts:
                server.submit("alice", "bob", text)
            server.submit("bob", "alice")
            server.mail("alice")
            wait_until(lambda: server.queued() == 6, "six in the queue")  # the mark that ends alice's is a lazy one
            server.stop()
            victim = token_of(texts[2]).encode()
            hits = 0
            for segment in (server.state / "spool" / "segments").iterdir():
                octets = bytearray(segment.read_bytes())
                at = octets.find(victim)
                while at >= 0:
                    for offset in range(at, at + 16):
                        octets[offset] ^= 0x55
                    hits += 1
                    at = octets.find(victim)
                segment.write_bytes(octets)
            self.assertGreater(hits, 0, "the message was not found in the spool")
            obstacle.unlink()
            server.start()
            server.wait_log("spool.damage")
            self.assertTrue(list((server.state / "spool" / "damaged").iterdir()))
            server.run("queue", "retry")
            mails = server.mail("bob", 5)
            self.assertEqual({token_of(m) for m in mails}, {token_of(t) for n, t in enumerate(texts) if n != 2})
            server.submit("alice", "bob")  # and it goes on
            server.mail("bob", 6)
            server.restart()
            self.assertEqual(len(server.fetch("bob")), 6)


class Logging(unittest.TestCase):
    def test_a_log_file_is_opened_anew_on_sighup(self):
        with Server(extra='[log]\nformat = "json"\nfile = "@HOME@/json.log"\n') as server:
            log = server.home / "json.log"
            server.submit("alice", "bob")
            wait_until(lambda: "smtp.accepted" in log.read_text(), "the event in the log")
            for line in log.read_text().splitlines():
                json.loads(line)
            log.rename(server.home / "json.log.1")
            server.process.send_signal(signal.SIGHUP)
            wait_until(log.exists, "a new log file")
            server.submit("alice", "bob")
            wait_until(lambda: "smtp.accepted" in log.read_text(), "the event in the new log")


if __name__ == "__main__":
    main()

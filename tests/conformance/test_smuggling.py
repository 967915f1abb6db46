"""Two parties must never disagree about where a message ends or where TLS begins.

SMTP smuggling: every sequence that some server has taken for the end of a text. RFC 5321 section 4.1.1.4 knows one,
CR LF dot CR LF. Injection before TLS: whatever came with STARTTLS or STLS in clear text must be forgotten.
"""
import pathlib
import socket
import ssl
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from postern import HOST, Server, Talk, letter, main, token_of  # noqa: E402

# Sequences that are no end of a text, though some servers have thought so.
FALSE_ENDS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r.\n", b"\n.\r", b"\r\n\0.\r\n", b"\r\n.\0\r\n",
    b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\n\n.\r\n", b"\n\r.\r\n", b"\r\n.\n\r\n", b"\r\n. \r\n", b"\r\n.\t\r\n", b"\r\n..\r\n", b"\x85.\x85",
    b"\r\n.\x0b\r\n", b"\r\n.\x0c\r\n",
]
SMUGGLED = b"MAIL FROM:<admin@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n"


class Smuggling(unittest.TestCase):
    def run_set(self, server, allowed):
        """Each false end with a smuggled transaction behind it: one message at most, and nothing of it a message of its own."""
        kept = 0
        for end in FALSE_ENDS:
            with self.subTest(end), server.smtp("mx") as talk:
                talk.ehlo().mail("a@foreign.test", "alice@example.test").say("DATA").expect(354)
                talk.send(b"Subject: outer\r\n\r\nouter" + end + SMUGGLED + b"\r\n.\r\n")
                talk.expect(*allowed)
                kept += talk.last.startswith("250")
                talk.say("NOOP").expect(250)
                talk.say("QUIT").expect(221)
                self.assertTrue(talk.ended())
                self.assertEqual(talk.rest, b"")  # not one answer to what was smuggled
        server.wait_queue_empty()
        self.assertEqual(server.fetch("bob"), [])
        mails = server.fetch("alice")
        self.assertEqual(len(mails), kept)
        for mail in mails:
            self.assertIn(b"Subject: outer", mail)
            self.assertNotRegex(mail, rb"(?<!\r)\n|\r(?!\n)")
        return kept

    def test_bare_line_ends_are_refused_and_end_nothing(self):
        with Server(listeners=["mx", "pop3s"]) as server:
            self.run_set(server, (250, 550))
            with server.smtp("mx") as talk:
                talk.ehlo().mail("a@foreign.test", "alice@example.test").say("DATA").expect(354)
                talk.send(b"Subject: x\r\n\r\nbare\nlf\r\n.\r\n").expect(550, "5.6.0")

    def test_normalising_them_ends_nothing_either(self):
        with Server(listeners=["mx", "pop3s"], extra='[smtp]\nbare_newline = "normalize"\n') as server:
            self.assertGreater(self.run_set(server, (250, 550)), len(FALSE_ENDS) // 2)

    def test_a_bare_lf_ends_no_command(self):
        with Server(listeners=["mx"]) as server, server.smtp("mx") as talk:
            talk.expect(220).send(b"EHLO a.test\nMAIL FROM:<a@b.test>\n")
            talk.expect(500)
            self.assertNotIn("250", talk.last)

    def test_web_browsers_are_sent_away(self):
        with Server(listeners=["mx"]) as server:
            for line in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@b>\r\n"):
                with server.smtp("mx") as talk:
                    talk.expect(220).send(line)
                    self.assertTrue(talk.ended())
                    self.assertNotIn(b"250", talk.rest)


class InjectionBeforeTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())

    def test_what_follows_starttls_in_the_same_packet_is_never_run(self):
        for listener in ("mx", "submission"):
            with self.subTest(listener), self.server.smtp(listener) as talk:
                talk.ehlo()
                talk.send(b"STARTTLS\r\nMAIL FROM:<evil@foreign.test>\r\nRCPT TO:<bob@example.test>\r\nNOOP\r\n")
                talk.expect(220, 554, 501, 503)
                if not talk.last.startswith("220"):
                    continue  # refused: as good
                try:
                    talk.start_tls(self.server.tls())
                except (ssl.SSLError, ConnectionError):
                    continue  # ended: as good
                talk.rest = b""
                talk.say("NOOP").expect(250)  # the first answer after TLS belongs to the first command after TLS
                talk.say("RCPT TO:<bob@example.test>").expect(503)

    def test_stls_likewise(self):
        with self.server.talk("pop3") as talk:
            talk.expect_pop().send(b"STLS\r\nUSER bob@example.test\r\nPASS secret of bob\r\n")
            status = talk.line()
            if status.startswith("-ERR"):
                return
            try:
                talk.start_tls(self.server.tls())
            except (ssl.SSLError, ConnectionError):
                return
            talk.rest = b""
            talk.say("STAT").expect_pop("-ERR")  # nobody has logged in

    def test_what_was_said_before_tls_is_forgotten(self):
        """RFC 3207 section 4.2: the server must discard what it learnt of the client, the EHLO name included."""
        with self.server.smtp("mx") as talk:
            talk.ehlo().say("MAIL FROM:<a@foreign.test>").expect(250)
            talk.say("STARTTLS").expect(503, 220)
            if talk.last.startswith("503"):
                talk.say("RSET").expect(250).say("STARTTLS").expect(220)
            talk.start_tls(self.server.tls())
            talk.say("MAIL FROM:<a@foreign.test>").expect(503)
            talk.say("EHLO client.test").expect(250)
            self.assertNotIn("STARTTLS", talk.last)
            talk.say("STARTTLS").expect(503)

    def test_pop3_forgets_too(self):
        """RFC 2595 section 4: the user's name of before is not the user's name of after."""
        with self.server.talk("pop3") as talk:
            talk.expect_pop().say("STLS").expect_pop()
            talk.start_tls(self.server.tls())
            talk.say("PASS secret of bob").expect_pop("-ERR")
            talk.say("STLS").expect_pop("-ERR")
            talk.say("CAPA").expect_pop()
            self.assertNotIn(b"STLS", talk.octets_to_dot())

    def test_a_client_that_speaks_no_tls_is_dropped(self):
        with self.server.smtp("mx") as talk:
            talk.ehlo().say("STARTTLS").expect(220)
            talk.send(b"MAIL FROM:<a@foreign.test>\r\n")
            self.assertTrue(talk.ended())
            self.assertNotIn(b"250", talk.rest)
        with Talk(self.server.where("submissions")) as talk:
            talk.send(b"EHLO client.test\r\n")
            self.assertTrue(talk.ended())
            self.assertNotIn(b"250", talk.rest)

    def test_the_server_lives_on(self):
        self.server.submit("alice", "bob", letter())
        self.server.mail("bob")


if __name__ == "__main__":
    main()

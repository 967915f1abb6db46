"""LMTP over a Unix socket (RFC 2033): an answer for each recipient, and never SMTP."""
import os
import stat
import unittest

from postern import SCRIPT, Server, letter, main

CHOOSY = SCRIPT.replace(
    'postern.pipeline "root" {',
    'postern.pipeline "root" {\n  { when = match.recipient_is "carol@example.test", act.bounce("5.2.2", "carol is full") },')


class Lmtp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(accounts=["alice", "bob", "carol", "dora"], script=CHOOSY))

    def hello(self, talk):
        talk.expect(220).say("LHLO relay.example.test").expect(250, "PIPELINING")
        return talk

    def test_each_recipient_has_an_answer_of_its_own(self):
        text = letter(sender="a@foreign.test")
        with self.server.talk("lmtp") as talk:
            self.hello(talk).say("MAIL FROM:<a@foreign.test>").expect(250)
            talk.say("RCPT TO:<alice@example.test>").expect(250)
            talk.say("RCPT TO:<nobody@example.test>").expect(550, "5.1.1")
            talk.say("RCPT TO:<carol@example.test>").expect(250)
            talk.say("RCPT TO:<bob@example.test>").expect(250)
            talk.say("DATA").expect(354).send(text + b".\r\n")
            talk.expect(250).expect(550, "5.2.2", "carol is full").expect(250)  # in the order of RCPT
            talk.say("NOOP").expect(250)  # not one answer more
            talk.say("QUIT").expect(221)
        for name in ("alice", "bob"):
            self.assertTrue(self.server.mail(name)[0].endswith(text))
        self.assertEqual(self.server.fetch("carol"), [])

    def test_all_refused_has_as_many_answers(self):
        with self.server.talk("lmtp") as talk:
            self.hello(talk).mail("a@foreign.test", "carol@example.test", "carol@example.test")
            talk.say("DATA").expect(354).send(letter() + b".\r\n")
            talk.expect(550).expect(550)
            talk.say("NOOP").expect(250)

    def test_no_recipient_no_data(self):
        with self.server.talk("lmtp") as talk:
            self.hello(talk).mail("a@foreign.test").say("RCPT TO:<nobody@example.test>").expect(550)
            talk.say("DATA").expect(503)

    def test_smtps_hello_is_refused(self):
        with self.server.talk("lmtp") as talk:
            talk.expect(220).say("EHLO a.test").expect(500).say("HELO a.test").expect(500)
            talk.say("MAIL FROM:<>").expect(503)

    def test_a_text_that_is_refused_is_refused_for_each(self):
        with self.server.talk("lmtp") as talk:
            self.hello(talk).mail("a@foreign.test", "alice@example.test", "bob@example.test")
            talk.say("DATA").expect(354).send(b"Subject: bare\n\nlf\r\n.\r\n").expect(550).expect(550)

    def test_bdat_answers_each_too(self):
        text = letter()
        with self.server.talk("lmtp") as talk:
            self.hello(talk).mail("a@foreign.test", "carol@example.test", "dora@example.test")
            talk.send(f"BDAT {len(text)} LAST\r\n".encode() + text).expect(550).expect(250)
        self.assertTrue(self.server.mail("dora")[0].endswith(text))

    def test_foreign_recipients_are_refused(self):
        with self.server.talk("lmtp") as talk:
            self.hello(talk).mail("a@foreign.test").say("RCPT TO:<victim@foreign.test>").expect(550, 551, 554)

    def test_the_socket_is_not_for_everybody(self):
        mode = stat.S_IMODE(os.stat(self.server.ports["lmtp"]).st_mode)
        self.assertEqual(mode & 0o007, 0, oct(mode))


if __name__ == "__main__":
    main()

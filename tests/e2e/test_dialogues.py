"""The two dialogues that every introduction to mail teaches, typed whole by hand: sending over SMTP, reading over POP3.

Names and passwords travel in base64 (AUTH LOGIN) on a listener that is open for lessons, then over TLS.
"""
import re
import unittest

from postern import Server, b64, main, password_of

TEXT = ["From: Alice <alice@example.test>", "To: Bob <bob@example.test>", "Subject: my first mail", "", "Hello Bob,",
        "..this line began with a dot", "", "Alice"]


class Dialogues(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(accounts=["alice", "bob", "carol"]))

    def send_by_hand(self, talk, to):
        talk.expect(220, "mail.example.test")
        talk.say("EHLO client.example.test").expect(250, "AUTH", "LOGIN", "SIZE", "PIPELINING", "8BITMIME")
        talk.say("AUTH LOGIN").expect(334, "VXNlcm5hbWU6")
        talk.say(b64("alice@example.test")).expect(334, "UGFzc3dvcmQ6")
        talk.say(b64(password_of("alice"))).expect(235)
        talk.say("MAIL FROM:<alice@example.test>").expect(250)
        talk.say(f"RCPT TO:<{to}@example.test>").expect(250)
        talk.say("DATA").expect(354)
        for line in TEXT:
            talk.say(line)
        talk.say(".").expect(250, "queued as")
        talk.say("QUIT").expect(221)
        self.assertTrue(talk.ended())

    def test_sending_by_hand_and_reading_by_hand_over_tls(self):
        with self.server.smtp("lesson") as talk:
            self.send_by_hand(talk, "bob")
        self.server.mail("bob")
        with self.server.talk("pop3s") as talk:
            talk.expect_pop()
            talk.say("USER bob@example.test").expect_pop()
            talk.say("PASS " + password_of("bob")).expect_pop()
            count, size = map(int, talk.say("STAT").expect_pop().last.split()[1:3])
            self.assertEqual(count, 1)
            self.assertEqual(talk.say("LIST 1").expect_pop().last, f"+OK 1 {size}")
            talk.say("RETR 1").expect_pop()
            mail = talk.octets_to_dot()
            self.assertEqual(len(mail), size)  # RFC 1939 section 11: what STAT and LIST say is what comes
            self.assertIn(b"Subject: my first mail\r\n", mail)
            self.assertTrue(mail.endswith(b"\r\n\r\nHello Bob,\r\n.this line began with a dot\r\n\r\nAlice\r\n"), mail)
            self.assertRegex(mail, rb"(?m)^Message-ID: <.+>\r$")  # RFC 6409 section 8: given to mail that had none
            self.assertRegex(mail, rb"(?m)^Date: .+\r$")
            talk.say("DELE 1").expect_pop()
            talk.say("RETR 1").expect_pop("-ERR")
            talk.say("RSET").expect_pop()
            talk.say("STAT").expect_pop()
            self.assertEqual(talk.last.split()[1:3], ["1", str(size)])
            talk.say("QUIT").expect_pop()
            self.assertTrue(talk.ended())
        self.assertEqual(self.server.fetch("bob"), [mail])  # RSET took the deletion back

    def test_the_same_over_tls_from_the_first_octet(self):
        with self.server.smtp("submissions") as talk:
            self.send_by_hand(talk, "carol")
        [mail] = self.server.mail("carol")
        self.assertIn(b"with ESMTPSA", mail)
        with self.server.pop("carol") as talk:
            talk.say("DELE 1").expect_pop()
            talk.say("QUIT").expect_pop()
        self.assertEqual(self.server.fetch("carol"), [])

    def test_mistakes_are_answered_so_that_a_beginner_can_go_on(self):
        with self.server.smtp("lesson") as talk:
            talk.expect(220)
            talk.say("MAIL FROM:<alice@example.test>").expect(503)
            talk.say("HELLO there").expect(500)
            talk.say("EHLO client.example.test").expect(250)
            talk.say("AUTH LOGIN").expect(334).say("*").expect(501)
            talk.say("AUTH LOGIN").expect(334).say("not base64!").expect(501, "base64")
            talk.say("AUTH NONSENSE").expect(504)
            talk.say("MAIL FROM:<alice@example.test>").expect(530)
            talk.say("AUTH PLAIN " + b64("\0alice@example.test\0" + password_of("alice"))).expect(235)
            talk.say("RCPT TO:<bob@example.test>").expect(503)
            talk.say("MAIL FROM: <alice@example.test>").expect(250, 501)  # a blank that the RFC forbids and people type
            talk.say("RSET").expect(250)
            talk.say("MAIL FROM:<alice@example.test>").expect(250)
            talk.say("DATA").expect(503, 554)
            talk.say("RCPT TO:<nobody@example.test>").expect(550, "5.1.1")
            talk.say("RCPT TO:<>").expect(501, 550, 553)
            talk.say("RCPT TO:<carol@example.test>").expect(250)
            talk.say("MAIL FROM:<alice@example.test>").expect(503)
            talk.say("HELP").expect(214)
            talk.say("NOOP").expect(250)
            talk.say("VRFY bob").expect(252)
            talk.say("QUIT").expect(221)

    def test_pop3_mistakes_are_answered(self):
        with self.server.talk("pop3s") as talk:
            talk.expect_pop()
            talk.say("STAT").expect_pop("-ERR")
            talk.say("PASS early").expect_pop("-ERR")
            talk.say("USER alice@example.test").expect_pop()
            talk.say("PASS wrong").expect_pop("-ERR [AUTH]")
            talk.say("USER alice@example.test").expect_pop()
            talk.say("PASS " + password_of("alice")).expect_pop()
            for wrong in ("LIST 1", "RETR 1", "DELE 99999999999999999999", "TOP 1", "UIDL x", "BOGUS"):
                talk.say(wrong).expect_pop("-ERR")
            talk.say("LIST").expect_pop()
            self.assertEqual(talk.octets_to_dot(), b"")
            talk.say("NOOP").expect_pop()
            talk.say("QUIT").expect_pop()

    def test_passwords_stay_off_the_wire_where_there_is_no_tls(self):
        with self.server.smtp("submission") as talk:
            talk.ehlo()
            self.assertNotIn("AUTH", talk.last)
            talk.say("AUTH LOGIN").expect(538, 530)
        with self.server.talk("pop3") as talk:
            talk.expect_pop().say("CAPA").expect_pop()
            capabilities = talk.octets_to_dot().decode().split("\r\n")
            self.assertIn("STLS", capabilities)
            self.assertNotIn("USER", capabilities)
            talk.say("USER alice@example.test").line()
            talk.say("PASS " + password_of("alice")).expect_pop("-ERR")

    def test_secrets_are_not_logged(self):
        log = self.server.log()
        self.assertIsNone(re.search("secret of|" + re.escape(b64(password_of("alice"))), log))


if __name__ == "__main__":
    main()

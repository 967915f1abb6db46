"""SMTP's extensions as octets on the wire: PIPELINING, CHUNKING, SMTPUTF8, SIZE, 8BITMIME, LIMITS."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from postern import Server, letter, main  # noqa: E402

NAMES = ["alice", "bob", "carol", "dora", "erik", "fay"]


class Extensions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(accounts=NAMES, extra='[smtp]\nmax_message_size = "1 MiB"\n'))

    def hello(self):
        return self.enterContext(self.server.smtp("mx")).ehlo()

    # ---- PIPELINING (RFC 2920)

    def test_a_whole_session_in_one_packet(self):
        text = letter()
        with self.server.smtp("mx") as talk:
            talk.send(b"EHLO client.test\r\nMAIL FROM:<a@foreign.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n" + text + b".\r\nQUIT\r\n")
            # DATA must be a group's last command (RFC 2920 section 3.1), so a client that sends on is a deviant;
            # its octets must still not be taken for commands.
            talk.expect(220).expect(250).expect(250).expect(250).expect(354).expect(250).expect(221)
        self.assertTrue(self.server.mail("bob")[0].endswith(text))

    def test_answers_come_in_order_and_all_of_them(self):
        talk = self.hello()
        talk.send(b"MAIL FROM:<a@foreign.test>\r\nRCPT TO:<no1@example.test>\r\nRCPT TO:<alice@example.test>\r\n"
                  b"RCPT TO:<x@foreign.test>\r\nRSET\r\nNOOP\r\nMAIL FROM:<>\r\nBOGUS\r\nDATA\r\n")
        talk.expect(250).expect(550, "5.1.1").expect(250).expect(550, "5.7.1").expect(250).expect(250).expect(250).expect(500).expect(503)

    def test_two_transactions_behind_one_another(self):
        one, two = letter("one"), letter("two")
        talk = self.hello()
        for text in (one, two):
            talk.send(b"MAIL FROM:<a@foreign.test>\r\nRCPT TO:<carol@example.test>\r\nDATA\r\n")
            talk.expect(250).expect(250).expect(354).send(text + b".\r\nNOOP\r\n").expect(250).expect(250)
        mails = self.server.mail("carol", 2)
        self.assertEqual({m[-len(one):] for m in mails}, {one, two})

    def test_octet_by_octet_is_as_good(self):
        text = letter(body="..\r\n.\r\nslow\r\n")
        stuffed = text.replace(b"\r\n.", b"\r\n..")
        talk = self.hello()
        for octet in b"MAIL FROM:<a@foreign.test>\r\nRCPT TO:<dora@example.test>\r\nDATA\r\n" + stuffed + b".\r\n":
            talk.send(bytes([octet]))
        talk.expect(250).expect(250).expect(354).expect(250)
        self.assertTrue(self.server.mail("dora")[0].endswith(text))

    # ---- CHUNKING (RFC 3030)

    def test_bdat_takes_any_octets_in_any_pieces(self):
        text = letter(body=".\r\n..\r\nQUIT\r\n.\r\nMAIL FROM:<x@y>\r\n")
        talk = self.hello()
        talk.mail("a@foreign.test", "erik@example.test")
        cuts = [0, 1, 50, 50, len(text) - 3, len(text)]
        for begin, end in zip(cuts, cuts[1:]):
            talk.send(b"BDAT %d\r\n" % (end - begin) + text[begin:end]).expect(250)
        talk.say("BDAT 0 LAST").expect(250, "queued as")
        self.assertTrue(self.server.mail("erik")[0].endswith(text))

    def test_bdat_pipelined_with_everything_else(self):
        text = letter()
        talk = self.hello()
        talk.send(b"MAIL FROM:<a@foreign.test>\r\nRCPT TO:<fay@example.test>\r\nBDAT %d LAST\r\n" % len(text) + text + b"NOOP\r\n")
        talk.expect(250).expect(250).expect(250, "queued as").expect(250)
        self.assertTrue(self.server.mail("fay")[0].endswith(text))

    def test_a_refused_chunk_is_swallowed_whole(self):
        talk = self.hello()
        talk.send(b"BDAT 12 LAST\r\nRSET\r\nQUIT\r\nNOOP\r\n").expect(503).expect(250)  # no MAIL: its octets are no commands
        talk.mail("a@foreign.test").send(b"BDAT 6\r\nQUIT\r\n").expect(503, 554)
        talk.say("NOOP").expect(250)

    def test_no_data_between_chunks(self):
        talk = self.hello()
        talk.mail("a@foreign.test", "alice@example.test").send(b"BDAT 4\r\nab\r\n").expect(250)
        talk.say("DATA").expect(503)
        talk.say("MAIL FROM:<a@foreign.test>").expect(503)
        talk.say("RSET").expect(250)
        talk.say("DATA").expect(503)

    def test_a_chunk_of_nonsense_size_ends_the_session(self):
        for size in ("-1", "x", "99999999999999999999999", ""):
            with self.subTest(size), self.server.smtp("mx") as talk:
                talk.ehlo().mail("a@foreign.test", "alice@example.test").say(f"BDAT {size} LAST").expect(501, 500, 552, 503, 421)
                self.assertTrue(talk.ended())

    def test_a_chunk_beyond_the_limit_is_refused(self):
        talk = self.hello()
        talk.mail("a@foreign.test", "alice@example.test").send(b"BDAT 1100000 LAST\r\n" + b"x" * 1_099_998 + b"\r\n").expect(552)
        talk.say("NOOP").expect(250)

    # ---- SIZE (RFC 1870), LIMITS (RFC 9422)

    def test_size_is_announced_and_a_greater_one_refused_at_mail(self):
        talk = self.hello()
        self.assertIn("SIZE 1048576", talk.last)
        talk.say("MAIL FROM:<a@foreign.test> SIZE=1048577").expect(552, "5.3.4")
        talk.say("MAIL FROM:<a@foreign.test> SIZE=1048576").expect(250)

    def test_a_message_beyond_the_limit_is_refused_after_its_end(self):
        talk = self.hello()
        talk.mail("a@foreign.test", "alice@example.test").say("DATA").expect(354)
        line = b"x" * 98 + b"\r\n"
        talk.send(b"Subject: big\r\n\r\n" + line * 10_500 + b".\r\n").expect(552, "5.3.4")
        talk.say("NOOP").expect(250)

    def test_limits_are_announced(self):
        self.assertRegex(self.hello().last, r"(?m)^250[- ]LIMITS .*RCPTMAX=1000")

    # ---- SMTPUTF8 (RFC 6531), 8BITMIME (RFC 6152)

    def test_addresses_beyond_ascii_need_smtputf8(self):
        talk = self.hello()
        talk.say("MAIL FROM:<jürgen@foreign.test>").expect(501, 550, 553, 500)
        talk.say("MAIL FROM:<jürgen@köln.test> SMTPUTF8").expect(250)
        talk.say("RCPT TO:<alice@example.test>").expect(250)
        text = letter("Grüße", "Straße\r\n", sender="jürgen@köln.test")
        talk.data(text)
        self.assertTrue(self.server.mail("alice")[-1].endswith(text))
        self.assertIn("with UTF8SMTP", self.server.mail("alice")[-1].decode())  # RFC 6531 section 4.3

    def test_ascii_form_of_our_domain_is_our_domain(self):
        talk = self.hello()
        talk.say("MAIL FROM:<> SMTPUTF8").expect(250).say("RCPT TO:<bob@EXAMPLE.test>").expect(250)
        talk.say("RCPT TO:<höhö@example.test>").expect(550)

    def test_binarymime_is_not_offered(self):
        talk = self.hello()
        self.assertNotIn("BINARYMIME", talk.last)
        talk.say("MAIL FROM:<a@foreign.test> BODY=BINARYMIME").expect(501, 555, 504)
        talk.say("MAIL FROM:<a@foreign.test> BODY=8BITMIME").expect(250)

    def test_unknown_parameters_are_555(self):
        talk = self.hello()
        talk.say("MAIL FROM:<a@foreign.test> FROBNICATE=yes").expect(555)
        talk.say("MAIL FROM:<a@foreign.test>").expect(250).say("RCPT TO:<bob@example.test> FROBNICATE").expect(555)

    def test_helo_gets_no_extensions(self):
        with self.server.smtp("mx") as talk:
            talk.expect(220).say("HELO client.test").expect(250)
            self.assertNotIn("\n", talk.last)

    def test_command_lines_have_a_limit(self):
        talk = self.hello()
        talk.say("NOOP " + "x" * 5000).expect(500)
        talk.say("NOOP").expect(250)
        talk.say("MAIL FROM:<" + "a" * 60 + "@" + "b." * 90 + "test>").expect(250)  # 246 octets of the 256 of RFC 5321 section 4.5.3.1.3
        talk.say("RCPT TO:<" + "a" * 300 + "@example.test>").expect(500, 501, 550, 553)


class Recipients(unittest.TestCase):
    def test_a_thousand_recipients_and_not_one_more(self):
        names = [f"u{n}" for n in range(1001)]
        with Server(accounts=names, listeners=["mx", "pop3s"]) as server, server.smtp("mx") as talk:
            talk.ehlo().say("MAIL FROM:<a@foreign.test>").expect(250)
            for n in range(0, 1000, 100):
                talk.send("".join(f"RCPT TO:<u{i}@example.test>\r\n" for i in range(n, n + 100)))
                for _ in range(100):
                    talk.expect(250)
            talk.say("RCPT TO:<u1000@example.test>").expect(452, "4.5.3")
            text = letter(to="all@example.test")
            talk.data(text)
            server.wait_queue_empty()
            for name in names[:1000]:
                [file] = server.files(name)
                self.assertTrue(file.read_bytes().replace(b"\r\n", b"\n").endswith(text.replace(b"\r\n", b"\n")), name)
            self.assertEqual(server.files("u1000"), [])

    def test_the_same_recipient_twice_gets_one_copy(self):
        with Server(listeners=["mx", "pop3s"]) as server, server.smtp("mx") as talk:
            talk.ehlo().mail("a@foreign.test", "bob@example.test", "BOB@example.test", "bob@example.test").data(letter())
            server.wait_queue_empty()
            self.assertEqual(len(server.fetch("bob")), 1)


if __name__ == "__main__":
    main()

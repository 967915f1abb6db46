"""POP3 as a user of it lives: keep or delete, identifiers that stay, a line that drops."""
import unittest

from postern import PATIENCE, Server, letter, main, password_of, token_of, wait_until


class Pop3(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server(listeners=["mx", "submission", "pop3", "pop3s"]))

    def deliver(self, count, to="bob"):
        texts = []
        for n in range(count):
            texts.append(self.server.submit("alice", to, letter(f"number {n}", to=f"{to}@example.test")))
            self.server.mail(to, n + 1)  # one after the other, so that their order is known
        return texts

    def uids(self, name="bob"):
        with self.server.pop(name) as talk:
            talk.say("UIDL").expect_pop()
            lines = talk.octets_to_dot().decode().split("\r\n")[:-1]
            talk.say("QUIT").expect_pop()
        self.assertEqual([line.split()[0] for line in lines], [str(n + 1) for n in range(len(lines))])
        return [line.split()[1] for line in lines]

    def test_keeping_mail_changes_nothing(self):
        texts = self.deliver(3)
        first = self.server.fetch("bob")
        self.assertTrue(all(mail.endswith(text) for mail, text in zip(first, texts)))
        self.assertEqual(self.server.fetch("bob"), first)
        self.assertEqual(self.server.fetch("bob"), first)

    def test_uidl_is_stable_over_sessions_deletions_and_restarts(self):
        self.deliver(3)
        uids = self.uids()
        self.assertEqual(len(set(uids)), 3)
        for uid in uids:
            self.assertRegex(uid, r"^[\x21-\x7e]{1,70}$")  # RFC 1939 section 7
        self.server.fetch("bob")  # reading must not change them
        self.assertEqual(self.uids(), uids)
        self.server.restart()
        self.assertEqual(self.uids(), uids)
        with self.server.pop("bob") as talk:
            talk.say("DELE 2").expect_pop().say("QUIT").expect_pop()
        self.assertEqual(self.uids(), [uids[0], uids[2]])
        self.server.submit("alice", "bob")
        self.server.mail("bob", 3)
        self.assertEqual(self.uids()[:2], [uids[0], uids[2]])
        self.assertNotIn(self.uids()[2], uids)

    def test_deleting_is_for_good_only_at_quit(self):
        texts = self.deliver(2)
        with self.server.pop("bob") as talk:
            talk.say("DELE 1").expect_pop()
            self.assertEqual(talk.say("STAT").expect_pop().last.split()[1], "1")
            talk.say("LIST 1").expect_pop("-ERR")
            talk.say("DELE 1").expect_pop("-ERR")
            talk.say("QUIT").expect_pop()
        [left] = self.server.fetch("bob")
        self.assertEqual(token_of(left), token_of(texts[1]))
        self.assertEqual(len(self.server.files("bob")), 1)

    def test_a_dropped_connection_deletes_nothing(self):
        self.deliver(2)
        for _ in range(2):
            with self.server.pop("bob") as talk:
                talk.say("DELE 1").expect_pop().say("DELE 2").expect_pop()
        wait_until(lambda: self.try_count() == 2, "the lock of the dropped session to go")

    def try_count(self):
        try:
            return len(self.server.fetch("bob"))
        except AssertionError:
            return None  # still locked

    def test_a_second_session_has_to_wait(self):
        """RFC 1939 section 4: the maildrop is locked; RFC 3206 has the code."""
        self.deliver(1)
        with self.server.pop("bob") as first:
            with self.server.talk("pop3s") as second:
                second.expect_pop().say("USER bob@example.test").expect_pop()
                second.say("PASS " + password_of("bob")).expect_pop("-ERR [IN-USE]")
            first.say("QUIT").expect_pop()
        self.assertEqual(len(self.server.fetch("bob")), 1)

    def test_mail_that_comes_during_a_session_waits_for_the_next(self):
        self.deliver(1)
        with self.server.pop("bob") as talk:
            self.server.submit("alice", "bob")
            wait_until(lambda: len(self.server.files("bob")) == 2, "the second file")
            self.assertEqual(talk.say("STAT").expect_pop().last.split()[1], "1")
            talk.say("QUIT").expect_pop()
        self.assertEqual(len(self.server.fetch("bob")), 2)

    def test_top_gives_the_header_and_some_lines(self):
        body = "".join(f"line {n}\r\n" for n in range(10)) + ".dot\r\n"
        self.server.submit("alice", "bob", letter(body=body))
        [mail] = self.server.mail("bob")
        header = mail[: mail.index(b"\r\n\r\n") + 4]
        with self.server.pop("bob") as talk:
            for lines, rest in ((0, b""), (3, b"line 0\r\nline 1\r\nline 2\r\n"), (999, body.encode())):
                talk.say(f"TOP 1 {lines}").expect_pop()
                self.assertEqual(talk.octets_to_dot(), header + rest)

    def test_accounts_see_their_own_mail_only(self):
        self.deliver(1, "bob")
        self.assertEqual(self.server.fetch("alice"), [])

    def test_a_pipelining_client_is_served(self):
        """RFC 2449 section 6.6."""
        self.deliver(3)
        with self.server.pop("bob") as talk:
            talk.send(b"STAT\r\nRETR 1\r\nRETR 2\r\nRETR 3\r\nDELE 1\r\nNOOP\r\nQUIT\r\n")
            talk.expect_pop()
            for _ in range(3):
                talk.expect_pop()
                talk.octets_to_dot()
            talk.expect_pop().expect_pop().expect_pop()
            self.assertTrue(talk.ended())
        self.assertEqual(len(self.server.fetch("bob")), 2)

    def test_large_mail_comes_whole(self):
        text = letter(body="0123456789abcdef0123456789abcdef0123456789abcdef\r\n" * 60_000)  # 3 MB, a body file
        self.server.submit("alice", "bob", text)
        [mail] = self.server.mail("bob")
        self.assertTrue(mail.endswith(text))


if __name__ == "__main__":
    main()

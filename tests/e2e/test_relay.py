"""A stranger may not relay: every form of address that open-relay tests of the last thirty years have tried."""
import unittest

from postern import HOST, SCRIPT, Server, b64, letter, main, password_of

FOREIGN = "victim@foreign.test"
# {ours}: a domain of this server. Each must be refused at RCPT to whoever has not logged in.
CLASSIC = [
    "victim@foreign.test",
    "victim%foreign.test@{ours}",
    "victim%foreign.test@[{host}]",
    "victim%foreign.test@mail.example.test",
    "victim%foreign.test",
    '"victim@foreign.test"',
    '"victim%foreign.test"',
    '"victim@foreign.test"@{ours}',
    '"victim%foreign.test"@{ours}',
    "victim@foreign.test@{ours}",
    "victim@foreign.test@[{host}]",
    "@{ours}:victim@foreign.test",
    "@[{host}]:victim@foreign.test",
    "@foreign.test:victim@foreign.test",
    "@{ours},@foreign.test:victim@foreign.test",
    "foreign.test!victim",
    "foreign.test!victim@{ours}",
    "foreign.test!victim@[{host}]",
    "foreign.test!victim%foreign.test@{ours}",
    "victim@[127.0.0.1]",
    "victim@[{host}]",
    "victim@[192.0.2.1]",
    "victim@[IPv6:2001:db8::1]",
    "victim@localhost",
    "victim@mail.example.test",
    "victim@sub.{ours}",
    "victim@{ours}.foreign.test",
    "victim@{ours}@foreign.test",
    "victim@foreign.test.",
    "victim@FOREIGN.TEST",
    "victim@xn--mnchen-3ya.test",
    "alice+victim=foreign.test@foreign.test",
    "|/bin/true@{ours}",
    "/etc/passwd@{ours}",
    "alice@{ours} NOTIFY=NEVER ORCPT=rfc822;victim@foreign.test@foreign.test",
]
SENDERS = ["", "spammer@foreign.test", "alice@example.test", "postmaster@[{host}]", "postmaster@mail.example.test",
           "alice@localhost", "alice"]


class OpenRelay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(listener_extra={"mx": "auth = true"}, extra="[smtp]\nmax_errors = 10000\nmax_commands = 10000\n"))

    def refused(self, talk, address):
        talk.say(f"RCPT TO:<{address}>")
        reply = talk.reply()
        self.assertRegex(reply, r"^5\d\d", f"<{address}> was answered {reply}")

    def test_no_form_of_address_lets_a_stranger_through(self):
        for sender in SENDERS:
            with self.server.smtp("mx") as talk:
                talk.ehlo()
                talk.say(f"MAIL FROM:<{sender.format(host=HOST)}>")
                if not talk.reply().startswith("250"):
                    continue  # refusing the sender is as good
                for form in CLASSIC:
                    with self.subTest(sender=sender, recipient=form):
                        self.refused(talk, form.format(ours="example.test", host=HOST))
                talk.say("DATA").expect(503, 554)
        self.assertEqual(self.server.queued(), 0)

    def test_a_source_route_to_our_own_user_is_our_own_user(self):
        """RFC 5321 appendix C: a server must accept the route and should ignore it."""
        with self.server.smtp("mx") as talk:
            talk.ehlo().say("MAIL FROM:<a@foreign.test>").expect(250)
            talk.say("RCPT TO:<@foreign.test:alice@example.test>").expect(250)

    def test_the_users_domain_as_sender_gives_no_right(self):
        for listener in ("submission", "submissions"):
            with self.server.smtp(listener) as talk:
                talk.ehlo().say("MAIL FROM:<alice@example.test>").expect(530)
                talk.say(f"RCPT TO:<{FOREIGN}>").expect(503)

    def test_a_failed_login_gives_no_right(self):
        with self.server.smtp("lesson") as talk:
            talk.ehlo().say("AUTH PLAIN " + b64("\0alice@example.test\0wrong")).expect(535)
            talk.say("MAIL FROM:<alice@example.test>").expect(530)

    def test_a_login_on_one_connection_is_not_one_on_another(self):
        with self.server.logged_in("alice") as good, self.server.smtp("mx") as other:
            good.say("MAIL FROM:<alice@example.test>").expect(250)
            good.say(f"RCPT TO:<{FOREIGN}>").expect(250)
            other.ehlo().say("MAIL FROM:<alice@example.test>").expect(250)
            self.refused(other, FOREIGN)
            good.say("RSET").expect(250)

    def test_local_mail_is_taken_from_strangers_whatever_the_case(self):
        with self.server.smtp("mx") as talk:
            talk.ehlo().say("MAIL FROM:<>").expect(250)
            for ours in ("bob@example.test", "BOB@EXAMPLE.TEST", "Postmaster"):
                talk.say(f"RCPT TO:<{ours}>")
                if ours != "Postmaster":
                    talk.expect(250)
                else:  # RFC 5321 section 4.5.1: no mail for postmaster may be refused
                    talk.expect(250)

    def test_what_is_accepted_at_rcpt_is_what_data_delivers(self):
        text = letter(sender="a@foreign.test", to=FOREIGN)  # header recipients have no say
        with self.server.smtp("mx") as talk:
            talk.ehlo().mail("a@foreign.test", "bob@example.test").data(text)
        self.assertTrue(self.server.mail("bob")[0].endswith(text))


class OpenByConfiguration(unittest.TestCase):
    def test_a_server_that_would_relay_for_the_world_does_not_start(self):
        server = Server(extra='[[relay.network]]\nnetwork = "0.0.0.0/0"\nreason = "a slip"\n')
        done = server.run("check", check=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("0.0.0.0/0", done.stderr)
        self.assertRegex(done.stderr, r"postern\.toml:\d+:\d+")
        done = server.run("run", check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertNotIn("ready", done.stderr)

    def test_check_prints_the_proof(self):
        done = Server().run("check")
        self.assertIn("is good", done.stdout)
        self.assertIn("no stranger may relay", done.stdout)
        self.assertRegex(done.stdout, r"(?m)^stranger +mx +no .*refuse")

    def test_a_named_network_may_relay_and_only_it(self):
        network = '[[relay.network]]\nnetwork = "127.0.0.1/32"\nreason = "this machine"\n'
        with Server(extra=network, script=SCRIPT.replace("  { act.bounce", "  { when = match.relay_allowed, act.discard \"elsewhere\" },\n  { act.bounce")) as server:
            with server.smtp("mx") as talk:
                talk.ehlo().mail("a@foreign.test", FOREIGN)
                talk.data(letter(to=FOREIGN))


if __name__ == "__main__":
    main()

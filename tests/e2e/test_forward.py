"""Forwarded mail leaves with a sender of ours and its reports come back through it (SRS); a host asks for its mail (ETRN)."""
import re
import unittest

from postern import HOST, Server, letter, main, wait_until
from test_relay_out import SCRIPT, Sink


def forwarding(port, more=""):
    return f"""
[relay]
forward_aliases = true
[[alias]]
from = "away@example.test"
to = ["ann@far.test"]
[srs]
domain = "srs.test"
{more}
[[domain]]
name = "srs.test"
[[delivery.route]]
name = "sink"
domains = ["*"]
to = ["[{HOST}]:{port}"]
[queue]
retry = "1s"
"""


class Forward(unittest.TestCase):
    def setUp(self):
        self.sink = Sink()
        self.addCleanup(self.sink.close)

    def sender_seen(self, server):
        """Sends a mail to the alias; the sender that the next host gets it from."""
        with server.smtp() as talk:
            talk.ehlo()
            talk.mail("sue@else.test", "away@example.test")
            talk.data(letter(sender="sue@else.test", to="away@example.test"))
        wait_until(lambda: self.sink.mails, "the forwarded mail")
        server.wait_queue_empty()
        return re.search(r"MAIL FROM:<([^>]*)>", self.sink.mails[-1][0])[1]

    def test_a_forwarded_mail_and_the_report_about_it_go_round(self):
        with Server(forwarding(self.sink.port), script=SCRIPT) as server:
            sender = self.sender_seen(server)
            self.assertRegex(sender, r"^SRS0=[^=]{6}=[A-Z2-7]{2}=else\.test=sue@srs\.test$")
            self.assertEqual((server.state / "srs.secret").stat().st_mode & 0o777, 0o600)
            server.restart()  # the secret stays
            with server.smtp() as talk:
                talk.ehlo()
                talk.mail("", sender)
                talk.data(letter(subject="Undelivered", sender="mailer-daemon@far.test", to=sender))
            wait_until(lambda: len(self.sink.mails) == 2, "the report")
            mail, recipients, _ = self.sink.mails[-1]
            self.assertIn("MAIL FROM:<>", mail)
            self.assertEqual(recipients, ("sue@else.test",))

    def test_nobody_else_gets_through(self):
        with Server(forwarding(self.sink.port), script=SCRIPT) as server:
            sender = self.sender_seen(server)
            forged = sender.replace("=sue@", "=victim@")
            with server.smtp() as talk:
                talk.ehlo()
                talk.say("MAIL FROM:<>")
                talk.expect(250)
                talk.say(f"RCPT TO:<{forged}>")
                talk.expect(550, "5.1.1")
                talk.say("RSET")
                talk.expect(250)
                talk.say("MAIL FROM:<eve@evil.test>")
                talk.expect(250)
                talk.say(f"RCPT TO:<{sender}>")
                talk.expect(550, "5.7.1")
            self.assertEqual(len(self.sink.mails), 1)

    def test_without_a_domain_senders_stay(self):
        extra = forwarding(self.sink.port).replace('domain = "srs.test"', 'domain = ""')
        with Server(extra, script=SCRIPT) as server:
            self.assertEqual(self.sender_seen(server), "sue@else.test")


class Etrn(unittest.TestCase):
    def test_mail_that_is_collected_goes_when_its_host_asks(self):
        sink = Sink()
        self.addCleanup(sink.close)
        extra = f"""
[[delivery.route]]
name = "branch"
domains = ["branch.test"]
to = ["[{HOST}]:{sink.port}"]
[queue.routes."branch"]
release = "on request"
"""
        etrn = '[[smtp.listener.etrn]]\ndomains = ["branch.test"]\nnetworks = ["127.0.0.1/32"]\n'
        with Server(extra, script=SCRIPT, listener_extra={"mx": etrn}) as server:
            server.submit("alice", "x@branch.test", letter(to="x@branch.test"))
            wait_until(lambda: server.queued() == 1, "the mail in the queue")
            with server.smtp() as talk:
                self.assertIn("ETRN", talk.ehlo().last)
                talk.say("ETRN else.test")
                talk.expect(459)
                self.assertEqual(sink.mails, [])
                talk.say("ETRN branch.test")
                talk.expect(253)
                server.wait_queue_empty()
                self.assertEqual([one for _, one, _ in sink.mails], [("x@branch.test",)])
                talk.say("ETRN branch.test")
                talk.expect(251)


if __name__ == "__main__":
    main()

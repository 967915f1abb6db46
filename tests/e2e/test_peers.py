"""Postfix, Exim and OpenSMTPD take mail from Postern and send mail to it, over STARTTLS; Dovecot takes it by LMTP."""
# ctest: timeout=600
import email
import email.policy
import smtplib
import ssl
import unittest

from peers import PUT_OFF, Dovecot, Exim, OpenSmtpd, Postfix
from postern import HOST, PATIENCE, Server, free_port, letter, main, token_of, wait_until

SCRIPT = """\
local postern = require "postern"
local match, act = postern.match, postern.act
postern.pipeline "root" {
  { when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  { when = match.recipient_is_local, act.deliver { folder = "INBOX" } },
  { act.relay() },
}
"""
# What mends, shortens or reads a text on its way would show: dots alone and before long lines, octets above 127 that are
# UTF-8 and that are nothing, a line as long as RFC 5321 allows, trailing blanks, an end that looks like a command.
BODY = (b".\r\n..\r\n.dot\r\n" + b"." * 300 + b"\r\n." + b"x" * 997 + b"\r\n" + b"y" * 998 + b"\r\nGr\xc3\xbc\xc3\x9fe, \xfc\xff\xa0\r\ntrailing \t \r\n"
        b"From here on\r\n\r\n\r\nQUIT\r\n")
EIGHT_BIT = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"


def eight_bit(**more):
    return letter(headers=EIGHT_BIT, body="", **more) + BODY


def with_lf(text):
    return text.replace(b"\r\n", b"\n")


def parsed(octets):
    return email.message_from_bytes(octets, policy=email.policy.default)


class Exchange:
    """The tests of one peer; both servers run while all of them do."""

    peer_class = None

    @classmethod
    def setUpClass(cls):
        port = free_port()
        cls.peer = cls.enterClassContext(cls.peer_class(outward={"example.test": (HOST, port)}))
        extra = f"""
[[delivery.route]]
name = "{cls.peer.name}"
domains = ["{cls.peer.domain}"]
to = ["[{HOST}]:{cls.peer.port}"]
[queue]
retry = "1s"
"""
        server = Server(extra, script=SCRIPT)
        server.ports["mx"] = port
        server.write()
        cls.server = cls.enterClassContext(server)

    def tearDown(self):
        self.peer.empty()
        for who in ("alice", "bob"):
            for file in self.server.files(who):
                file.unlink()

    def send(self, recipients, text):
        """A user of ours sends; the peer's addresses are given without their domain."""
        with self.server.smtplib("submission", "alice") as client:
            client.sendmail("alice@example.test", [self.peer.address(r) for r in recipients], text, mail_options=["BODY=8BITMIME"])

    def send_from_peer(self, recipient, text):
        """A client of the peer sends to us."""
        with smtplib.SMTP(HOST, self.peer.port, "client.test", timeout=PATIENCE) as client:
            client.sendmail(self.peer.address("user"), [recipient], text, mail_options=["BODY=8BITMIME"])

    # ---- from us

    def test_takes_our_mail_over_tls_octet_by_octet(self):
        text = eight_bit(to=self.peer.address("user"))
        self.send(["user"], text)
        [got] = self.peer.mail("user")
        self.assertTrue(got.endswith(with_lf(text)), got.decode(errors="replace"))
        self.assert_tls_at_peer(got)
        self.server.wait_queue_empty()

    def assert_tls_at_peer(self, got):
        self.assertRegex(parsed(got)["Received"], r"(?is)with esmtps\b.*TLS|TLSv?1\.[23].*with esmtps\b", got[:1500].decode(errors="replace"))
        self.assertRegex(self.server.log(), r"relay\.delivered .*tls=TLSv1\.[23]")

    def test_takes_a_large_text(self):
        text = letter(to=self.peer.address("user"), body="0123456789abcdef.\r\n" * 100_000)
        self.send(["user"], text)
        [got] = self.peer.mail("user", 1, 3 * PATIENCE)
        self.assertTrue(got.endswith(with_lf(text)))

    def test_takes_one_text_for_several_people(self):
        text = eight_bit(to=self.peer.address("user"))
        self.send(["user", "second", "third"], text)
        for who in ("user", "second", "third"):
            [got] = self.peer.mail(who)
            self.assertTrue(got.endswith(with_lf(text)), who)
        self.server.wait_queue_empty()
        self.assertEqual(self.server.fetch("alice"), [])

    def test_takes_many_over_few_connections(self):
        with self.server.smtplib("submission", "alice") as client:
            tokens = set()
            for number in range(30):
                text = letter(to=self.peer.address("user"), subject=str(number))
                client.sendmail("alice@example.test", [self.peer.address("user")], text)
                tokens.add(token_of(text))
        self.assertEqual({token_of(got) for got in self.peer.mail("user", 30, 3 * PATIENCE)}, tokens)

    def test_whom_it_refuses_comes_back_in_its_own_words_and_the_others_get_the_mail(self):
        text = eight_bit(to=self.peer.address("user"))
        self.send(["user", "nobody", "second"], text)
        [bounce] = self.server.mail("alice")
        for who in ("user", "second"):
            [got] = self.peer.mail(who)
            self.assertTrue(got.endswith(with_lf(text)), who)
        report = parsed(bounce)
        self.assertEqual(report.get_content_type(), "multipart/report")
        self.assertEqual(report.get_param("report-type"), "delivery-status")
        words, status, returned = list(report.iter_parts())
        fields = status.as_string()
        self.assertRegex(fields, rf"(?m)^Final-Recipient: rfc822; ?{self.peer.address('nobody')}")
        self.assertRegex(fields, r"(?m)^Action: failed")
        self.assertRegex(fields, r"(?m)^Status: 5\.")
        self.assertRegex(fields.replace("\n ", " "), rf"(?m)^Diagnostic-Code: smtp; ?550.*{self.unknown_user}")
        self.assertRegex(words.get_content(), self.unknown_user)
        self.assertNotIn(self.peer.address("second"), fields)
        self.assertIn(token_of(text), returned.as_string())
        self.server.wait_queue_empty()

    def test_whom_it_puts_off_gets_the_mail_later_and_once(self):
        text = eight_bit(to=self.peer.address("later"))
        self.peer.put_off()
        self.send(["later", "second"], text)
        self.assertTrue(self.peer.mail("second")[0].endswith(with_lf(text)))
        self.server.wait_log(PUT_OFF.split(" ", 2)[2])
        self.assertEqual(self.peer.files("later"), [])
        self.assertEqual(self.server.queued(), 1)
        self.peer.take_again()
        [got] = self.peer.mail("later")
        self.assertTrue(got.endswith(with_lf(text)))
        self.server.wait_queue_empty()
        self.assertEqual(len(self.peer.files("second")), 1)
        self.assertEqual(self.server.fetch("alice"), [])

    # ---- to us

    def test_brings_us_mail_over_tls_octet_by_octet(self):
        text = eight_bit(sender=self.peer.address("user"))
        self.send_from_peer("bob@example.test", text)
        [got] = self.server.mail("bob")
        self.assertTrue(got.endswith(text), got.decode(errors="replace"))
        self.assertRegex(parsed(got)["Received"], rf"(?s)from {self.peer.host} .*by mail\.example\.test.* with ESMTPS\b")

    def test_bounces_by_itself_what_we_refuse(self):
        text = letter(sender=self.peer.address("user"), to="nobody@example.test")
        self.send_from_peer("nobody@example.test", text)
        [bounce] = self.peer.mail("user", 1, 3 * PATIENCE)
        self.assertRegex(bounce, rb"nobody@example\.test")
        self.assertRegex(bounce, rb"550[ -]5\.1\.1")
        self.assertEqual(parsed(bounce)["Return-Path"] or "<>", "<>")
        self.assertEqual(self.server.fetch("bob"), [])


class FromAndToPostfix(Exchange, unittest.TestCase):
    peer_class = Postfix
    unknown_user = "User unknown in virtual mailbox table"


class FromAndToExim(Exchange, unittest.TestCase):
    peer_class = Exim
    unknown_user = "no such person on this island"


class FromAndToOpenSmtpd(Exchange, unittest.TestCase):
    """OpenSMTPD 6.8 with OpenSSL 3 (Debian 12) offers STARTTLS and then finds no key for it. What is opportunistic goes in
    plaintext then, and that must be seen; later releases do as the others."""

    peer_class = OpenSmtpd
    unknown_user = "Invalid recipient"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        context = ssl.create_default_context(cafile=str(cls.peer.home / "cert.pem"))
        context.check_hostname = False
        with smtplib.SMTP(HOST, cls.peer.port, "client.test", timeout=PATIENCE) as client:
            try:
                client.starttls(context=context)
                cls.tls_works = True
            except ssl.SSLError:
                cls.tls_works = False
                client.close()

    def assert_tls_at_peer(self, got):
        if self.tls_works:
            super().assert_tls_at_peer(got)
            return
        self.assertRegex(parsed(got)["Received"], r"(?is)with ESMTP\b")
        self.assertRegex(self.server.log(), r"relay\.no_connection .*retry_plaintext=true")
        self.assertRegex(self.server.log(), r'relay\.delivered .*tls=(""|-)? ')


class WithoutEightBits(unittest.TestCase):
    def test_a_host_that_takes_seven_bits_gets_seven_bits_that_mean_the_same(self):
        settings = "smtpd_discard_ehlo_keywords = 8bitmime, chunking, smtputf8"
        with Postfix(settings=settings) as peer:
            extra = f'[[delivery.route]]\nname = "peer"\ndomains = ["{peer.domain}"]\nto = ["[{HOST}]:{peer.port}"]\n'
            with Server(extra, script=SCRIPT) as server, server.smtplib("submission", "alice") as client:
                text = eight_bit(to=peer.address("user"))
                client.sendmail("alice@example.test", [peer.address("user")], text, mail_options=["BODY=8BITMIME"])
                [got] = peer.mail("user")
                self.assertEqual(max(got) < 128, True)
                self.assertIn(parsed(got)["Content-Transfer-Encoding"].lower(), ("quoted-printable", "base64"))
                self.assertEqual(with_lf(parsed(got).get_payload(decode=True)), with_lf(BODY))


class ToDovecot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.peer = cls.enterClassContext(Dovecot())
        extra = f'[[delivery.route]]\nname = "mailboxes"\ndomains = ["{cls.peer.domain}"]\nto = ["lmtp:unix:{cls.peer.socket}"]\n[queue]\nretry = "1s"\n'
        cls.server = cls.enterClassContext(Server(extra, script=SCRIPT))

    def test_lmtp_over_a_unix_socket_gives_each_recipient_an_answer_of_its_own(self):
        text = eight_bit(to=self.peer.address("user"))
        with self.server.smtplib("submission", "alice") as client:
            client.sendmail("alice@example.test", [self.peer.address(who) for who in ("user", "nobody", "second", "third")], text,
                            mail_options=["BODY=8BITMIME"])
        for who in ("user", "second"):
            [got] = self.peer.mail(who)
            self.assertTrue(with_lf(got).endswith(with_lf(text)), got.decode(errors="replace"))
        bounces = b"".join(wait_until(lambda: self.reported(("nobody", "third")), "reports for the two who got nothing\n" + self.server.log()[-2000:]))
        self.assertRegex(bounces, rb"(?s)nobody@dovecot\.test.*550 5\.1\.1")
        self.assertRegex(bounces, rb"(?s)third@dovecot\.test.*552 5\.2\.2 .*Quota exceeded")
        self.assertEqual(self.peer.files("third"), [])
        self.server.wait_queue_empty()

    def reported(self, who):
        mails = self.server.fetch("alice")
        return mails if all(any(self.peer.address(one).encode() in mail for mail in mails) for one in who) else None


if __name__ == "__main__":
    main()

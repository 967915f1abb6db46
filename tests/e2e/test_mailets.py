"""Mailets that bring in mail and that change bodies: what arrives, octet by octet where that matters."""
import base64
import email
import email.policy
import quopri
import re
import unittest

from postern import Server, letter, main, token_of, wait_until

FOOTER = "Grüße aus Zürich"
RULES = '''
local subject_is = match.subject_is
local function to(name)
  return match.recipient_is(name .. "@example.test")
end
postern.pipeline "root" {
  { when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  { name = "archive", when = subject_is "archived", act.copy_to "carol@example.test" },
  { name = "forward", when = to "info", act.forward "bob@example.test" },
  { name = "abroad", when = to "abroad", act.forward "someone@foreign.test" },
  { name = "nobody", when = to "nobody", act.forward "missing@example.test" },
  { name = "list", when = to "team", act.redirect { to = { "bob@example.test", "carol@example.test" }, prefix = "[team]",
    reply_to = "team@example.test", sender = "alice@example.test" } },
  { name = "footer", when = subject_is "footer", act.add_footer { text = "FOOTER" } },
  { name = "bobs", when = subject_is "split" * to "bob", act.add_footer { text = "for bob alone" }, act.set_header("X-Bob", "1") },
  { name = "strip", when = subject_is "strip", act.strip_attachment { "*.exe", note = "stripped" },
    act.notes_to_headers { stripped = "X-Stripped" } },
  { name = "tell", when = subject_is "tell", act.notify_postmaster { text = "Look at this.", to = "carol@example.test", attach = "message" } },
  { name = "away", when = to "bob" * subject_is "away", act.vacation { text = "I am away.", days = 1 } },
  { name = "seven", when = subject_is "seven", act.convert_to_7bit },
  { when = match.recipient_is_local, act.deliver { folder = "INBOX" } },
  { act.bounce("5.7.1", "relaying denied") },
}
'''.replace("FOOTER", FOOTER)
HEAD = 'local postern = require "postern"\nlocal match, act = postern.match, postern.act\n'
NAMES = ["alice", "bob", "carol", "info", "abroad", "nobody", "team"]


def multipart(subject, *parts, kind="alternative"):
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + "--b--\r\n"
    headers = f"MIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary=b\r\n"
    return letter(subject, body, headers=headers)


def parsed(octets):
    return email.message_from_bytes(octets, policy=email.policy.default)


def body_of(octets):
    return octets.split(b"\r\n\r\n", 1)[1]


class Mailets(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server(script=HEAD + RULES, listeners=["mx", "lesson", "pop3s"], accounts=NAMES))

    def send(self, text, *recipients, codes=(250,), sender="stranger@foreign.test"):
        with self.server.smtp("mx") as talk:
            talk.ehlo().mail(sender, *[f"{one}@example.test" for one in recipients]).data(text, *codes)
        return text

    def test_a_copy_is_the_mail_and_goes_nowhere_else(self):
        text = self.send(letter("archived"), "alice")
        [copy] = self.server.mail("carol")
        [mine] = self.server.mail("alice")
        self.assertTrue(copy.endswith(text) and mine.endswith(text))
        received = parsed(copy).get_all("Received")
        self.assertEqual(2, len(received))
        self.assertIn("(Postern, copy_to)", received[0])
        self.assertIn("from client.example.test", received[1])
        # The trails of both name each other.
        ids = [re.search(rf"id ([0-9a-z]{{13}})", one)[1] for one in (received[0], parsed(mine)["Received"])]
        for one, other in (ids, ids[::-1]):
            wait_until(lambda: other in self.server.run("why", one, check=False).stdout, f"a trail of {one} that names {other}")

    def test_forwarded_mail_leaves_its_recipient(self):
        text = self.send(letter("x"), "info", "alice")
        [there] = self.server.mail("bob")
        self.server.mail("alice")
        self.assertTrue(there.endswith(text))
        self.server.wait_queue_empty()
        self.assertEqual([], self.server.fetch("info"))

    def test_a_way_elsewhere_is_closed_without_forward_aliases_and_the_mail_waits(self):
        self.send(letter("x"), "abroad", codes=(451,))
        self.send(letter("x"), "nobody", "alice", codes=(451,))
        self.assertEqual([], self.server.fetch("alice"), "nothing of a refused mail is kept")
        self.server.wait_log("brought.relay")
        self.assertIn("someone@foreign.test", self.server.run("check").stdout)

    def test_a_list_changes_the_face_and_keeps_the_text(self):
        text = self.send(letter("plan"), "team")
        for name in ("bob", "carol"):
            [mail] = self.server.mail(name)
            self.assertEqual("[team] plan", parsed(mail)["Subject"])
            self.assertEqual("team@example.test", parsed(mail)["Reply-To"])
            self.assertEqual(token_of(text), token_of(mail))
            self.assertEqual(body_of(text), body_of(mail))

    def test_a_footer_goes_under_each_alternative_in_its_own_clothes(self):
        plain = "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ncaf=E9"
        html = ("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
                + base64.encodebytes("<html><body><p>café</p></body></html>".encode()).decode().strip())
        self.send(multipart("footer", plain, html), "alice")
        [mail] = self.server.mail("alice")
        message = parsed(mail)
        first, second = message.iter_parts()
        self.assertEqual(f"café\n{FOOTER}", first.get_content().replace("\r\n", "\n").rstrip("\n"))
        self.assertEqual("quoted-printable", first["Content-Transfer-Encoding"])
        self.assertEqual("base64", second["Content-Transfer-Encoding"])
        self.assertIn("<p>Gr&#252;&#223;e aus Z&#252;rich</p>", second.get_content())
        self.assertTrue(second.get_content().rstrip().endswith("</body></html>"))
        self.assertEqual([], message.defects + first.defects + second.defects)

    def test_signed_mail_keeps_every_octet(self):
        inner = "Content-Type: text/plain\r\n\r\nsigned words"
        signature = "Content-Type: application/pkcs7-signature; name=smime.p7s\r\nContent-Transfer-Encoding: base64\r\n\r\nMAA="
        text = self.send(multipart("footer", inner, signature, kind='signed; protocol="application/pkcs7-signature"'), "alice")
        [mail] = self.server.mail("alice")
        self.assertTrue(mail.endswith(text))

    def test_some_recipients_get_another_body_and_the_others_what_came(self):
        text = self.send(letter("split", "words\r\n"), "alice", "bob")
        [alices] = self.server.mail("alice")
        [bobs] = self.server.mail("bob")
        self.assertTrue(alices.endswith(text))
        self.assertEqual(b"words\r\nfor bob alone\r\n", body_of(bobs))
        self.assertEqual("1", parsed(bobs)["X-Bob"])
        self.assertNotIn("X-Bob", parsed(alices))
        ids = [re.search(r"id ([0-9a-z]{13})", parsed(one)["Received"])[1] for one in (alices, bobs)]
        self.assertNotEqual(*ids)

    def test_attachments_go_by_name_and_the_rest_stays(self):
        text = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nkept é"
        evil = ('Content-Type: application/octet-stream; name="RUN.EXE"\r\nContent-Transfer-Encoding: base64\r\n'
                'Content-Disposition: attachment; filename="RUN.EXE"\r\n\r\nTVo=')
        good = "Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw=="
        sent = self.send(multipart("strip", text, evil, good, kind="mixed"), "alice")
        [mail] = self.server.mail("alice")
        before, after = body_of(sent), body_of(mail)
        at = before.index(b"Content-Type: application/octet-stream")
        self.assertEqual(before[:at], after[:at])
        self.assertEqual(before[before.index(b"--b\r\nContent-Type: image"):], after[after.index(b"--b\r\nContent-Type: image"):])
        self.assertNotIn(b"TVo=", after)
        message = parsed(mail)
        self.assertEqual('The attachment "RUN.EXE" was removed.', list(message.iter_parts())[1].get_content().strip())
        self.assertEqual("RUN.EXE", message["X-Stripped"])

    def test_a_notice_holds_the_message(self):
        text = self.send(letter("tell"), "alice")
        self.server.mail("alice")
        [notice] = self.server.mail("carol")
        message = parsed(notice)
        self.assertEqual("auto-generated", message["Auto-Submitted"])
        story, attached = message.iter_parts()
        self.assertTrue(story.get_content().startswith("Look at this."))
        self.assertIn("stranger@foreign.test", story.get_content())
        self.assertEqual("message/rfc822", attached.get_content_type())
        self.assertEqual(token_of(text), attached.get_content()["X-Token"])

    def test_vacation_answers_a_sender_once(self):
        for _ in range(3):
            self.server.submit("alice", "bob", letter("away"), listener="lesson")
        self.server.mail("bob", 3)
        self.server.wait_queue_empty()
        [answer] = self.server.mail("alice")
        message = parsed(answer)
        self.assertEqual("Auto: away", message["Subject"])
        self.assertEqual("bob@example.test", message["From"])
        self.assertEqual("auto-replied (vacation)", message["Auto-Submitted"])
        self.assertEqual("I am away.", message.get_content().strip())
        # Neither lists nor those whom the mail does not name are answered.
        self.server.submit("carol", "bob", letter("away", headers="List-Id: <x.y>\r\n"), listener="lesson")
        self.server.submit("carol", "bob", letter("away", to="others@example.test"), listener="lesson")
        self.server.mail("bob", 5)
        self.server.wait_queue_empty()
        self.assertEqual([], self.server.fetch("carol"))

    def test_a_large_mail_is_made_seven_bit_in_pieces(self):
        line = "é" * 60 + "\r\n"
        body = line * 20000  # more than what the spool keeps in memory
        headers = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
        text = letter("seven", body, headers=headers)
        with self.server.smtp("mx") as talk:
            talk.ehlo().say("MAIL FROM:<a@foreign.test> BODY=8BITMIME").expect(250).say("RCPT TO:<alice@example.test>").expect(250)
            talk.data(text)
        [mail] = self.server.mail("alice")
        self.assertEqual("quoted-printable", parsed(mail)["Content-Transfer-Encoding"])
        self.assertTrue(mail.isascii())
        self.assertLessEqual(max(len(one) for one in body_of(mail).split(b"\r\n")), 76)
        self.assertEqual(body.encode(), quopri.decodestring(body_of(mail)))


if __name__ == "__main__":
    main()

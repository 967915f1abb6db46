"""A message's whole way with clients written by others: submission with TLS and AUTH, the script, the Maildir, POP3."""
import smtplib
import subprocess
import unittest

from postern import DOMAIN, HOST, Server, letter, main, password_of, program, token_of, wait_until

# What a server is tempted to change: dots, blanks at line ends, long lines, 8-bit octets, empty lines at the end.
AWKWARD = (
    b".\r\n..\r\n.leading dot\r\n...three\r\n blank before, behind: \t \r\n\r\nFrom the mbox days\r\n"
    + b"x" * 900 + b"\r\n" + "Grüße aus Köln, 中文\r\n".encode() + b"\xff\xfe\x80\r\n\r\n\r\n"
)


class RoundTrip(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(accounts=["alice", "bob", "carol", "dora", "erik", "fay", "gil", "hal", "ida"]))

    def received(self, name, text):
        """The one mail of the account, checked to be the text that was sent, octet by octet, below our trace fields."""
        [mail] = self.server.mail(name)
        self.assertTrue(mail.endswith(text), f"sent {text[:300]!r}\ngot {mail[:900]!r}")
        trace = mail[: -len(text)].decode()
        self.assertRegex(trace, r"^Return-Path: <alice@example\.test>\r\n")
        self.assertIn("by mail.example.test", trace)
        return trace

    def test_submission_with_starttls_and_auth_arrives_octet_by_octet(self):
        text = letter(headers="MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n", body="") + AWKWARD
        with self.server.smtplib("submission") as client:
            client.login(f"alice@{DOMAIN}", password_of("alice"))
            client.mail(f"alice@{DOMAIN}", ["BODY=8BITMIME"])
            client.rcpt(f"bob@{DOMAIN}")
            code, answer = client.data(text)
            self.assertEqual(code, 250, answer)
            self.assertRegex(answer.decode(), r"queued as [0-9a-z]{13}")
        trace = self.received("bob", text)
        self.assertIn("with ESMTPSA", trace)  # RFC 3848
        self.assertIn("from client.example.test", trace)

    def test_the_file_in_the_maildir_is_what_pop3_gives(self):
        text = self.server.submit("alice", "carol", letter(to="carol@example.test"))
        trace = self.received("carol", text)
        [file] = self.server.files("carol")
        stored = file.read_bytes()
        lines = stored.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self.assertEqual(lines, trace.encode() + text)

    def test_auth_plain_and_auth_login(self):
        for mechanism in ("auth_plain", "auth_login"):
            with self.subTest(mechanism), self.server.smtplib("submission") as client:
                client.ehlo_or_helo_if_needed()
                client.user, client.password = f"alice@{DOMAIN}", password_of("alice")
                code, _ = client.auth(mechanism[5:].upper(), getattr(client, mechanism))
                self.assertEqual(code, 235)

    def test_a_wrong_password_is_refused_and_the_right_one_still_works(self):
        with self.server.smtplib("submission") as client:
            with self.assertRaises(smtplib.SMTPAuthenticationError) as refused:
                client.login(f"alice@{DOMAIN}", "wrong")
            self.assertEqual(refused.exception.smtp_code, 535)
            code, _ = client.login(f"alice@{DOMAIN}", password_of("alice"))
            self.assertEqual(code, 235)

    def test_implicit_tls(self):
        self.received("dora", self.server.submit("alice", "dora", letter(to="dora@example.test"), listener="submissions"))

    def test_no_auth_is_offered_without_tls(self):
        with smtplib.SMTP(HOST, self.server.ports["submission"], timeout=30) as client:
            client.ehlo("client.test")
            self.assertTrue(client.has_extn("starttls"))
            self.assertFalse(client.has_extn("auth"))
            self.assertEqual(client.docmd("AUTH", "PLAIN AGEAYg==")[0], 538)

    def test_the_script_puts_junk_into_its_folder(self):
        text = self.server.submit("alice", "erik", letter(subject="[junk] buy", to="erik@example.test"))
        [file] = wait_until(lambda: self.server.files("erik", "Junk"), "a message in Junk")
        self.assertIn(token_of(text).encode(), file.read_bytes())
        self.assertEqual(self.server.fetch("erik"), [])

    def test_poplib_reads_and_deletes(self):
        text = self.server.submit("alice", "fay", letter(to="fay@example.test", body=".\r\n..\r\nend\r\n"))
        self.received("fay", text)
        client = self.server.poplib("fay", tls=False)
        self.assertEqual(client.stat()[0], 1)
        _, lines, _ = client.retr(1)
        self.assertTrue((b"\r\n".join(lines) + b"\r\n").endswith(text))
        client.dele(1)
        client.quit()
        self.assertEqual(self.server.fetch("fay"), [])
        self.assertEqual(self.server.files("fay"), [])

    def curl(self, *arguments, text=None):
        command = [program("curl"), "--silent", "--show-error", "--max-time", "60", "--cacert", str(self.server.home / "mail.crt"), *arguments]
        return subprocess.run(command, input=text, capture_output=True, timeout=90)

    def test_curl_sends_and_reads_with_tls(self):
        sent = {}
        for scheme, listener, to in (("smtp", "submission", "gil"), ("smtps", "submissions", "hal")):
            text = letter(to=f"{to}@example.test", body="by curl\r\n.dot\r\n")
            done = self.curl(f"{scheme}://{HOST}:{self.server.ports[listener]}/client.test", "--ssl-reqd", "--user",
                             f"alice@{DOMAIN}:{password_of('alice')}", "--mail-from", f"alice@{DOMAIN}", "--mail-rcpt",
                             f"{to}@{DOMAIN}", "--upload-file", "-", text=text)
            self.assertEqual(done.returncode, 0, done.stderr)
            sent[to] = text
        for scheme, listener, to in (("pop3", "pop3", "gil"), ("pop3s", "pop3s", "hal")):
            self.received(to, sent[to])
            done = self.curl(f"{scheme}://{HOST}:{self.server.ports[listener]}/1", "--ssl-reqd", "--user", f"{to}@{DOMAIN}:{password_of(to)}")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertTrue(done.stdout.endswith(sent[to]), done.stdout)

    def test_swaks_sends_with_login(self):
        able = subprocess.run([program("swaks"), "--support"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
        way = ["--port", str(self.server.ports["lesson"])]  # swaks without Net::SSLeay
        if "TLS not available" not in able:
            way = ["--port", str(self.server.ports["submission"]), "--tls", "--tls-verify", "--tls-ca-path", str(self.server.home / "mail.crt")]
        done = subprocess.run(
            [program("swaks"), "--server", HOST, *way, "--auth", "LOGIN", "--auth-user", f"alice@{DOMAIN}",
             "--auth-password", password_of("alice"), "--from", f"alice@{DOMAIN}", "--to", f"ida@{DOMAIN}", "--ehlo", "client.test",
             "--body", "by swaks", "--timeout", "60"],
            capture_output=True, text=True, timeout=90)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        [mail] = self.server.mail("ida")
        self.assertIn(b"by swaks\r\n", mail)

    def s_client(self, listener, protocol, lines):
        command = [program("openssl"), "s_client", "-quiet", "-verify_return_error", "-CAfile", str(self.server.home / "mail.crt"),
                   "-verify_ip", HOST, "-connect", f"{HOST}:{self.server.ports[listener]}", "-crlf"]
        if protocol:
            command += ["-starttls", protocol]
        return subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=90)

    def test_openssl_s_client_negotiates_on_every_listener(self):
        for listener, protocol, bye in (("submission", "smtp", "221"), ("mx", "smtp", "221"), ("submissions", None, "221"),
                                        ("pop3", "pop3", "+OK"), ("pop3s", None, "+OK")):
            with self.subTest(listener):
                done = self.s_client(listener, protocol, ["QUIT"])
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(bye, done.stdout)

    def test_old_protocol_versions_are_refused(self):
        for version in ("-tls1", "-tls1_1"):
            done = subprocess.run([program("openssl"), "s_client", version, "-cipher", "ALL:@SECLEVEL=0", "-connect",
                                   f"{HOST}:{self.server.ports['submissions']}"], input="QUIT\n", capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0, done.stdout)
            self.assertNotIn("220 mail.example.test", done.stdout)


if __name__ == "__main__":
    main()

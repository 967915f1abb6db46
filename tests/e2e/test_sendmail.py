"""postern-sendmail as the programs of a machine call it: cron, mail (mailutils), git send-email, PHP, and people.

No server runs here, so that each message ends in the drop folder, where its envelope and text can be looked at. (What
the server does with such files: modules/queue/pickup_test.cc.)
"""
import email
import email.policy
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
import unittest

from postern import BUILD, main

PROGRAM = BUILD / "bin" / "postern-sendmail"


class Sendmail(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="postern-sendmail-")))
        self.drop = self.folder / "drop"
        self.drop.mkdir()
        conf = self.folder / "sendmail.conf"
        conf.write_text(f"drop = {self.drop}\nsocket = {self.folder}/none\ncontrol = {self.folder}/none\ndomain = here.example\n")
        self.env = dict(os.environ, POSTERN_SENDMAIL_CONF=str(conf), HOME=str(self.folder), EMAIL="")

    def run_it(self, *command, text="", code=0, cwd=None):
        done = subprocess.run(command, input=text, text=True, capture_output=True, env=self.env, cwd=cwd, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def dropped(self):
        """Envelope lines and message of all that was dropped."""
        out = []
        for file in sorted(self.drop.iterdir()):
            self.assertTrue(file.name.startswith("new."), file.name)
            self.assertEqual(stat.S_IMODE(file.stat().st_mode), 0o640)
            head, _, text = file.read_bytes().partition(b"\n\n")
            self.assertNotIn(b"\n", text.replace(b"\r\n", b""))  # every line ends in CR LF
            out.append((head.decode().splitlines(), email.message_from_bytes(text, policy=email.policy.default)))
        return out

    def test_cron(self):
        self.run_it(PROGRAM, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root",
                    text="From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@vm> true\n\nout\n.\nmore\n")
        [(lines, mail)] = self.dropped()
        self.assertIn("rcpt root@here.example", lines)
        self.assertEqual(mail["Subject"], "Cron <root@vm> true")
        self.assertIn("\n.\nmore", mail.get_payload().replace("\r", ""))
        self.assertIsNotNone(mail["Date"])
        self.assertTrue(mail["Message-ID"].endswith("@here.example>"))

    def test_dash_t_hides_bcc(self):
        self.run_it(PROGRAM, "-t", "-oi", "-f", "me@x.example",
                    text="To: a@far.example\nCc: b@far.example\nBcc: c@far.example\nSubject: x\n\nhi\n")
        [(lines, mail)] = self.dropped()
        self.assertEqual(lines[1:], ["sender me@x.example", "rcpt a@far.example", "rcpt b@far.example", "rcpt c@far.example"])
        self.assertIsNone(mail["Bcc"])

    def test_names_of_the_program(self):
        for name in ("sendmail", "mailq", "newaliases"):
            (self.folder / name).symlink_to(PROGRAM)
        self.run_it(self.folder / "newaliases")
        self.run_it(self.folder / "mailq", code=69)  # no server to ask
        self.run_it(self.folder / "sendmail", "bob@far.example", text="hi\n")
        self.assertEqual(len(self.dropped()), 1)

    def test_nobody_to_send_to(self):
        self.run_it(PROGRAM, text="hi\n", code=64)
        self.run_it(PROGRAM, "-t", text="Subject: x\n\nhi\n", code=64)
        self.assertEqual(self.dropped(), [])

    def test_no_way_open(self):
        self.drop.rmdir()
        done = self.run_it(PROGRAM, "bob@far.example", text="hi\n", code=75)
        self.assertIn("drop folder", done.stderr)

    @unittest.skipUnless(shutil.which("mail.mailutils"), "mailutils is not installed")
    def test_mailutils(self):
        self.run_it("mail.mailutils", "-E", f"set sendmail=sendmail:{PROGRAM}", "-s", "Hello there", "bob@far.example",
                    text="A line.\n.\nAnother.\n")
        [(lines, mail)] = self.dropped()
        self.assertIn("rcpt bob@far.example", lines)
        self.assertEqual(mail["Subject"], "Hello there")
        self.assertIn("A line.", mail.get_payload())

    @unittest.skipUnless(pathlib.Path("/usr/lib/git-core/git-send-email").exists(), "git-email is not installed")
    def test_git_send_email(self):
        work = self.folder / "work"
        work.mkdir()
        git = ("git", "-c", "user.name=Ann Other", "-c", "user.email=ann@here.example")
        self.run_it(*git, "init", "-q", cwd=work)
        (work / "file").write_text("Grüße\n.\n")
        self.run_it(*git, "add", "file", cwd=work)
        self.run_it(*git, "commit", "-q", "-m", "A file", cwd=work)
        self.run_it(*git, "send-email", f"--sendmail-cmd={PROGRAM}", "--confirm=never", "--to=bob@far.example",
                    "--cc=eve@far.example", "--quiet", "-1", cwd=work)
        [(lines, mail)] = self.dropped()
        self.assertIn("rcpt bob@far.example", lines)
        self.assertIn("rcpt eve@far.example", lines)
        self.assertEqual(mail["Subject"], "[PATCH] A file")

    @unittest.skipUnless(shutil.which("php"), "php is not installed")
    def test_php(self):
        self.run_it("php", "-d", f"sendmail_path={PROGRAM} -t -i", "-r",
                    "exit(mail('bob@far.example', 'From PHP', \"Hello\\n.\\nthere\", 'From: web@here.example') ? 0 : 1);")
        [(lines, mail)] = self.dropped()
        self.assertIn("rcpt bob@far.example", lines)
        self.assertEqual(mail["From"], "web@here.example")
        self.assertIn("there", mail.get_payload())

    def test_smtp_on_standard_input(self):
        done = self.run_it(PROGRAM, "-bs", text="EHLO x\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@far.example>\r\nDATA\r\n"
                                                 "Subject: s\r\n\r\nhi\r\n.\r\nQUIT\r\n")
        self.assertIn("250 2.0.0 Taken", done.stdout)
        [(lines, mail)] = self.dropped()
        self.assertEqual(lines[1], "sender a@x.example")


if __name__ == "__main__":
    main()

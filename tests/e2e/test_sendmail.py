"""postern-sendmail as the programs of a machine call it: cron, mail (mailutils), git send-email, PHP, and people.

Sendmail: no server runs, so that each message ends in the drop folder, where its envelope and text can be looked at. WithServer:
a server takes it, over the socket and from the folder. (What it does with all kinds of files: modules/queue/pickup_test.cc.)
"""
import email
import email.policy
import json
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
import unittest

from postern import BUILD, HOST, Server, main, wait_until

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


CONFIG = """\
[[smtp.listener]]
name = "local"
address = "unix:@HOME@/submission.sock"
role = "local"
[pickup]
folder = "@HOME@/drop"
poll = "1s"
"""


class WithServer(unittest.TestCase):
    def setUp(self):
        self.server = Server(CONFIG)
        self.home = self.server.home
        conf = self.home / "sendmail.conf"
        conf.write_text(f"drop = {self.home}/drop\nsocket = {self.home}/submission.sock\ncontrol = {self.server.state}/control.sock\n"
                        "domain = example.test\n")
        self.env = dict(os.environ, POSTERN_SENDMAIL_CONF=str(conf), HOME=str(self.home), EMAIL="")

    def send(self, *arguments, text="Subject: x\n\nhi\n", code=0, program=(PROGRAM,)):
        done = subprocess.run([*program, *arguments], input=text, text=True, capture_output=True, env=self.env, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr + self.server.log()[-2000:])
        return done

    def got(self, name, count=1):
        return [email.message_from_bytes(one, policy=email.policy.default) for one in self.server.mail(name, count)]

    def test_over_the_socket(self):
        with self.server:
            socket = self.home / "submission.sock"
            self.assertEqual(stat.S_IMODE(socket.stat().st_mode), 0o666)
            self.send("-f", "list@elsewhere.example", "bob@example.test")
            [mail] = self.got("bob")
            self.assertEqual(mail["Return-Path"], "<list@elsewhere.example>")
            self.assertIn(f"(Postern, from userid {os.getuid()})", mail["Received"])
            self.assertEqual(list((self.home / "drop").iterdir()), [])
            name = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
            wait_until(lambda: "unix:" + name in self.server.run("why", "bob@example.test", check=False).stdout, "the trail")

    def test_by_the_folder_while_the_server_is_stopped(self):
        with self.server:
            self.assertEqual(stat.S_IMODE((self.home / "drop").stat().st_mode), 0o3733)
            self.server.stop()
            self.send("-v", "bob")
            self.assertEqual(len(list((self.home / "drop").iterdir())), 1)
            self.server.start()
            [mail] = self.got("bob")
            self.assertEqual(mail["Subject"], "x")
            self.assertIn(f"(Postern, from userid {os.getuid()})", mail["Received"])
            wait_until(lambda: not list((self.home / "drop").iterdir()), "an empty drop folder")

    def test_bcc_gets_it_and_nobody_sees_that(self):
        with self.server:
            self.send("-t", "-oi", text="To: alice@example.test\nBcc: bob@example.test\nSubject: s\n\n.\nhi\n")
            for name in ("alice", "bob"):
                [mail] = self.got(name)
                self.assertIsNone(mail["Bcc"])
                self.assertNotIn("bob@", mail.as_string().replace("for <bob@example.test>", "").replace("Delivered-To: bob@", ""))
                self.assertIn(".\nhi", mail.get_payload().replace("\r", ""))

    def test_nobody_of_that_name(self):
        with self.server:
            done = self.send("nobody@example.test", code=67)  # EX_NOUSER
            self.assertIn("550 5.1.1", done.stderr)
            self.assertEqual(list((self.home / "drop").iterdir()), [])
            self.assertEqual(self.server.queued(), 0)

    def test_one_of_two_is_nobody(self):
        """The folder takes it: the other one gets it, the sender a report."""
        with self.server:
            self.send("-f", "alice@example.test", "bob@example.test", "nobody@example.test")
            self.got("bob")
            [report] = self.got("alice")
            self.assertIn("nobody@example.test", report.as_string())

    @unittest.skipUnless(shutil.which("mail.mailutils"), "mailutils is not installed")
    def test_mailutils(self):
        with self.server:
            self.send("-E", f"set sendmail=sendmail:{PROGRAM}", "-s", "Hello there", "bob@example.test", text="A line.\n.\nMore.\n",
                      program=("mail.mailutils",))
            [mail] = self.got("bob")
            self.assertEqual(mail["Subject"], "Hello there")
            self.assertIn("More.", mail.get_payload())

    @unittest.skipUnless(os.getuid() == 0, "only root may become another user")
    def test_another_user_sends(self):
        with self.server:
            self.send("bob@example.test", program=("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", PROGRAM))
            [mail] = self.got("bob")
            self.assertIn("(Postern, from userid 65534)", mail["Received"])
            self.assertTrue(mail["From"].endswith("nobody@example.test>") or mail["From"] == "nobody@example.test", mail["From"])

    def test_mailq_and_the_suppression_list(self):
        with self.server:
            self.assertIn("empty", self.send("-bp").stdout)
            run = self.server.run
            run("suppress", "add", "Ann@far.example", "--reason", "unsubscribed", "--scope", "@news.example", "--days", 3)
            [row] = [json.loads(line) for line in run("suppress", "list", "far", "--json").stdout.splitlines()]
            self.assertEqual((row["recipient"], row["scope"], row["reason"]), ("ann@far.example", "@news.example", "unsubscribed"))
            self.assertIn("unsubscribed", run("suppress", "list").stdout)
            self.assertIn("Nobody", run("suppress", "list", "near").stdout)
            self.assertEqual(run("suppress", "remove", "ann@far.example", check=False).returncode, 1)  # it is of a narrower scope
            self.assertIn("again", run("suppress", "remove", "ann@far.example", "--scope", "@news.example").stdout)
            self.assertIn("Nobody", run("suppress", "list").stdout)
            self.assertEqual(run("suppress", "add", "x@far.example", "--reason", "boredom", check=False).returncode, 2)

    def test_a_local_listener_on_a_port_is_refused_with_its_place(self):
        self.server.write(extra=f'[[smtp.listener]]\nname = "local"\naddress = "{HOST}:0"\nrole = "local"\n')
        done = self.server.run("check", check=False)
        self.assertEqual(done.returncode, 1)
        line = self.server.config_file.read_text().splitlines().index(f'address = "{HOST}:0"') + 1
        self.assertRegex(done.stderr + done.stdout, rf"postern.toml:{line}:11: .*Unix socket")


if __name__ == "__main__":
    main()

"""What an administrator sees: status, metrics, the queue, and why a message went where it went."""
import json
import re
import subprocess
import unittest

from postern import HOST, Server, free_port, letter, main, program


class Observe(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.metrics_port = free_port()
        cls.server = cls.enterClassContext(Server(extra=f'[metrics]\nlisten = "{HOST}:{cls.metrics_port}"\n'))

    def metrics(self, *where):
        done = subprocess.run([program("curl"), "--silent", "--show-error", "--fail", "--max-time", "20", *where], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_status_as_json_and_as_text(self):
        status = self.server.status()
        self.assertEqual(status["state"], "running")
        self.assertEqual(status["pid"], self.server.pid)
        self.assertEqual(status["workers"], 2)
        self.assertEqual(status["accepting"], "yes")
        self.assertIn("running", self.server.run("status").stdout)

    def test_metrics_over_the_unix_socket_and_over_loopback(self):
        ways = (["--unix-socket", str(self.server.state / "metrics.sock"), "http://localhost/metrics"],
                [f"http://{HOST}:{self.metrics_port}/metrics"])

        def accepted(text):
            return sum(float(m) for m in re.findall(r"(?m)^postern_smtp_accepted_total(?:\{[^}]*\})? ([0-9.e+]+)$", text))

        before = [accepted(self.metrics(*way)) for way in ways]
        self.server.submit("alice", "bob")
        for way, was in zip(ways, before):
            text = self.metrics(*way)
            self.assertRegex(text, r"(?m)^# HELP postern_\w+ .+$")
            self.assertRegex(text, r"(?m)^# TYPE postern_\w+ (counter|gauge|histogram)$")
            for line in text.splitlines():
                self.assertRegex(line, r'^(#|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [-+0-9.eEInfNa]+$)', line)
            self.assertEqual(accepted(text), was + 1, text)

    def test_other_paths_are_404(self):
        socket = str(self.server.state / "metrics.sock")
        for arguments, code in ((["http://localhost/etc/passwd"], "404"), (["http://localhost/metricsx"], "404")):
            done = subprocess.run([program("curl"), "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", socket, *arguments],
                                  capture_output=True, text=True, timeout=30)
            self.assertEqual(done.stdout, code)

    def test_head_queries_and_other_methods(self):
        socket = str(self.server.state / "metrics.sock")

        def head_of(*arguments):
            done = subprocess.run([program("curl"), "-s", "-i", "--max-time", "20", "--unix-socket", socket, *arguments],
                                  capture_output=True, text=True, timeout=30)
            head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
            return head, body

        head, body = head_of("--head", "http://localhost/metrics")
        self.assertIn(" 200 ", head)
        self.assertRegex(head, r"(?m)^Content-Length: [1-9]")
        self.assertEqual(body, "")
        head, body = head_of("http://localhost/metrics?collect=all")
        self.assertIn(" 200 ", head)
        self.assertIn("# TYPE postern_", body)
        for method in ("POST", "DELETE"):
            head, _ = head_of("-X", method, "http://localhost/metrics")
            self.assertIn(" 405 ", head)
            self.assertIn("Allow: GET, HEAD", head)

    def test_the_metrics_command_prints_the_same(self):
        self.assertRegex(self.server.run("metrics").stdout, r"(?m)^# TYPE postern_\w+ ")

    def test_spool_stats(self):
        stats = json.loads(self.server.run("spool", "stats", "--json").stdout)
        self.assertGreaterEqual(stats["segments"], 1)
        self.assertEqual(stats["latched"], "")

    def test_an_empty_queue_says_so(self):
        self.server.wait_queue_empty()
        self.assertIn("empty", self.server.run("queue", "list").stdout)
        self.assertEqual(self.server.run("queue", "list", "--json").stdout, "")

    def test_why_tells_the_story_of_a_message(self):
        with self.server.smtp("mx") as talk:
            talk.ehlo("teller.test").mail("a@foreign.test", "bob@example.test").data(letter("story"))
            id = talk.last.split()[-1]
        self.server.story(id, "a@foreign.test", "bob@example.test", "root", "mail.lua")

    def test_why_tells_of_refused_mail_too(self):
        with self.server.smtp("mx") as talk:
            talk.ehlo().say("MAIL FROM:<refused@foreign.test>").expect(250)
            talk.say("RCPT TO:<victim@elsewhere.test>").expect(550).say("QUIT").expect(221)
        self.server.story("refused@foreign.test", "victim", "relaying denied")

    def test_no_server_no_answer(self):
        other = Server(listeners=["mx"])
        done = other.run("status", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(str(other.state), done.stderr)

    def test_the_log_has_events_with_fields(self):
        self.server.submit("alice", "bob")
        self.server.wait_log("smtp.accepted")
        line = next(x for x in self.server.log().splitlines() if "smtp.accepted" in x)
        for field in ("id=", "from=", "rcpts=1", "size="):
            self.assertIn(field, line)


if __name__ == "__main__":
    main()

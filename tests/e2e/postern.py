"""A Postern server for tests: its own folder, its own loopback address, its own accounts; and clients to talk to it.

    with Server() as server:
        server.submit("alice", "bob", text)            # smtplib, STARTTLS, AUTH
        [mail] = server.mail("bob")                    # octets, as POP3S gives them

    with Server() as server, server.smtp() as talk:    # a dialogue, typed over a raw socket
        talk.expect(220).say("EHLO a.test").expect(250)

Each test process listens on a loopback address made from its process id, so that tests run in parallel: the server
opens its ports with SO_REUSEPORT, and two servers on one port would share its connections without a word.

Leaving the `with` stops the server by SIGTERM and fails the test when its exit status is not 0 or a sanitizer has
something to say. The build under test is that of the environment variable POSTERN_BUILD (default: build/dev).

Standard library only; needs openssl for password hashes.
"""
import atexit
import base64
import json
import os
import pathlib
import poplib
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("POSTERN_BUILD", TOP / "build" / "dev")).resolve()
POSTERN = BUILD / "bin" / "postern"
SANITIZED = bool(os.environ.get("POSTERN_SANITIZE"))
PATIENCE = 60 if SANITIZED else 20  # seconds for what takes milliseconds on a quiet machine
DOMAIN = "example.test"
HOST = "127.%d.%d.%d" % (128 + (os.getpid() >> 16) % 64, os.getpid() >> 8 & 255, os.getpid() & 255)
# What sanitizers write when they have found something.
FINDINGS = re.compile(r"(ERROR: (Address|Leak|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:|terminate called)")

SCRIPT = """\
local postern = require "postern"
local match, act = postern.match, postern.act
postern.pipeline "root" {
  { when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  { when = match.recipient_is_local, act.go "local" },
  { act.bounce("5.7.1", "relaying denied") },
}
postern.pipeline "local" {
  { when = match.subject_starts_with "[junk]", act.deliver { folder = "Junk" } },
  { act.deliver { folder = "INBOX" } },
}
"""

LISTENERS = {
    "mx": 'smtp: role = "mx"; tls = "starttls"',
    "submission": 'smtp: role = "submission"; tls = "starttls"',
    "submissions": 'smtp: role = "submissions"; tls = "implicit"',
    "lesson": 'smtp: role = "submission"; tls = "none"; allow_plaintext_auth = true',
    "lmtp": 'smtp: role = "lmtp"; tls = "none"',
    "pop3": 'pop3: tls = "starttls"',
    "pop3s": 'pop3: tls = "implicit"',
    "poplesson": 'pop3: tls = "none"; allow_plaintext = true',
}


_given = set()


def free_port():
    """A port of our own address that nobody listens on, and that was not given out before."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


_hashes = {}


def hashes_of(passwords):
    """Their SHA-512 crypt hashes, made by one process and kept: some tests have a thousand accounts."""
    new = [p for p in dict.fromkeys(passwords) if p not in _hashes]
    if new:
        done = subprocess.run(["openssl", "passwd", "-6", "-stdin"], input="\n".join(new) + "\n", capture_output=True, text=True, check=True)
        _hashes.update(zip(new, done.stdout.split(), strict=True))
    return [_hashes[p] for p in passwords]


def password_of(name):
    return f"secret of {name}"


def letter(subject="hello", body="It works.\r\n", sender="alice@example.test", to="bob@example.test", headers=""):
    """A complete message as octets: nothing for the server to mend. A token in it makes it one of its kind."""
    token = uuid.uuid4().hex
    text = (
        f"From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
        f"Message-ID: <{token}@client.test>\r\n{headers}X-Token: {token}\r\n\r\n{body}"
    )
    return text.encode()


def token_of(text):
    found = re.search(rb"^X-Token: ([0-9a-f]+)\r?$", text, re.M)
    return found[1].decode() if found else None


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def wait_until(condition, what, seconds=PATIENCE):
    """The first true value of condition(); fails the test when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class Talk:
    """A dialogue over a raw socket: say() sends a line, expect() reads an answer and checks its code."""

    def __init__(self, where, timeout=PATIENCE, context=None):
        if isinstance(where, tuple):
            self.socket = socket.create_connection(where, timeout=timeout)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(str(where))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.last = ""
        self.transcript = []
        self.rest = b""
        if context:
            self.start_tls(context)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def start_tls(self, context):
        plain = self.socket
        try:
            self.socket = context.wrap_socket(plain, server_hostname=HOST)
        except BaseException:
            plain.close()
            raise
        return self

    def send(self, octets):
        self.socket.sendall(octets if isinstance(octets, bytes) else octets.encode())
        return self

    def say(self, line):
        self.transcript.append("C: " + line)
        return self.send(line + "\r\n")

    def line(self):
        """One line without its CRLF; "" at the end of the stream."""
        while b"\n" not in self.rest:
            more = self.socket.recv(65536)
            if not more:
                left, self.rest = self.rest, b""
                return left.decode(errors="replace")
            self.rest += more
        one, self.rest = self.rest.split(b"\n", 1)
        text = one.rstrip(b"\r").decode(errors="replace")
        self.transcript.append("S: " + text)
        return text

    def reply(self):
        """A whole SMTP reply, its lines joined by newlines."""
        lines = []
        while True:
            one = self.line()
            lines.append(one)
            if one[3:4] != "-":
                return "\n".join(lines)

    def expect(self, *codes):
        """Reads an SMTP reply and checks its code; a text among the codes must be part of the reply."""
        self.last = self.reply()
        numbers = [str(c) for c in codes if isinstance(c, int)]
        if self.last[:3] not in numbers or not all(c in self.last for c in codes if isinstance(c, str)):
            raise AssertionError(f"expected {codes}, got {self.last!r}\n" + "\n".join(self.transcript[-30:]))
        return self

    def expect_pop(self, status="+OK"):
        """Reads the status line of a POP3 answer."""
        self.last = self.line()
        if not self.last.startswith(status):
            raise AssertionError(f"expected {status}, got {self.last!r}\n" + "\n".join(self.transcript[-30:]))
        return self

    def octets_to_dot(self):
        """A POP3 multi-line body as octets, dots unstuffed, without its last line."""
        while b"\r\n.\r\n" not in b"\r\n" + self.rest:
            more = self.socket.recv(65536)
            if not more:
                raise AssertionError(f"the connection ended within a multi-line answer: {self.rest[-200:]!r}")
            self.rest += more
        body, self.rest = (b"\r\n" + self.rest).split(b"\r\n.\r\n", 1)
        return body.replace(b"\r\n..", b"\r\n.")[2:] + b"\r\n" if body else b""

    def ended(self):
        """True when the server has closed the connection, after whatever it still said."""
        try:
            while True:
                more = self.socket.recv(65536)
                if not more:
                    return True
                self.rest += more
        except (ConnectionResetError, ssl.SSLError):
            return True
        except (TimeoutError, socket.timeout):
            return False

    def ehlo(self, name="client.example.test"):
        self.expect(220).say("EHLO " + name).expect(250)
        return self

    def mail(self, sender, *recipients):
        self.say(f"MAIL FROM:<{sender}>").expect(250)
        for one in recipients:
            self.say(f"RCPT TO:<{one}>").expect(250)
        return self

    def data(self, text, *codes):
        """DATA with the text dot-stuffed; then its answer."""
        self.say("DATA").expect(354)
        stuffed = (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:]
        self.send(stuffed + (b"" if stuffed.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        return self.expect(*(codes or (250,)))


class Server:
    """One server with its folder. Made stopped; start() or `with` runs it."""

    def __init__(self, extra="", *, accounts=("alice", "bob"), script=SCRIPT, listeners=None, listener_extra=None, server="",
                 user=None, spool="", top=""):
        """extra: TOML at the end, with @HOME@ for the server's folder; server, spool: lines for these tables; listener_extra: {listener: lines};
        top: tables that must be seen first; script: Lua, or None for the built-in rules."""
        if not POSTERN.exists():
            raise unittest.SkipTest(f"there is no {POSTERN}")
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="postern-e2e."))
        self.home.chmod(0o755)
        atexit.register(shutil.rmtree, self.home, ignore_errors=True)
        self.state = self.home / "state"
        self.config_file = self.home / "postern.toml"
        self.script_file = self.home / "mail.lua"
        self.users_file = self.home / "users"
        self.log_file = self.home / "log"
        self.accounts = list(accounts)
        self.process = None
        self.clean = True  # stop() checks exit status and sanitizers
        self.ports = {}
        self.parts = dict(extra=extra, server=server, spool=spool, top=top, user=user or "root")
        self.listeners = list(LISTENERS if listeners is None else listeners)
        self.listener_extra = listener_extra or {}
        self.script = script
        for name in self.listeners:
            self.ports[name] = self.home / name if name == "lmtp" else free_port()
        self.run("certificate", "localhost", "127.0.0.1", HOST, "--out", self.home / "mail", config=False)
        self.write()

    # ---- configuration

    def write(self, **changes):
        """Writes users, script and configuration; changes as in the constructor."""
        self.parts.update({k: v for k, v in changes.items() if k in self.parts})
        for key in ("accounts", "script", "listener_extra"):
            if key in changes:
                setattr(self, key, changes[key])
        hashes = hashes_of([password_of(a) for a in self.accounts])
        self.users_file.write_text("".join(f"{self.address(a)}:{h}\n" for a, h in zip(self.accounts, hashes)))
        self.users_file.chmod(0o600)
        if self.script is not None:
            self.script_file.write_text(self.script)
        self.config_file.write_text(self.toml())

    def toml(self):
        parts = self.parts
        lines = [
            parts["top"], "[server]", 'hostname = "mail.example.test"', f'state = "{self.state}"', f'user = "{parts["user"]}"',
            "workers = 2" if "workers" not in parts["server"] else "", 'drain = "10s"' if "drain" not in parts["server"] else "",
            parts["server"], "[spool]",
            'segment_size = "4 MiB"' if "segment_size" not in parts["spool"] else "",
            'min_free = "1 MiB"' if "min_free" not in parts["spool"] else "",
            parts["spool"], "[tls]", f'certificate = "{self.home}/mail.crt"', f'key = "{self.home}/mail.key"',
            "[[domain]]", f'name = "{DOMAIN}"', "[auth]", f'users_file = "{self.users_file}"', 'first_delay = "0s"',
            "[pipeline]", f'scripts = ["{self.script_file}"]' if self.script is not None else "",
        ]
        for name in self.listeners:
            kind, settings = LISTENERS[name].split(": ", 1)
            where = self.ports[name]
            address = f"unix:{where}" if isinstance(where, pathlib.Path) else f"{HOST}:{where}"
            lines += [f"[[{kind}.listener]]", f'name = "{name}"', f'address = "{address}"', *settings.split("; "),
                      self.listener_extra.get(name, "")]
        return ("\n".join(lines) + "\n" + parts["extra"] + "\n").replace("@HOME@", str(self.home))

    @staticmethod
    def address(name):
        return name if "@" in name else f"{name}@{DOMAIN}"

    def port_line(self, name):
        """Line of the configuration file on which the listener's address stands; for messages with places."""
        for number, line in enumerate(self.config_file.read_text().splitlines(), 1):
            if f":{self.ports[name]}\"" in line:
                return number
        raise AssertionError(f"no listener {name}")

    # ---- life

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, _):
        try:
            if self.process:
                if kind is None and self.clean:
                    self.stop()
                else:
                    self.kill()
                    if kind is not None and not issubclass(kind, unittest.SkipTest):
                        sys.stderr.write(f"---- log of {self.home.name}, last lines\n{self.log()[-6000:]}----\n")
        finally:
            if not os.environ.get("POSTERN_KEEP"):
                shutil.rmtree(self.home, ignore_errors=True)

    def start(self, expect_ready=True, prefix=()):
        environment = dict(os.environ)
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:detect_odr_violation=0")
        environment.setdefault("TSAN_OPTIONS", f"suppressions={TOP}/contrib/lint/tsan.supp halt_on_error=1")
        environment.pop("NOTIFY_SOCKET", None)
        self.began = self.log_file.stat().st_size if self.log_file.exists() else 0
        with open(self.log_file, "ab") as log:
            self.ending = False
            self.process = subprocess.Popen([*prefix, POSTERN, "run", "--config", self.config_file], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=environment)
        if expect_ready:
            wait_until(lambda: "postern: ready" in self.log(False) or self.process.poll() is not None, "ready", 3 * PATIENCE)
            if self.process.poll() is not None:
                raise AssertionError(f"the server did not start (status {self.process.returncode}):\n{self.log()[-4000:]}")
        return self

    def begin_end(self):
        """SIGTERM, once: a second one would end the server at once."""
        if not self.ending and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.ending = True

    def stop(self, seconds=3 * PATIENCE):
        """SIGTERM; the server must end by itself, with status 0 and nothing found by a sanitizer."""
        self.begin_end()
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the server did not end within {seconds} s of SIGTERM:\n{self.log()[-3000:]}") from None
        self.process = None
        self.no_findings()
        if status != 0:
            raise AssertionError(f"exit status {status} after SIGTERM:\n{self.log()[-3000:]}")

    def no_findings(self):
        if found := FINDINGS.search(self.log()):
            raise AssertionError("a sanitizer or the runtime complained:\n" + self.log()[max(0, found.start() - 500):][:6000])

    def kill(self):
        """SIGKILL, as a crash or a power cut would; the files stay."""
        self.process.kill()
        self.process.wait()
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    @property
    def pid(self):
        return self.process.pid

    def log(self, all_of_it=True):
        """What the server has written; or only since the last start."""
        text = self.log_file.read_bytes() if self.log_file.exists() else b""
        return (text if all_of_it else text[self.began:]).decode(errors="replace")

    def wait_log(self, text, seconds=PATIENCE):
        return wait_until(lambda: text in self.log(), f"{text!r} in the log:\n{self.log()[-2000:]}", seconds)

    def memory(self, key):
        """A line of /proc/PID/status in octets: VmRSS, VmHWM."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
        raise KeyError(key)

    # ---- the command line

    def run(self, *arguments, config=True, check=True, text=""):
        """`postern ARGUMENTS`; the finished process. With check its status must be 0."""
        command = [str(POSTERN), *map(str, arguments)]
        if config:
            command += ["--config", str(self.config_file)]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=3 * PATIENCE)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def story(self, who, *words):
        """What `postern why` tells of `who` once it has all `words`: trails are written a moment after what they tell of."""
        def told():
            text = self.run("why", who, check=False).stdout
            return text if all(word in text for word in words) else None
        return wait_until(told, f"a story of {who} with {words}")

    def status(self):
        return json.loads(self.run("status", "--json").stdout)

    def queued(self):
        return self.status()["queued"]

    def wait_queue_empty(self, seconds=PATIENCE):
        try:
            wait_until(lambda: self.queued() == 0, "an empty queue", seconds)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.run('queue', 'list', '--limit', 20, check=False).stdout}") from None

    # ---- clients

    def tls(self):
        """Verifies the server's own certificate, as clients should."""
        return ssl.create_default_context(cafile=str(self.home / "mail.crt"))

    def where(self, listener):
        port = self.ports[listener]
        return port if isinstance(port, pathlib.Path) else (HOST, port)

    def talk(self, listener, **more):
        context = self.tls() if listener in ("submissions", "pop3s") else None
        return Talk(self.where(listener), context=context, **more)

    def smtp(self, listener="mx", **more):
        return self.talk(listener, **more)

    def logged_in(self, name, listener="lesson"):
        """A raw SMTP dialogue after EHLO and AUTH."""
        return self.talk(listener).ehlo().say("AUTH PLAIN " + b64(f"\0{self.address(name)}\0{password_of(name)}")).expect(235)

    def smtplib(self, listener="submission", name=None, timeout=PATIENCE):
        """smtplib, logged in as `name` over TLS when the listener takes users."""
        if listener == "submissions":
            client = smtplib.SMTP_SSL(HOST, self.ports[listener], "client.example.test", context=self.tls(), timeout=timeout)
        else:
            client = smtplib.SMTP(HOST, self.ports[listener], "client.example.test", timeout=timeout)
            if listener == "submission":
                client.starttls(context=self.tls())
        if name:
            client.login(self.address(name), password_of(name))
        return client

    def submit(self, sender, recipients, text=None, listener="submission"):
        """Sends as a logged-in user; the text that was sent."""
        recipients = [recipients] if isinstance(recipients, str) else recipients
        text = letter() if text is None else text
        with self.smtplib(listener, sender) as client:
            client.sendmail(self.address(sender), [self.address(r) for r in recipients], text)
        return text

    def poplib(self, name, tls=True):
        if tls:
            client = poplib.POP3_SSL(HOST, self.ports["pop3s"], timeout=PATIENCE, context=self.tls())
        else:
            client = poplib.POP3(HOST, self.ports["pop3"], timeout=PATIENCE)
            client.stls(self.tls())
        client.user(self.address(name))
        client.pass_(password_of(name))
        return client

    def pop(self, name, listener="pop3s"):
        """A raw POP3 dialogue after USER and PASS."""
        talk = self.talk(listener).expect_pop()
        talk.say("USER " + self.address(name)).expect_pop()
        return talk.say("PASS " + password_of(name)).expect_pop()

    def fetch(self, name):
        """All messages of an account as octets, nothing deleted."""
        with self.pop(name) as talk:
            count = int(talk.say("STAT").expect_pop().last.split()[1])
            mails = []
            for number in range(1, count + 1):
                talk.say(f"RETR {number}").expect_pop()
                mails.append(talk.octets_to_dot())
            talk.say("QUIT").expect_pop()
        return mails

    def mail(self, name, count=1):
        """The account's messages once there are `count`; fails when they do not come, or there are more."""
        mails = wait_until(lambda: self.enough(name, count), f"{count} messages for {name}:\n{self.log()[-2000:]}")
        if len(mails) != count:
            raise AssertionError(f"{len(mails)} messages for {name}, not {count}")
        return mails

    def enough(self, name, count):
        mails = self.fetch(name)
        return mails if len(mails) >= count else None

    def maildir(self, name, folder=""):
        local, domain = self.address(name).split("@")
        return self.state / "mail" / domain / local / (f".{folder}" if folder else "")

    def files(self, name, folder=""):
        """The files of a folder, new and cur."""
        box = self.maildir(name, folder)
        return sorted(f for part in ("new", "cur") if (box / part).is_dir() for f in (box / part).iterdir())


def program(name):
    """Path of a client that the test needs; without it the test is skipped."""
    path = shutil.which(name)
    if not path:
        raise unittest.SkipTest(f"{name} is not installed (contrib/packages/test)")
    return path


def main():
    """What each test script ends with."""
    unittest.main(verbosity=2)

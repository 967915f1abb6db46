# ctest: timeout=300
"""What scripts ask of the world: a running server whose hooks ask the DNS, HTTP, SQLite, PostgreSQL, Redis, the store in
memory and the directory. Each question is a sender's local part; the answer comes in the refusal of MAIL.
"""
import contextlib
import glob
import http.server
import os
import pathlib
import shutil
import socket
import sqlite3
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from postern import HOST, PATIENCE, Server, free_port, main, wait_until

SCRIPT = """
local postern = require "postern"
local match, act, dns, kv, sql, http = postern.match, postern.act, postern.dns, postern.kv, postern.sql, postern.http
local far = kv.store "far"
local SECRET = "word-that-must-not-be-kept"

local function said(...)
  local out = table.pack(...)
  for i = 1, out.n do out[i] = tostring(out[i]) end
  return table.concat(out, " ")
end

local ASK = {}
function ASK.dns()
  local srv, soa, ns = dns.srv "_x._tcp.zone.test", dns.soa "zone.test", dns.ns "zone.test"
  local tlsa, ptr = dns.tlsa "_25._tcp.zone.test", dns.ptr "192.0.2.7"
  return said(dns.a("web.zone.test")[1], dns.mx("zone.test")[1].exchange, dns.txt("zone.test")[1], srv[1].port, srv[1].target,
              soa[1].serial, ns[1], #tlsa[1].data, ptr[1], dns.a("none.zone.test").status)
end
function ASK.get()
  local r, err = http.get("http://web.zone.test:@HTTP@/hello", { headers = { ["X-Key"] = postern.secret(SECRET) } })
  if not r then return err end
  return said(r.status, r.content_type, r.body, r.headers["x-seen"])
end
function ASK.tls()
  local r, err = http.post("https://web.zone.test:@HTTPS@/echo", { body = "over tls", content_type = "text/x-test" })
  return said(r and r.status or err, r and r.body)
end
ASK["wrong-name"] = function() return said(http.get "https://other.zone.test:@HTTPS@/hello") end
function ASK.private() return said(http.get "http://127.0.0.1:1/") end
function ASK.slow() return said(http.get("http://web.zone.test:@HTTP@/slow", { timeout = 0.3 })) end
function ASK.large() return said(http.get("http://web.zone.test:@HTTP@/large", { max_size = "1 KiB" })) end
function ASK.lite()
  local rows, err = sql.query("lite", "SELECT name, quota, note FROM users WHERE name = ?", "bob")
  if not rows then return err end
  return said(#rows, rows[1].name, rows[1].quota, rows[1].note)
end
ASK["lite-write"] = function()
  local rows = sql.query("lite", "UPDATE users SET quota = quota + ? WHERE name = ?", 5, "bob")
  return said(rows.changed, sql.query("lite", "SELECT quota FROM users").changed)
end
ASK["lite-attach"] = function() return said(sql.query("lite", "ATTACH '/tmp/x.db' AS x")) end
function ASK.pg()
  local rows, err = sql.query("pg", "SELECT ?::int + 1 AS n, length(?::text) AS t, ?::bool AS b, 0.5::float8 AS f, NULL AS x, '?' AS q",
                              41, postern.secret(SECRET), true)
  if not rows then return err end
  local r = rows[1]
  return said(r.n, r.t == #SECRET, r.b, r.f, r.x, r.q)
end
ASK["pg-write"] = function() return said(sql.query("pg", "CREATE TABLE x (a int)")) end
ASK["pg-sleep"] = function() return said(sql.query("pg", "SELECT pg_sleep(30)")) end
ASK["pg-begin"] = function() return said(sql.query("pg", "BEGIN")) end
ASK["pg-rows"] = function()
  local rows, err = sql.query("pg", "SELECT * FROM generate_series(1, ?::int)", 5000)
  return said(rows and #rows or err)
end
ASK["pg-many"] = function() return said(sql.query("pg", "SELECT * FROM generate_series(1, 20000)")) end
ASK["pg-two"] = function() return said(sql.query("pg", "SELECT 1; SELECT 2")) end
function ASK.memory()
  kv.set("k", "v") kv.set("s", postern.secret(SECRET), "1m") kv.set("short", "x", 0.05)
  return said(kv.get "k", kv.get("s", { secret = true }) == SECRET, kv.incr("n", 2), kv.incr("n", 3), kv.remove "n", kv.get "n")
end
ASK["memory-short"] = function() return said(kv.get "short") end
ASK["memory-count"] = function() return said(kv.incr "count") end
function ASK.redis()
  local set, err = far:set("k", "v", "1m")
  if not set then return err end
  return said(far:get "k", far:incr("n", 2, "1m"), far:incr("n", 3, "1m"), far:incr "k", far:remove "n", far:get "n")
end
function ASK.none() return said(kv.store("nobody"):get "k") .. " " .. said(sql.query("nobody", "SELECT 1")) end
function ASK.directory()
  local d = postern.directory
  return said(d.user "bob@example.test", d.user "nobody@example.test", d.domain "example.test", d.domain "elsewhere.test",
              d.alias "both@example.test"[2])
end
function ASK.all()
  postern.counter("asked_all", 3)
  local got = postern.all {
    page = function() return http.get "http://web.zone.test:@HTTP@/hello" end,
    lite = function() return sql.query("lite", "SELECT 1 AS one") end,
    pg = function() return sql.query("pg", "SELECT 2 AS two") end,
    far = function() return far:incr("all", 1, 60) end,
    name = function() return dns.a "web.zone.test" end,
  }
  return said(got.page.status, got.lite[1].one, got.pg[1].two, got.far, #got.name)
end

postern.on("mail", function(session, mail)
  local ask = ASK[mail.sender:match "^[^@]*"]
  if ask then return postern.reject(550, "5.7.1", "says: " .. ask()) end
end)
postern.pipeline "root" {
  { when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  { when = match.recipient_is_local, act.deliver { folder = "INBOX" } },
  { act.bounce("5.7.1", "relaying denied") },
}
"""


class Dns(threading.Thread):
    """A name server of a few lines: records by name and type, over UDP."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        n = self.name
        web = [socket.inet_aton(HOST)]
        self.records = {
            ("web.zone.test", 1): web, ("other.zone.test", 1): web,
            ("zone.test", 15): [struct.pack("!H", 10) + n("mx.zone.test")],
            ("zone.test", 16): [b"\x05v=one\x04 two"],
            ("zone.test", 2): [n("ns.zone.test")],
            ("zone.test", 6): [n("ns.zone.test") + n("root.zone.test") + struct.pack("!5I", 77, 1, 1, 1, 60)],
            ("_x._tcp.zone.test", 33): [struct.pack("!3H", 1, 2, 587) + n("sub.zone.test")],
            ("_25._tcp.zone.test", 52): [b"\x03\x01\x01" + bytes(32)],
            ("7.2.0.192.in-addr.arpa", 12): [n("back.zone.test")],
        }
        self.start()

    @staticmethod
    def name(text):
        return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\0"

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                packet, peer = self.socket.recvfrom(4096)
                at, labels = 12, []
                while packet[at]:
                    labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
                    at += 1 + packet[at]
                kind = struct.unpack("!H", packet[at + 1:at + 3])[0]
                asked = ".".join(labels)
                found = self.records.get((asked, kind), [])
                known = any(one == asked for one, _ in self.records)
                answer = packet[:2] + struct.pack("!5H", 0x8180 | (0 if known else 3), 1, len(found), 0, 0) + packet[12:at + 5]
                for data in found:
                    answer += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data
                self.socket.sendto(answer, peer)


class Pages(http.server.BaseHTTPRequestHandler):
    keys = []

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("X-Seen", "yes")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def do_GET(self):
        self.keys.append(self.headers.get("X-Key"))
        if self.path == "/slow":
            time.sleep(1)
        self.answer(b"x" * 5000 if self.path == "/large" else b"hello")

    def do_POST(self):
        self.answer(self.headers["Content-Type"].encode() + b" " + self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_):
        pass


def web_server(context=None):
    server = http.server.ThreadingHTTPServer((HOST, 0), Pages)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def came_up(store, name, seconds):
    try:
        wait_until(lambda: listening(store.port), name, seconds)
    except BaseException:
        store.end()  # nobody else would: its maker does not return
        raise


class Postgres:
    """A cluster of its own in a temporary folder, owned by a user who is not root, since postgres refuses that one."""

    def __init__(self, password):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        if not found:
            raise AssertionError("PostgreSQL is not installed: contrib/packages/test has its name")
        self.bin = pathlib.Path(found[-1])
        self.user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="postern-pg."))
        if self.user:
            shutil.chown(self.folder, "postgres", "postgres")
        (self.folder / "pw").write_text(password)
        (self.folder / "pw").chmod(0o644)
        self.port = free_port()
        subprocess.run([self.bin / "initdb", "-D", self.folder / "data", "-U", "mail", "-A", "scram-sha-256", "--no-sync",
                        "--no-instructions", "--pwfile", self.folder / "pw"],
                       check=True, capture_output=True, cwd="/", **self.user)
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [self.bin / "postgres", "-D", self.folder / "data", "-k", self.folder, "-p", str(self.port),
             "-c", f"listen_addresses={HOST}", "-c", "fsync=off"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **self.user)
        came_up(self, "PostgreSQL", 3 * PATIENCE)

    def stop(self):
        self.process.send_signal(2)  # SIGINT: at once, without waiting for clients
        self.process.wait(PATIENCE)

    def end(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis:
    def __init__(self, password):
        self.folder = tempfile.mkdtemp(prefix="postern-redis.")
        self.port = free_port()
        self.password = password
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", HOST, "--dir", self.folder, "--save", "", "--requirepass", self.password],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        came_up(self, "Redis", PATIENCE)

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def end(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *words):
        return subprocess.run(["redis-cli", "-h", HOST, "-p", str(self.port), "-a", self.password, "--no-auth-warning", "-n", "3", *words],
                              capture_output=True, text=True, check=True).stdout.strip()


class Effects(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        password = "a word for the stores"
        cls.dns = Dns()
        cls.addClassCleanup(cls.dns.socket.close)
        cls.redis = Redis(password)
        cls.addClassCleanup(cls.redis.end)
        cls.postgres = Postgres(password)
        cls.addClassCleanup(cls.postgres.end)
        cls.plain = web_server()
        cls.server = Server(listeners=["mx"])
        home = cls.server.home
        cls.server.run("certificate", "web.zone.test", "--out", home / "web", config=False)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(home / "web.crt", home / "web.key")
        cls.secure = web_server(context)
        for one in (cls.plain, cls.secure):
            cls.addClassCleanup(one.server_close)
            cls.addClassCleanup(one.shutdown)
        (home / "password").write_text(password + "\n")
        with contextlib.closing(sqlite3.connect(home / "users.db")) as database:
            database.executescript("CREATE TABLE users (name TEXT, quota INTEGER, note TEXT); INSERT INTO users VALUES ('bob', 10, NULL);")
        ports = {"@HTTP@": cls.plain.server_port, "@HTTPS@": cls.secure.server_port}
        script = SCRIPT
        for mark, port in ports.items():
            script = script.replace(mark, str(port))
        cls.server.write(script=script, extra=f"""
[dns]
servers = ["{HOST}:{cls.dns.port}"]
[http]
allow_private = ["web.zone.test", "other.zone.test:{cls.secure.server_port}"]
ca_file = "@HOME@/web.crt"
[[alias]]
from = "both@example.test"
to = ["alice@example.test", "bob@example.test"]
[[sqlite]]
name = "lite"
file = "@HOME@/users.db"
read_only = false
[[postgresql]]
name = "pg"
host = "{HOST}"
port = {cls.postgres.port}
user = "mail"
database = "postgres"
password_file = "@HOME@/password"
timeout = "2s"
[[redis]]
name = "far"
address = "{HOST}:{cls.redis.port}"
password_file = "@HOME@/password"
database = 3
timeout = "1s"
""")
        cls.enterClassContext(cls.server)

    def ask(self, what):
        with self.server.smtp() as talk:
            talk.ehlo().say(f"MAIL FROM:<{what}@q.test>")
            answer = talk.expect(550).last
        self.assertIn("says: ", answer)
        return answer.split("says: ", 1)[1]

    def back(self, what, answer):
        """Waits until `what` is answered again, by each worker: they have connections of their own, and a session is any worker's."""
        wait_until(lambda: all(self.ask(what) == answer for _ in range(16)), f"{what} to be asked again")

    def test_dns(self):
        self.assertEqual(self.ask("dns"), f"{HOST} mx.zone.test v=one two 587 sub.zone.test 77 ns.zone.test 32 back.zone.test nxdomain")

    def test_http(self):
        self.assertEqual(self.ask("get"), "200 text/plain hello yes")
        self.assertIn("word-that-must-not-be-kept", Pages.keys)
        self.assertEqual(self.ask("private"), "nil http.private")
        self.assertEqual(self.ask("slow"), "nil http.timeout")
        self.assertEqual(self.ask("large"), "nil http.too_large")

    def test_https(self):
        self.assertEqual(self.ask("tls"), "200 text/x-test over tls")
        self.assertEqual(self.ask("wrong-name"), "nil http.tls")

    def test_sqlite(self):
        self.assertEqual(self.ask("lite"), "1 bob 10 nil")
        self.assertEqual(self.ask("lite-write"), "1 0")
        self.assertEqual(self.ask("lite"), "1 bob 15 nil")
        self.assertEqual(self.ask("lite-attach"), "nil sql.statement")

    def test_postgresql(self):
        self.assertEqual(self.ask("pg"), "42 true true 0.5 nil ?")
        self.assertEqual(self.ask("pg-write"), "nil sql.statement")
        self.assertEqual(self.ask("pg-begin"), "nil sql.statement")
        self.assertEqual(self.ask("pg-two"), "nil sql.statement")
        self.assertEqual(self.ask("pg-rows"), "5000")
        self.assertEqual(self.ask("pg-many"), "nil sql.limit")
        began = time.monotonic()
        self.assertEqual(self.ask("pg-sleep"), "nil sql.timeout")
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual(self.ask("pg"), "42 true true 0.5 nil ?")

    def test_postgresql_goes_and_comes_back(self):
        self.assertEqual(self.ask("pg-rows"), "5000")
        self.postgres.stop()
        self.assertEqual(self.ask("pg"), "sql.connect")
        self.postgres.start()
        self.back("pg", "42 true true 0.5 nil ?")

    def test_memory(self):
        self.assertEqual(self.ask("memory"), "v true 2 5 1 nil")
        wait_until(lambda: self.ask("memory-short") == "nil", "the short value's end")
        # Sessions fall on two workers; the count is one all the same.
        self.assertEqual(sorted(int(self.ask("memory-count")) for _ in range(20)), list(range(1, 21)))

    def test_redis(self):
        self.assertEqual(self.ask("redis"), "v 2 5 nil 1 nil")
        self.assertEqual(self.redis.command("GET", "postern:k"), "v")
        self.assertTrue(0 < int(self.redis.command("PTTL", "postern:k")) <= 60000)

    def test_redis_goes_and_comes_back(self):
        self.assertEqual(self.ask("redis"), "v 2 5 nil 1 nil")
        self.redis.stop()
        self.assertEqual(self.ask("redis"), "kv.connect")
        self.redis.start()
        self.back("redis", "v 2 5 nil 1 nil")

    def test_names_that_nobody_has(self):
        self.assertEqual(self.ask("none"), "nil effects.none nil effects.none")

    def test_directory(self):
        self.assertEqual(self.ask("directory"), "bob@example.test nil local foreign bob@example.test")

    def test_together(self):
        self.assertEqual(self.ask("all").split()[:3], ["200", "1", "2"])
        metrics = subprocess.run(["curl", "-sS", "--unix-socket", str(self.server.state / "metrics.sock"), "http://localhost/metrics"],
                                 capture_output=True, text=True, check=True).stdout
        self.assertRegex(metrics, r'postern_pipeline_script_total\{counter="asked_all"\} \d*[3-9]')

    def test_trails_tell_questions_and_answers_but_no_secrets(self):
        for what in ("get", "tls", "pg", "memory", "redis", "lite"):
            self.ask(what)
        self.server.story("pg@q.test", "pg: SELECT ?::int + 1 AS n", "[41, <secret>, true]")
        self.server.story("get@q.test", "GET http://web.zone.test")
        self.server.story("memory@q.test", "<secret> for 1m")
        self.server.story("lite@q.test", "SELECT name, quota, note FROM users")
        # Unchanged scripts differ nowhere, but where they looked at what no trail keeps: a secret, and 5000 rows.
        replayed = self.server.run("replay", "--since", "1d", check=False).stdout
        self.assertRegex(replayed, r"\b\d+ transactions replayed")
        self.assertIn('kv.get memory "s": the answer is secret', replayed)
        differ = [line for line in replayed.splitlines() if " from 127.0.0.1 <" in line]
        self.assertTrue(differ and all("<memory@q" in line or "<pg-rows@q" in line for line in differ), replayed)
        self.server.stop()
        kept = b"".join(p.read_bytes() for p in self.server.state.rglob("*") if p.is_file())
        self.server.start()
        self.assertIn(b"SELECT name, quota, note FROM users", kept)
        self.assertNotIn(b"word-that-must-not-be-kept", kept)
        self.assertNotIn(b"word-that-must-not-be-kept", self.server.log().encode())


main()

"""Ways by MX, as a real name server (NSD) tells them: preferences, dead hosts, null MX, CNAME, nothing, failure, loops."""
# ctest: timeout=600
import email
import email.policy
import socket
import threading
import time
import unittest

from peers import Exim, Nsd, Postfix
from postern import HOST, PATIENCE, Server, letter, main, token_of, wait_until
from test_peers import SCRIPT, eight_bit, with_lf


def address_of(number):
    """Further loopback addresses of this process, beside HOST."""
    return f"127.{16 + number}.{HOST.split('.', 2)[2]}"


class Host:
    """A mail host that takes all mail, at an address of its own, on the port where all these tests' hosts listen."""

    def __init__(self, number, port, greeting="220 ready"):
        self.tokens = []
        self.greeting = greeting
        self.sessions = 0
        self.clients = []
        self.socket = socket.create_server((address_of(number), port))
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        for one in (self.socket, *self.clients):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended already
        self.socket.close()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.sessions += 1
            self.clients.append(client)
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        try:
            with client, client.makefile("rb") as lines:
                client.sendall(self.greeting.encode() + b"\r\n")
                for line in lines:
                    verb = line.split()[0].upper()
                    if verb == b"DATA":
                        client.sendall(b"354 go on\r\n")
                        text = b"".join(iter(lines.readline, b".\r\n"))
                        self.tokens.append(token_of(text))
                    client.sendall({b"EHLO": b"250-host\r\n250 PIPELINING\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 2.0.0 ok\r\n"))
        except OSError:
            pass


def free_port_of(numbers):
    """A port that is free at all these addresses."""
    for _ in range(50):
        taken = []
        try:
            taken.append(socket.create_server((address_of(numbers[0]), 0)))
            port = taken[0].getsockname()[1]
            taken += [socket.create_server((address_of(n), port)) for n in numbers[1:]]
            return port
        except OSError:
            continue
        finally:
            for one in taken:
                one.close()
    raise AssertionError("no port is free at all addresses")


FIRST, SECOND, DEAD, PEER = 0, 1, 2, 3
HOSTS = f"first A {address_of(FIRST)}\nsecond A {address_of(SECOND)}\ndead A {address_of(DEAD)}\npeer A {address_of(PEER)}\n"
ZONES = {
    "prefer.test": HOSTS + "@ MX 20 second\n@ MX 10 first\n",
    "equal.test": HOSTS + "@ MX 10 second\n@ MX 10 first\n",
    "lame.test": HOSTS + "@ MX 10 dead\n@ MX 20 nowhere\n@ MX 30 second\n",
    "null.test": "@ MX 0 .\n",
    "alias.test": HOSTS + "mail CNAME prefer.test.\ncurved MX 10 crooked\ncrooked CNAME first\n",
    "plain.test": f"@ A {address_of(FIRST)}\n",
    "empty.test": "@ TXT \"no mail host, no address\"\n",
    "looped.test": HOSTS + "@ MX 10 mail.example.test.\n@ MX 20 first\n",
    "backup.test": HOSTS + "@ MX 10 first\n@ MX 20 mail.example.test.\n@ MX 30 second\n",
    "inside.test": "@ MX 10 host\nhost A 10.1.2.3\n",
    "peer.test": HOSTS + "@ MX 10 dead\n@ MX 20 peer\n",
    "broken.test": None,
    "test": "alice A 192.0.2.1\n",
}


class ByMx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port_of((FIRST, SECOND, DEAD, PEER))
        cls.dns = cls.enterClassContext(Nsd(ZONES))
        extra = f"""
[dns]
servers = ["{HOST}:{cls.dns.port}"]
timeout = "300ms"
tries = 2
failure_ttl = "1s"
[delivery]
port = {cls.port}
allow_private = ["127.0.0.0/8"]
back_off = "1s"
max_back_off = "1s"
[delivery.timeout]
dns = "5s"
[queue]
retry = "1s"
"""
        cls.server = cls.enterClassContext(Server(extra, script=SCRIPT))

    def setUp(self):
        self.first, self.second = Host(FIRST, self.port), Host(SECOND, self.port)
        self.addCleanup(self.first.close)
        self.addCleanup(self.second.close)

    def tearDown(self):
        for file in self.server.files("alice"):
            file.unlink()

    def send(self, recipient, text=None):
        return token_of(self.server.submit("alice", recipient, text or letter(to=recipient)))

    def arrives(self, host, token):
        wait_until(lambda: token in host.tokens, f"the mail\n{self.server.log()[-2500:]}")
        self.server.wait_queue_empty()

    def bounced(self, recipient, *words):
        """What alice is told at once of a recipient that has no way."""
        self.send(recipient)
        [report] = self.server.mail("alice")
        status = list(email.message_from_bytes(report, policy=email.policy.default).iter_parts())[1].as_string().replace("\n ", " ")
        self.assertIn(f"rfc822;{recipient}", status.replace("; ", ";"))
        for one in words:
            self.assertRegex(status, one)
        self.server.wait_queue_empty()
        self.assertEqual(self.first.tokens + self.second.tokens, [])

    def test_the_best_preference_is_taken(self):
        tokens = [self.send(f"x{n}@prefer.test") for n in range(5)]
        for token in tokens:
            self.arrives(self.first, token)
        self.assertEqual(self.second.sessions, 0)

    def test_equal_preferences_share_the_mail(self):
        with self.server.smtplib("submission", "alice") as client:
            for number in range(40):
                client.sendmail("alice@example.test", [f"x{number}@equal.test"], letter(to=f"x{number}@equal.test"))
        wait_until(lambda: len(self.first.tokens) + len(self.second.tokens) == 40, "forty mails", 2 * PATIENCE)
        self.assertGreater(len(self.first.tokens), 3)
        self.assertGreater(len(self.second.tokens), 3)

    def test_a_dead_host_and_one_without_address_are_passed_over(self):
        self.arrives(self.second, self.send("x@lame.test"))
        self.assertRegex(self.server.log(), rf"relay\.no_connection .*{address_of(DEAD)}")

    def test_a_host_that_greets_with_554_is_passed_over(self):
        self.first.greeting = "554 5.3.2 not today"
        self.arrives(self.second, self.send("x@prefer.test"))

    def test_a_null_mx_is_no_way(self):
        self.bounced("x@null.test", r"Status: 5\.1\.10", "null MX")

    def test_a_domain_that_does_not_exist_is_no_way(self):
        self.bounced("x@nosuch.test", r"Status: 5\.1\.2")

    def test_a_domain_without_mail_host_and_address_is_no_way(self):
        self.bounced("x@empty.test", r"Status: 5\.4\.4")

    def test_a_domain_may_be_an_alias(self):
        self.arrives(self.first, self.send("x@mail.alias.test"))

    def test_a_mail_host_that_is_an_alias_is_found(self):
        self.arrives(self.first, self.send("x@curved.alias.test"))

    def test_a_domain_without_mx_is_its_own_host(self):
        self.arrives(self.first, self.send("x@plain.test"))

    def test_mail_that_would_come_back_to_us_is_a_loop(self):
        self.bounced("x@looped.test", r"Status: 5\.4\.6")

    def test_as_a_backup_we_hand_on_to_better_hosts_only(self):
        self.arrives(self.first, self.send("x@backup.test"))
        self.first.close()
        self.server.submit("alice", "y@backup.test")
        self.server.wait_log("y@backup.test")
        time.sleep(2)
        self.assertEqual(self.server.queued(), 1)
        again = Host(FIRST, self.port)
        self.addCleanup(again.close)
        self.server.wait_queue_empty()
        self.assertEqual((len(again.tokens), self.second.sessions), (1, 0))

    def test_a_private_network_that_is_not_allowed_is_no_way(self):
        self.bounced("x@inside.test", r"Status: 5\.4\.4", "no public address")

    def test_a_failure_of_the_name_server_makes_mail_wait(self):
        self.send("x@broken.test")
        self.server.wait_log("4.4.3")
        self.assertEqual(self.server.queued(), 1)
        self.assertEqual(self.server.fetch("alice"), [])
        try:  # the attempt is written down when its transport has spoken, a moment after the log
            wait_until(lambda: "broken.test" in self.server.run("queue", "list").stdout, "the reason in the list")
        finally:
            self.server.run("queue", "recall", "--all", "--yes", check=False)

    def test_a_silent_name_server_makes_mail_wait_until_it_speaks(self):
        self.dns.stop()
        try:
            token = self.send("x@alias2.prefer.test")
            self.server.wait_log("x@alias2.prefer.test")
            time.sleep(2)
            self.assertEqual(self.server.queued(), 1)
        finally:
            (self.dns.home / "0.zone").write_text((self.dns.home / "0.zone").read_text() + "alias2 MX 10 second\n")
            self.dns.start()
        self.arrives(self.second, token)

    def test_by_mx_to_postfix_over_tls(self):
        self.to_a_real_one(Postfix)

    def test_by_mx_to_exim_over_tls(self):
        self.to_a_real_one(Exim)

    def to_a_real_one(self, peer_class):
        with peer_class(domain="peer.test", at=address_of(PEER), port=self.port) as peer:
            text = eight_bit(to="user@peer.test")
            self.server.submit("alice", ["user@peer.test", "second@peer.test"], text)
            for who in ("user", "second"):
                [got] = peer.mail(who)
                self.assertTrue(got.endswith(with_lf(text)))
            self.server.wait_queue_empty()
            self.assertRegex(self.server.log(), r"relay\.delivered .*host=peer\.peer\.test .*tls=TLSv1\.[23]")


if __name__ == "__main__":
    main()

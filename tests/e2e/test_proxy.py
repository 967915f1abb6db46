"""PROXY protocol: who may say it is believed, who must say it and does not is dropped, and the relay gate has its own word."""
import socket
import struct
import threading
import unittest

from postern import SCRIPT, Server, letter, main, wait_until

FOREIGN = "victim@foreign.test"
V2 = b"\r\n\r\n\0\r\nQUIT\n"
OPEN = SCRIPT.replace("  { act.bounce", '  { when = match.relay_allowed, act.discard "elsewhere" },\n  { act.bounce')
OFFICE = '[[relay.network]]\nnetwork = "203.0.113.0/24"\nreason = "the office"\n'
BELIEVED = '[[relay.proxy]]\nnetwork = "127.0.0.0/8"\nreason = "the balancer"\n'


def v1(client, family="TCP4", to="192.0.2.1"):
    return f"PROXY {family} {client} {to} 50000 25\r\n".encode()


def v2(client):
    if ":" in client:
        addresses = socket.inet_pton(socket.AF_INET6, client) + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
        family = 0x21
    else:
        addresses = socket.inet_aton(client) + socket.inet_aton("192.0.2.1")
        family = 0x11
    addresses += struct.pack("!HH", 50000, 25)
    return V2 + struct.pack("!BBH", 0x21, family, len(addresses)) + addresses


class Proxy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(script=OPEN, extra=OFFICE + BELIEVED, listener_extra={"mx": 'proxy_protocol = ["127.0.0.0/8"]'},
                                                  accounts=["alice", "bob", "carol", "dora"]))

    def test_the_declared_client_stands_in_received(self):
        for header, ip, name in ((v1("198.51.100.7"), "198.51.100.7", "alice"), (v2("198.51.100.8"), "198.51.100.8", "bob"),
                                 (v1("2001:db8::7", "TCP6", "2001:db8::1"), "2001:db8::7", "carol"), (v2("2001:db8::8"), "2001:db8::8", "dora")):
            with self.subTest(ip), self.server.smtp("mx") as talk:
                talk.send(header).ehlo().mail("a@foreign.test", f"{name}@example.test").data(letter(to=f"{name}@example.test"))
                [mail] = self.server.mail(name)
                self.assertIn(ip.encode(), mail.split(b"\r\nFrom:")[0])
                self.assertNotIn(b"127.0.0.1", mail.split(b"\r\nFrom:")[0])

    def test_header_and_greeting_in_any_cut(self):
        for header in (v1("198.51.100.7"), v2("198.51.100.7")):
            with self.server.smtp("mx") as talk:
                for octet in header:
                    talk.send(bytes([octet]))
                talk.ehlo()

    def test_the_gate_looks_at_the_declared_client(self):
        for client, code in (("203.0.113.5", 250), ("198.51.100.7", 550), ("127.0.0.1", 550)):
            for make in (v1, v2):
                with self.subTest(client), self.server.smtp("mx") as talk:
                    talk.send(make(client)).ehlo().say("MAIL FROM:<a@foreign.test>").expect(250)
                    talk.say(f"RCPT TO:<{FOREIGN}>").expect(code)

    def test_without_a_header_nothing_is_served(self):
        for first in (b"EHLO a.test\r\n", b"PROXY NONSENSE\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", b"PROXY TCP4 999.1.1.1 5.6.7.8 1 2\r\n", V2 + b"\x21\x11\x00\x01x", V2 + b"\x31\x11\x00\x00",
                      b"PROXY " + b"x" * 200 + b"\r\n"):
            with self.subTest(first), self.server.smtp("mx") as talk:
                talk.send(first)
                self.assertTrue(talk.ended())
                self.assertNotIn(b"250", talk.rest)

    def test_local_and_unknown_are_the_balancer_itself(self):
        """Health checks: RFC-less, the protocol's own text says to serve them with the connection's address."""
        for header in (b"PROXY UNKNOWN\r\n", V2 + struct.pack("!BBH", 0x20, 0, 0)):
            with self.server.smtp("mx") as talk:
                talk.send(header).ehlo().say("MAIL FROM:<a@foreign.test>").expect(250)
                talk.say(f"RCPT TO:<{FOREIGN}>").expect(550)

    def test_where_it_is_not_expected_it_is_no_header(self):
        with self.server.smtp("submission") as talk:
            talk.send(v1("203.0.113.5")).expect(220)
            talk.expect(500, 503, 421, 554)


class NameServer:
    """Knows one client, 198.51.100.7, by PTR and A. Everything else is NXDOMAIN."""
    NAME = "mail.client.test"

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.asked = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def toml(self):
        return f'[dns]\nservers = ["127.0.0.1:{self.socket.getsockname()[1]}"]\n'

    @staticmethod
    def wire(name):
        return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"

    def serve(self):
        while True:
            query, peer = self.socket.recvfrom(4096)
            if not query:
                return
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            name, kind = ".".join(labels).lower(), struct.unpack("!H", query[at + 1:at + 3])[0]
            self.asked.append(name)
            known = {("7.100.51.198.in-addr.arpa", 12): self.wire(self.NAME), (self.NAME, 1): socket.inet_aton("198.51.100.7")}
            data = known.get((name, kind))
            code = 0 if data or name == self.NAME else 3
            answer = struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(data)) + data if data else b""
            head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, 1 if data else 0, 0, 0)
            self.socket.sendto(head + query[12:at + 5] + answer, peer)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


class Names(unittest.TestCase):
    """The name of a client's address: Received, rules, log and trail."""
    GOODBYE = ('postern.on("disconnect", { name = "goodbye" }, function(session)\n'
               '  postern.log.info("gone: " .. tostring(session.client.reverse_name) .. " " .. tostring(session.client.reverse_status))\nend)\n')

    def test_names_are_looked_up_and_confirmed(self):
        names = NameServer()
        self.addCleanup(names.close)
        script = SCRIPT.replace("postern.pipeline \"root\"", self.GOODBYE + "postern.pipeline \"root\"", 1)
        self.assertIn("goodbye", script)
        with Server(script=script, extra=names.toml(), listener_extra={"mx": 'proxy_protocol = ["127.0.0.0/8"]'}) as server:
            for client in ("198.51.100.7", "198.51.100.8"):
                with self.subTest(client), server.smtp("mx") as talk:
                    talk.send(v1(client)).ehlo().mail("a@foreign.test", "alice@example.test").data(letter(to="alice@example.test"))
                    talk.say("QUIT").expect(221)
            received = b"".join(server.mail("alice", 2))
            self.assertIn(b"(mail.client.test [198.51.100.7])", received)
            self.assertIn(b"(unknown [198.51.100.8])", received)
            server.wait_log("gone: mail.client.test confirmed")
            server.wait_log("gone: nil none")
            wait_until(lambda: "confirmed mail.client.test" in server.run("why", "alice@example.test", "--steps", check=False).stdout, "the trail")
            asked = len(names.asked)
            with server.smtp("submission") as talk:
                talk.ehlo()
            self.assertEqual(len(names.asked), asked)


class NotBelieved(unittest.TestCase):
    def test_what_the_gate_was_not_told_to_believe_counts_as_a_stranger(self):
        with Server(script=OPEN, extra=OFFICE, listener_extra={"mx": 'proxy_protocol = ["127.0.0.0/8"]'}) as server, server.smtp("mx") as talk:
            talk.send(v1("203.0.113.5")).ehlo().say("MAIL FROM:<a@foreign.test>").expect(250)
            talk.say(f"RCPT TO:<{FOREIGN}>").expect(550)

    def test_a_stranger_behind_a_balancer_is_not_the_balancer(self):
        """The balancer's own network may relay; whom it declares may not."""
        extra = '[[relay.network]]\nnetwork = "127.0.0.0/8"\nreason = "this machine"\n' + BELIEVED
        with Server(script=OPEN, extra=extra, listener_extra={"mx": 'proxy_protocol = ["127.0.0.0/8"]'}) as server, server.smtp("mx") as talk:
            talk.send(v1("198.51.100.7")).ehlo().say("MAIL FROM:<a@foreign.test>").expect(250)
            talk.say(f"RCPT TO:<{FOREIGN}>").expect(550)


class Xclient(unittest.TestCase):
    def test_only_named_hosts_may_say_it(self):
        with Server() as server, server.smtp("mx") as talk:
            talk.ehlo()
            self.assertNotIn("XCLIENT", talk.last)
            talk.say("XCLIENT ADDR=203.0.113.5 LOGIN=alice@example.test").expect(550, 502, 500)

    def test_a_declared_login_is_believed_of_believed_hosts_only(self):
        for extra, code in ((OFFICE, 550), (OFFICE + BELIEVED, 250)):
            with self.subTest(code), Server(script=OPEN, extra=extra, listener_extra={"mx": 'xclient = ["127.0.0.0/8"]'}) as server:
                with server.smtp("mx") as talk:
                    talk.ehlo().say("XCLIENT ADDR=198.51.100.9 LOGIN=alice@example.test").expect(220)
                    talk.say("EHLO inner.test").expect(250).say("MAIL FROM:<alice@example.test>").expect(250)
                    talk.say(f"RCPT TO:<{FOREIGN}>").expect(code)

    def test_each_attribute_reaches_received(self):
        with Server(extra=BELIEVED, listener_extra={"mx": 'xclient = ["127.0.0.0/8"]'}) as server, server.smtp("mx") as talk:
            talk.ehlo().say("XCLIENT PROTO=QMTP").expect(501)
            talk.say("XCLIENT NAME=spike.test ADDR=198.51.100.9 PORT=4000 HELO=real.test PROTO=SMTP LOGIN=[UNAVAILABLE]").expect(220)
            talk.say("EHLO filter.test").expect(250)
            talk.mail("a@foreign.test", "alice@example.test").data(letter(to="alice@example.test"))
            [mail] = server.mail("alice")
            self.assertIn(b"Received: from real.test (spike.test [198.51.100.9])", mail)
            self.assertRegex(mail.split(b"\r\nFrom:")[0], rb"with SMTP id ")


if __name__ == "__main__":
    main()

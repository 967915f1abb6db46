"""PROXY protocol: who may say it is believed, who must say it and does not is dropped, and the relay gate has its own word."""
import socket
import struct
import unittest

from postern import SCRIPT, Server, letter, main

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


if __name__ == "__main__":
    main()

"""Mail leaves: a user's message to another domain goes to a next hop, over TLS, with the hop's answers obeyed."""
import datetime
import socket
import ssl
import threading
import unittest

from postern import HOST, Server, free_port, letter, main, token_of, wait_until

SCRIPT = """\
local postern = require "postern"
local match, act = postern.match, postern.act
postern.pipeline "root" {
  { when = match.recipient_is_local, act.deliver { folder = "INBOX" } },
  { act.relay() },
}
"""


class Sink:
    """A mail host of the simplest kind: takes everything, says what `refuse` has for a recipient, and keeps it all."""

    def __init__(self, context=None, extensions=("PIPELINING", "SIZE 0", "8BITMIME", "CHUNKING", "DSN"), port=0):
        self.context, self.extensions = context, list(extensions)
        self.refuse = {}
        self.mails = []
        self.sessions = 0
        self.secure = 0
        self.drop_next = False
        self.socket = socket.create_server((HOST, port))
        self.port = self.socket.getsockname()[1]
        self.ended = False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.ended:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.sessions += 1
            threading.Thread(target=self.session, args=(client,), daemon=True).start()

    def close(self):
        self.ended = True
        self.socket.close()

    def session(self, client):
        try:
            with client:
                self.talk(client)
        except (OSError, ValueError):
            pass

    def talk(self, client):
        reader = client.makefile("rb")

        def say(text):
            client.sendall(text.encode() + b"\r\n")

        say("220 sink.test ready")
        mail, rcpts, text, bad = None, [], b"", False
        while line := reader.readline():
            line = line.decode().rstrip("\r\n")
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                offers = self.extensions + (["STARTTLS"] if self.context and not isinstance(client, ssl.SSLSocket) else [])
                say("\r\n".join(f"250-{one}" for one in ["sink.test", *offers]) + "\r\n250 HELP")
            elif verb == "STARTTLS":
                say("220 go")
                client = self.context.wrap_socket(client, server_side=True)
                reader = client.makefile("rb")
                self.secure += 1
            elif verb == "MAIL":
                mail, rcpts, text, bad = line, [], b"", False
                say("250 2.1.0 ok")
            elif verb == "RCPT":
                address = line[line.index("<") + 1:line.index(">")]
                if address in self.refuse:
                    say(self.refuse[address])
                else:
                    rcpts.append(address)
                    say("250 2.1.5 ok")
            elif verb == "BDAT":
                words = line.split(" ")
                text += reader.read(int(words[1]))
                if len(words) == 3:
                    if self.end(mail, rcpts, text):
                        return
                    say("250 2.0.0 taken" if rcpts else "503 5.5.1 nobody")
            elif verb == "DATA":
                if not rcpts:
                    say("503 5.5.1 nobody")
                    continue
                say("354 go on")
                while (piece := reader.readline()) != b".\r\n":
                    text += piece[1:] if piece.startswith(b".") else piece
                if self.end(mail, rcpts, text):
                    return
                say("250 2.0.0 taken")
            elif verb == "QUIT":
                say("221 2.0.0 bye")
                return
            else:
                say("250 2.0.0 ok")

    def end(self, mail, rcpts, text):
        if self.drop_next:
            self.drop_next = False
            return True
        if rcpts:
            self.mails.append((mail, tuple(rcpts), text))
        return False


class Leaving(unittest.TestCase):
    def server(self, port, route="", delivery="", next_port=None, **more):
        hosts = ", ".join(f'"[{HOST}]:{one}"' for one in (port, next_port) if one)
        extra = f"""
[delivery]
{delivery}
[[delivery.route]]
name = "sink"
domains = ["*"]
to = [{hosts}]
{route}
[queue]
retry = "1s"
"""
        return Server(extra, script=SCRIPT, **more)

    def test_a_users_mail_reaches_the_next_hop_and_the_queue_is_empty(self):
        for extensions in (("PIPELINING", "CHUNKING"), ("PIPELINING",), ()):
            sink = Sink(extensions=extensions)
            self.addCleanup(sink.close)
            with self.subTest(extensions=extensions), self.server(sink.port) as server:
                text = letter(to="x@far.test", body="a line\r\n.a dot\r\n")
                server.submit("alice", ["x@far.test", "y@far.test", "z@other.test"], text)
                server.wait_queue_empty()
                self.assertEqual(sorted(one for _, rcpts, _ in sink.mails for one in rcpts), ["x@far.test", "y@far.test", "z@other.test"])
                for mail, _, got in sink.mails:
                    self.assertIn("MAIL FROM:<alice@example.test>", mail)
                    self.assertEqual(token_of(got), token_of(text))
                    self.assertTrue(got.endswith(b"a line\r\n.a dot\r\n"))
                self.assertIn("relay.delivered", server.log())

    def test_many_messages_share_connections(self):
        sink = Sink()
        self.addCleanup(sink.close)
        with self.server(sink.port, delivery="max_connections = 4") as server:
            with server.smtplib("submission", "alice") as client:
                for number in range(60):
                    client.sendmail("alice@example.test", ["x@far.test"], letter(to="x@far.test", subject=str(number)))
            server.wait_queue_empty()
            self.assertEqual(len({token_of(text) for _, _, text in sink.mails}), 60)
            self.assertLessEqual(sink.sessions, 8)

    def test_starttls_is_used_where_it_is_offered(self):
        with self.server(1) as helper:
            certificate, key = helper.home / "mail.crt", helper.home / "mail.key"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
        sink = Sink(context)
        self.addCleanup(sink.close)
        with self.server(sink.port, 'tls = "encrypt"') as server:
            server.submit("alice", "x@far.test", letter(to="x@far.test"))
            server.wait_queue_empty()
            self.assertEqual(len(sink.mails), 1)
            self.assertEqual(sink.secure, sink.sessions)
            self.assertRegex(server.log(), r"relay\.delivered .*tls=TLSv1\.[23]")

    def test_a_hop_without_tls_gets_nothing_when_tls_is_required(self):
        sink = Sink()
        self.addCleanup(sink.close)
        with self.server(sink.port, 'tls = "encrypt"') as server:
            server.submit("alice", "x@far.test", letter(to="x@far.test"))
            server.wait_log("4.7.4")
            self.assertEqual(sink.mails, [])
            self.assertEqual(server.queued(), 1)

    def test_what_cannot_go_now_goes_later(self):
        port = free_port()
        with self.server(port, delivery='back_off = "1s"\nmax_back_off = "1s"') as server:
            server.submit("alice", "x@far.test", letter(to="x@far.test"))
            server.wait_log("relay.no_connection")
            sink = Sink(port=port)
            self.addCleanup(sink.close)
            wait_until(lambda: sink.mails, "the mail at its second try", 40)
            server.wait_queue_empty()

    def test_what_one_hop_puts_off_the_next_one_takes(self):
        first, second = Sink(), Sink()
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        first.refuse = {"x@far.test": "451 4.7.1 grey", "no@far.test": "550 5.1.1 nobody"}
        with self.server(first.port, next_port=second.port) as server:
            server.submit("alice", ["x@far.test", "y@far.test", "no@far.test"], letter(to="x@far.test"))
            server.wait_queue_empty()
            self.assertEqual([rcpts for _, rcpts, _ in first.mails], [("y@far.test",)])
            self.assertEqual([rcpts for _, rcpts, _ in second.mails], [("x@far.test",)])
            self.assertIn("relay.put_off", server.log())

    def test_a_new_source_sends_its_days_share_and_no_more_after_a_restart(self):
        sink = Sink()
        self.addCleanup(sink.close)
        today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
        source = f'\n[[delivery.source]]\naddress = "{HOST}"\nsince = "{today}"\nwarm_up = [2]\n'
        with self.server(sink.port, route=source) as server:
            server.submit("alice", "x@far.test", letter(to="x@far.test"))
            server.wait_queue_empty()
            server.stop()
            server.start()
            for _ in range(2):
                server.submit("alice", "x@far.test", letter(to="x@far.test"))
            server.wait_log("relay.warm_up")
            wait_until(lambda: server.queued() == 1, "the third to be the only one that waits")
            self.assertEqual(len(sink.mails), 2)

    def test_a_lost_last_reply_is_told_and_the_mail_comes_again(self):
        sink = Sink(extensions=("PIPELINING",))
        self.addCleanup(sink.close)
        sink.drop_next = True
        with self.server(sink.port) as server:
            server.submit("alice", "x@far.test", letter(to="x@far.test"))
            server.wait_log("the reply did not come")
            wait_until(lambda: sink.mails, "the mail at its second try", 40)
            server.wait_queue_empty()

    def test_a_large_message_arrives_whole(self):
        sink = Sink()
        self.addCleanup(sink.close)
        with self.server(sink.port) as server:
            text = letter(to="x@far.test", body="0123456789abcdef\r\n" * 200_000)
            server.submit("alice", "x@far.test", text)
            server.wait_queue_empty(60)
            self.assertTrue(sink.mails[0][2].endswith(text))

    def test_a_kill_in_the_middle_loses_nothing(self):
        sink = Sink()
        self.addCleanup(sink.close)
        with self.server(sink.port) as server:
            tokens = set()
            with server.smtplib("submission", "alice") as client:
                for number in range(40):
                    text = letter(to="x@far.test")
                    client.sendmail("alice@example.test", ["x@far.test"], text)
                    tokens.add(token_of(text))
            server.kill()
            server.start()
            server.wait_queue_empty(60)
            self.assertEqual({token_of(text) for _, _, text in sink.mails}, tokens)


if __name__ == "__main__":
    main()

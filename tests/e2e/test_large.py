"""Large mail streams through: what the server takes of memory does not depend on how large a message is."""
# ctest: timeout=900
# ctest: dev-only
# ctest: serial
import threading
import time
import unittest

from postern import SANITIZED, SCRIPT, Server, letter, main, token_of, wait_until

MIB = 1 << 20
LINE = b"0123456789abcdef" * 4 + b"-----------\r\n"  # 77 octets
SETTINGS = '[smtp]\nmax_message_size = "64 MiB"\nmax_connections_per_ip = 500\n[limits]\nmemory = "1 GiB"\n'


def stream(talk, text, size):
    """DATA with a text of about `size` octets that the client does not hold in memory either."""
    talk.say("DATA").expect(354).send(text)
    block = LINE * 4000
    sent = len(text)
    while sent < size:
        talk.send(block)
        sent += len(block)
    talk.send(b".\r\n").expect(250)
    return sent


@unittest.skipIf(SANITIZED, "measures memory, which sanitizers multiply")
class Large(unittest.TestCase):
    def peak_from_here(self, server):
        """Resets the high-water mark (proc(5)), and says where it starts."""
        with open(f"/proc/{server.pid}/clear_refs", "w") as reset:
            reset.write("5")
        return server.memory("VmHWM")

    def send(self, server, size, to="bob"):
        with server.smtp("mx", timeout=300) as talk:
            talk.ehlo().mail("a@foreign.test", f"{to}@example.test")
            text = letter(body="")
            return token_of(text), stream(talk, text, size)

    def delivered(self, server, name, count):
        wait_until(lambda: len(server.files(name)) >= count, f"{count} files for {name}", 120)
        server.wait_queue_empty(120)

    def test_50_mib_cost_less_than_2_mib(self):
        with Server(extra=SETTINGS) as server:
            for n in range(4):  # warm: pools, arenas, one message as large on its whole way
                self.send(server, 50 * MIB if n == 0 else 4 * MIB)
            self.delivered(server, "bob", 4)
            before = self.peak_from_here(server)
            _, sent = self.send(server, 50 * MIB)
            self.delivered(server, "bob", 5)
            grown = server.memory("VmHWM") - before
            print(f"50 MiB: {grown / MIB:.2f} MiB over {before / MIB:.1f} MiB", flush=True)
            largest = max(server.files("bob"), key=lambda f: f.stat().st_size)
            self.assertGreaterEqual(largest.stat().st_size, sent - sent // len(LINE) - 1)
            self.assertLessEqual(grown, 2 * MIB)

    def test_the_first_large_message_is_cheap_too(self):
        with Server(extra=SETTINGS) as server:
            for _ in range(20):
                self.send(server, 10_000)
            self.delivered(server, "bob", 20)
            before = self.peak_from_here(server)
            self.send(server, 50 * MIB)
            self.delivered(server, "bob", 21)
            grown = server.memory("VmHWM") - before
            print(f"first 50 MiB: {grown / MIB:.2f} MiB over {before / MIB:.1f} MiB", flush=True)
            self.assertLessEqual(grown, 4 * MIB)

    def test_reading_50_mib_over_pop3_is_cheap_too(self):
        with Server(extra=SETTINGS) as server:
            self.send(server, 50 * MIB)
            self.delivered(server, "bob", 1)
            with server.pop("bob") as talk:  # warm
                talk.say("TOP 1 10").expect_pop()
                talk.octets_to_dot()
            with server.pop("bob") as talk:
                before = self.peak_from_here(server)
                talk.say("RETR 1").expect_pop()
                received, tail = len(talk.rest), talk.rest
                while not tail.endswith(b"\r\n.\r\n"):
                    more = talk.socket.recv(1 << 18)
                    self.assertTrue(more, "the connection ended")
                    received += len(more)
                    tail = (tail + more)[-16:]
                grown = server.memory("VmHWM") - before
            print(f"RETR of {received / MIB:.0f} MiB: {grown / MIB:.2f} MiB", flush=True)
            self.assertGreater(received, 50 * MIB)
            self.assertLessEqual(grown, 2 * MIB)

    def test_a_hundred_messages_of_10_mib_at_once_stay_under_256_mib(self):
        with Server(extra=SETTINGS) as server:
            wrong, tokens, lock = [], [], threading.Lock()
            start = threading.Barrier(100)

            def client():
                try:
                    start.wait(60)
                    token, _ = self.send(server, 10 * MIB)
                    with lock:
                        tokens.append(token)
                except Exception as e:  # noqa: BLE001 - told by the main thread
                    wrong.append(e)

            threads = [threading.Thread(target=client) for _ in range(100)]
            began = time.monotonic()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            took = time.monotonic() - began
            self.assertEqual(wrong, [])
            self.delivered(server, "bob", 100)
            peak = server.memory("VmHWM")
            print(f"100 x 10 MiB: peak {peak / MIB:.0f} MiB, {took:.0f} s", flush=True)
            self.assertLess(peak, 256 * MIB)
            found = set()
            for file in server.files("bob"):
                with open(file, "rb") as f:
                    found.add(token_of(f.read(4096)))
                self.assertGreater(file.stat().st_size, 10 * MIB - 200_000)
            self.assertEqual(found, set(tokens))


if __name__ == "__main__":
    main()

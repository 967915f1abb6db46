#!/usr/bin/env python3
"""How many recorded transactions a second `postern replay` leads through the scripts again.

A server with scripts/mailserver.lua's shape takes COUNT mails of SIZE octets, keeps their trails and texts, and stops; then they are
replayed REPEAT times from the files. Prints each rate, and whether it found differences (it must not).

    POSTERN_BUILD=build/release tests/bench/replay.py [--count 20000] [--size 4096] [--jobs 0] [--repeat 3]
"""
import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from postern import Server, letter  # noqa: E402


def send(server, count, size):
    text = letter(body="x" * 70 + "\r\n")
    text += (b"y" * 70 + b"\r\n") * max(0, (size - len(text)) // 72)
    mail = b"MAIL FROM:<a@foreign.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"
    with server.smtp("mx") as talk:
        talk.ehlo()
        for _ in range(count):
            talk.send(mail).expect(250).expect(250).expect(354)
            talk.send(text + b".\r\n").expect(250)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--jobs", type=int, default=0)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    limits = "[smtp]\nmax_messages = 1000000\nmax_session_bytes = \"64 GiB\"\n[archive]\nkeep = \"all\"\nkeep_bytes = \"1 GiB\"\n[trail]\nrate = \"64 MiB\"\nsource_rate = \"32 MiB\"\nsource_day = \"1 GiB\"\n"
    with Server(limits) as server:
        send(server, options.count, options.size)
        server.stop()
        for _ in range(options.repeat):
            done = server.run("replay", "--json", "--jobs", options.jobs)
            total = json.loads(done.stdout.splitlines()[-1])
            print(f"{total['replayed']} transactions in {total['seconds']:.2f} s: {total['replayed'] / total['seconds']:.0f}/s, "
                  f"{total['differ']} differ, {total['without_body']} without text")
        server.start()


if __name__ == "__main__":
    main()

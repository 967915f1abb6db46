#!/usr/bin/env python3
"""What an idle connection costs a running server: PSS of its process before and with N connections.

    idle_tls.py --port PORT --pid PID [--state smtp|smtp-tls|smtps|pop3|pop3s] [--n 2000] [--settle 2] [--json]

States: smtp (after EHLO), smtp-tls (after STARTTLS and the second EHLO), smtps (TLS from the first octet, after EHLO),
pop3 (after the greeting), pop3s. Prints KiB per connection. One state a run, each on a server that was just started: memory
that other connections have left behind is used again, and would count for nothing. Loopback only. The server must allow so many
connections from one address ([smtp] max_connections_per_ip). Needs the right to read /proc/PID/smaps_rollup.
Exit status 1 when not all connections could be opened.
"""
import argparse
import ipaddress
import json
import resource
import socket
import ssl
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--state", default="smtp-tls", choices=["smtp", "smtp-tls", "smtps", "pop3", "pop3s"])
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--pid", type=int, required=True, help="the server's process")
parser.add_argument("--n", type=int, default=2000)
parser.add_argument("--settle", type=float, default=2, help="seconds between opening and measuring")
parser.add_argument("--json", action="store_true")
options = parser.parse_args()
if not ipaddress.ip_address(options.host).is_loopback:
    parser.error(f"{options.host} is not a loopback address")
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
if hard != resource.RLIM_INFINITY and hard < options.n + 50:
    parser.error(f"only {hard} file descriptors are allowed here")

# A measurement of memory, not of trust: the certificate is whatever the server under test has.
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE


def pss():
    """In KiB."""
    with open(f"/proc/{options.pid}/smaps_rollup") as lines:
        for line in lines:
            if line.startswith("Pss:"):
                return int(line.split()[1])
    raise SystemExit("no Pss in smaps_rollup")


def ask(connection, line, wanted):
    if line:
        connection.sendall(line.encode() + b"\r\n")
    got = b""
    while not any(one.startswith(wanted) for one in got.split(b"\r\n")[:-1]):
        more = connection.recv(65536)
        if not more:
            raise OSError(got.decode("latin-1")[-100:] or "closed")
        got += more


def opened(state):
    connection = socket.create_connection((options.host, options.port), timeout=20)
    try:
        if state in ("smtps", "pop3s"):
            connection = context.wrap_socket(connection)
        ask(connection, "", b"+OK" if state.startswith("pop3") else b"220 ")
        if state.startswith("smtp"):
            ask(connection, "EHLO idle.bench.test", b"250 ")
        if state == "smtp-tls":
            ask(connection, "STARTTLS", b"220 ")
            connection = context.wrap_socket(connection)
            ask(connection, "EHLO idle.bench.test", b"250 ")
        return connection
    except BaseException:
        connection.close()
        raise


def measure(state):
    for _ in range(20):  # what the first connections of their kind make once is no connection's cost
        opened(state).close()
    time.sleep(options.settle)
    before = pss()
    held, failed, began = [], 0, time.monotonic()
    while len(held) < options.n and failed <= 20:
        try:
            held.append(opened(state))
        except OSError as error:
            failed += 1
            if failed <= 3:
                print(f"failed: {error}", file=sys.stderr)
    took = time.monotonic() - began
    time.sleep(options.settle)
    with_them = pss()
    for connection in held:
        connection.close()
    each = (with_them - before) / max(1, len(held))
    if options.json:
        print(json.dumps({"state": state, "connections": len(held), "failed": failed, "open_s": round(took, 2),
                          "pss_before_kib": before, "pss_with_kib": with_them, "kib_per_connection": round(each, 2)}), flush=True)
    else:
        print(f"{state:<9} {len(held)} connections ({failed} failed) in {took:.1f} s: PSS {before} -> {with_them} KiB, "
              f"{each:.2f} KiB per connection", flush=True)
    return len(held) == options.n


sys.exit(0 if measure(options.state) else 1)

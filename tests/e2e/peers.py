"""Mail servers of others for tests: Postfix, Exim, OpenSMTPD and Dovecot's LMTP as Debian ships them, and NSD.

    with Postfix(outward={"example.test": (HOST, port)}) as peer:
        peer.mail("user", 1)             # octets of the Maildir, lines ending in LF as these servers write them
        peer.put_off()                   # later@DOMAIN is answered with 450 ...
        peer.take_again()                # ... until now

Each has a folder, a configuration, a spool and a port of its own on this process's loopback address (postern.HOST), and
runs in the foreground in a session of its own, which ends with it. The people of each are PEOPLE; anybody else is unknown.

Debian lets only one mail server be installed at a time: `unpack-peers` puts what cannot be installed into a folder
(POSTERN_PEERS, else build/peers), where these classes look for programs that the system lacks. Postfix, OpenSMTPD and Exim begin as
root and change to users of their own, so without root, or without one of the programs, the test is skipped and says so.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from postern import HOST, PATIENCE, TOP, free_port, wait_until

UNPACKED = pathlib.Path(os.environ.get("POSTERN_PEERS", TOP / "build" / "peers"))
PEOPLE = ("user", "second", "third", "later")
PUT_OFF = "450 4.2.1 come back when the tide turns"


def find(package, *paths):
    """The program of a package, installed or unpacked; without it, or without root, the test is skipped."""
    if os.geteuid() != 0:
        raise unittest.SkipTest(f"{package} must be started as root")
    for path in paths:
        for place in (pathlib.Path(path), UNPACKED / package / path.lstrip("/")):
            if os.access(place, os.X_OK):
                return place
    raise unittest.SkipTest(f"{package} is neither installed nor unpacked in {UNPACKED} (tests/e2e/unpack-peers)")


def needs_user(name):
    if subprocess.run(["id", name], capture_output=True).returncode != 0:
        raise unittest.SkipTest(f"there is no system user {name} (tests/e2e/unpack-peers makes it)")


class Peer:
    """A server in a folder of its own. A subclass writes the configuration and says how it is started."""

    name = ""
    log_name = "log"

    def __init__(self, outward=None, domain=None, at=HOST, port=None, settings=""):
        self.domain = domain or f"{self.name}.test"
        self.host = f"mx.{self.domain}"
        self.outward = outward or {}
        self.settings = settings  # further lines of the configuration
        self.at = at
        self.process = None
        self.find()
        self.home = pathlib.Path(tempfile.mkdtemp(prefix=f"peer-{self.name}-"))
        self.home.chmod(0o755)
        self.port = port or free_port()
        self.flag = self.home / "put-off"
        self.box = self.home / "mail"
        self.box.mkdir()

    def find(self):
        """Looks for the programs; unittest.SkipTest without them."""

    def configure(self):
        """Writes what the server reads."""

    def command(self):
        raise NotImplementedError

    def __enter__(self):
        self.certificate()
        self.configure()
        return self.start()

    def __exit__(self, kind, value, _):
        self.stop()
        if kind and not issubclass(kind, unittest.SkipTest):
            sys.stderr.write(f"---- log of {self.name}, last lines\n{self.log()[-5000:]}----\n")
        if not os.environ.get("POSTERN_KEEP"):
            shutil.rmtree(self.home, ignore_errors=True)

    def certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={self.host}", "-addext",
                        f"subjectAltName=DNS:{self.host}", "-keyout", self.home / "key.pem", "-out", self.home / "cert.pem"], check=True, capture_output=True)
        (self.home / "key.pem").chmod(0o600)

    def start(self):
        with open(self.home / "output", "ab") as output:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *(str(word) for word in self.command())], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True, cwd=self.home)
        try:
            wait_until(lambda: self.process.poll() is not None or self.answers(), f"{self.name} to listen")
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with status {self.process.returncode}:\n{self.log()[-3000:]}")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        if not self.process:
            return
        for what, group in ((signal.SIGTERM, False), (signal.SIGKILL, True)):
            try:  # at last what it left behind: all that is in the process group that was made for it
                (os.killpg if group else os.kill)(self.process.pid, what)
            except ProcessLookupError:
                pass
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        self.process = None

    def answers(self):
        try:
            with socket.create_connection((self.at, self.port), timeout=PATIENCE) as client:
                return client.recv(100).startswith(b"220")
        except OSError:
            return False

    def log(self):
        files = [self.home / "output", *sorted((self.home / "logs").glob("*"))]
        return "".join(f.read_text(errors="replace") for f in files if f.is_file())

    def address(self, who):
        return who if "@" in who else f"{who}@{self.domain}"

    def put_off(self):
        self.flag.touch()

    def take_again(self):
        self.flag.unlink()

    def files(self, who):
        return sorted(f for part in ("new", "cur") for f in (self.box / who).glob(f"{part}/*"))

    def mail(self, who, count=1, seconds=PATIENCE):
        """The mails of one of the PEOPLE once there are `count`, in no certain order."""
        try:
            files = wait_until(lambda: len(self.files(who)) >= count and self.files(who), f"{count} messages for {who}", seconds)
        except AssertionError as late:
            raise AssertionError(f"{late}; there are {len(self.files(who))}\n{self.log()[-3000:]}") from None
        if len(files) != count:
            raise AssertionError(f"{len(files)} messages for {who}, not {count}")
        return [f.read_bytes() for f in files]

    def empty(self):
        for who in PEOPLE:
            for file in self.files(who):
                file.unlink()


class Postfix(Peer):
    name = "postfix"

    def find(self):
        self.master = find("postfix", "/usr/lib/postfix/sbin/master")
        self.postfix = find("postfix", "/usr/sbin/postfix")

    def configure(self):
        for folder in ("etc", "spool", "data", "logs"):
            (self.home / folder).mkdir()
        shutil.chown(self.home / "data", "postfix")
        shutil.chown(self.box, "mail", "mail")
        self.policy = PostfixPolicy(self.flag)
        boxes = "".join(f"{self.address(who)} {who}/\n" for who in PEOPLE)
        (self.home / "etc" / "boxes").write_text(boxes)
        (self.home / "etc" / "routes").write_text("".join(f"{domain} smtp:[{host}]:{port}\n" for domain, (host, port) in self.outward.items()))
        (self.home / "etc" / "main.cf").write_text(f"""\
compatibility_level = 3.6
queue_directory = {self.home}/spool
data_directory = {self.home}/data
command_directory = {self.postfix.parent}
daemon_directory = {self.master.parent}
mail_owner = postfix
setgid_group = postdrop
maillog_file = {self.home}/logs/maillog
maillog_file_prefixes = {self.home}
myhostname = {self.host}
mydestination =
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_policy_service inet:{HOST}:{self.policy.port}
smtpd_peername_lookup = no
smtpd_tls_security_level = may
smtpd_tls_cert_file = {self.home}/cert.pem
smtpd_tls_key_file = {self.home}/key.pem
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtp_tls_security_level = encrypt
smtp_tls_loglevel = 1
virtual_mailbox_domains = {self.domain}
virtual_mailbox_base = {self.box}
virtual_mailbox_maps = texthash:{self.home}/etc/boxes
virtual_uid_maps = static:8
virtual_gid_maps = static:8
virtual_minimum_uid = 1
transport_maps = texthash:{self.home}/etc/routes
{self.settings}
""")
        (self.home / "etc" / "master.cf").write_text(f"""\
{self.at}:{self.port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
""")

    def command(self):
        """The script of `postfix start-fg` would put the server into a session that this test knows nothing of."""
        return ["sh", "-c", '"$1" -c "$3" check && exec "$2" -c "$3" -d', "sh", self.postfix, self.master, self.home / "etc"]

    def stop(self):
        super().stop()
        self.policy.close()


class PostfixPolicy:
    """The question that Postfix asks for each recipient; put_off() decides the answer."""

    def __init__(self, flag):
        self.flag = flag
        self.socket = socket.create_server((HOST, 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.socket.close()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(client,), daemon=True).start()

    def talk(self, client):
        recipient = ""
        try:
            with client, client.makefile("r") as lines:
                for line in lines:
                    if line.startswith("recipient="):
                        recipient = line.strip().partition("=")[2]
                    elif line == "\n":
                        late = recipient.startswith("later@") and self.flag.exists()
                        client.sendall(f"action={PUT_OFF if late else 'DUNNO'}\n\n".encode())
        except OSError:
            pass


class Exim(Peer):
    name = "exim"

    def find(self):
        self.exim = find("exim4-daemon-light", "/usr/sbin/exim4")
        needs_user("Debian-exim")

    def configure(self):
        for folder in ("spool", "logs"):
            (self.home / folder).mkdir()
            shutil.chown(self.home / folder, "Debian-exim", "Debian-exim")
        for path in (self.box, self.home / "key.pem"):
            shutil.chown(path, "Debian-exim", "Debian-exim")
        routes = "".join(f"""\
to_{domain.replace('.', '_')}:
  driver = manualroute
  domains = {domain}
  transport = out
  route_list = * {host}::{port}
  self = send
""" for domain, (host, port) in self.outward.items())
        (self.home / "exim.conf").write_text(f"""\
primary_hostname = {self.host}
spool_directory = {self.home}/spool
log_file_path = {self.home}/logs/%slog
pid_file_path = {self.home}/exim.pid
exim_path = {self.exim}
local_interfaces = {self.at}
daemon_smtp_ports = {self.port}
tls_advertise_hosts = *
tls_certificate = {self.home}/cert.pem
tls_privatekey = {self.home}/key.pem
host_lookup =
rfc1413_query_timeout = 0s
deliver_drop_privilege = true
acl_smtp_rcpt = rcpt
{self.settings}
begin acl
rcpt:
  defer domains = {self.domain}
    local_parts = later
    condition = ${{if exists{{{self.flag}}}}}
    message = {PUT_OFF}
  accept domains = {self.domain}
    local_parts = {" : ".join(PEOPLE)}
  deny domains = {self.domain}
    message = no such person on this island
  accept hosts = 127.0.0.0/8
  deny message = no relaying
begin routers
here:
  driver = accept
  domains = {self.domain}
  local_parts = {" : ".join(PEOPLE)}
  transport = box
{routes}
begin transports
box:
  driver = appendfile
  directory = {self.box}/$local_part_data
  maildir_format
  create_directory
out:
  driver = smtp
  allow_localhost
  hosts_require_tls = *
  tls_verify_certificates =
begin retry
* * F,1h,1s
""")

    def command(self):
        return [self.exim, "-C", self.home / "exim.conf", "-bdf", "-q10s"]


class OpenSmtpd(Peer):
    """Its paths are compiled in; a mount namespace lays folders of this test over them, and ends with the server."""

    name = "opensmtpd"

    FILTER = """\
import os, sys
for line in sys.stdin:
    if line.rstrip() == "config|ready":
        print("register|filter|smtp-in|rcpt-to\\nregister|ready", flush=True)
    elif line.startswith("filter|"):
        _, _, _, _, _, session, token, recipient = line.rstrip("\\n").split("|", 7)
        late = recipient.startswith("later@") and os.path.exists("{flag}")
        print("filter-result", session, token, "reject|{put_off}" if late else "proceed", sep="|", flush=True)
"""

    def find(self):
        self.smtpd = find("opensmtpd", "/usr/sbin/smtpd")
        self.python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable  # another user runs it
        self.libexec = find("opensmtpd", "/usr/libexec/opensmtpd/mail.maildir").parent
        for name in ("opensmtpd", "opensmtpq"):
            needs_user(name)
        if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0:
            raise unittest.SkipTest("OpenSMTPD needs a mount namespace, which may not be made here")

    def configure(self):
        (self.home / "spool").mkdir(mode=0o711)
        (self.home / "spool").chmod(0o711)
        shutil.chown(self.box, "mail", "mail")
        (self.home / "filter.py").write_text(self.FILTER.format(flag=self.flag, put_off=PUT_OFF))
        (self.home / "resolv.conf").write_text(f"nameserver {HOST}\noptions timeout:1 attempts:1\n")
        routes = "".join(f'action "to-{domain}" relay host smtp+tls://{host}:{port} tls no-verify helo {self.host}\n'
                         f'match from any for domain "{domain}" action "to-{domain}"\n' for domain, (host, port) in self.outward.items())
        (self.home / "smtpd.conf").write_text(f"""\
pki "mx" cert "{self.home}/cert.pem"
pki "mx" key "{self.home}/key.pem"
table people {{ {", ".join(f'"{self.address(who)}" = mail' for who in PEOPLE)} }}
table addresses {{ {", ".join(f'"{self.address(who)}"' for who in PEOPLE)} }}
filter "tide" proc-exec "{self.python} {self.home}/filter.py"
mta limit session-transaction-delay 0
mta limit conn-delay-host 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
listen on {self.at} port {self.port} hostname {self.host} tls pki "mx" filter "tide"
action "in" maildir "{self.box}/%{{rcpt.user}}" user mail virtual <people>
match from any for rcpt-to <addresses> action "in"
{routes}""")

    def command(self):
        script = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/lock
mount -t tmpfs tmpfs /var/spool
mkdir -m 711 /var/spool/smtpd
mount --bind "$1/spool" /var/spool/smtpd
mount -t tmpfs tmpfs /var/lib
mkdir -p /var/lib/opensmtpd/empty
if [ "$3" != /usr/libexec/opensmtpd ]; then
  mkdir /run/libexec
  mount --bind "$3" /run/libexec
  mount -t tmpfs tmpfs /usr/libexec
  mkdir /usr/libexec/opensmtpd
  mount --bind /run/libexec /usr/libexec/opensmtpd
fi
mount --bind "$1/resolv.conf" /etc/resolv.conf
exec "$2" -d -v -f "$1/smtpd.conf"
"""
        return ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", self.home, self.smtpd, self.libexec]


class Dovecot(Peer):
    """LMTP on a Unix socket; `third` has no room for anything."""

    name = "dovecot"

    def find(self):
        self.dovecot = find("dovecot-core", "/usr/sbin/dovecot")
        find("dovecot-lmtpd", "/usr/lib/dovecot/lmtp")

    def configure(self):
        for folder in ("run", "state", "logs"):
            (self.home / folder).mkdir()
        shutil.chown(self.box, "mail", "mail")
        self.socket = self.home / "run" / "lmtp-here"
        rule = {"third": " userdb_quota_rule=*:bytes=10"}
        (self.home / "users").write_text("".join(f"{self.address(who)}::8:8::{self.box}/{who}::{rule.get(who, '')}\n" for who in PEOPLE))
        (self.home / "dovecot.conf").write_text(f"""\
base_dir = {self.home}/run
state_dir = {self.home}/state
log_path = {self.home}/logs/log
protocols = lmtp
ssl = no
first_valid_uid = 1
mail_location = maildir:~
mail_plugins = quota
lda_mailbox_autocreate = yes
plugin {{
  quota = maildir:quota
  quota_rule = *:bytes=1G
}}
passdb {{
  driver = passwd-file
  args = username_format=%u {self.home}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {self.home}/users
}}
service lmtp {{
  unix_listener lmtp-here {{
    mode = 0600
  }}
}}
service anvil {{
  chroot =
}}
{self.settings}
""")

    def command(self):
        return [self.dovecot, "-F", "-c", self.home / "dovecot.conf"]

    def answers(self):
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(str(self.socket))
                return client.recv(100).startswith(b"220")
        except OSError:
            return False


class Nsd(Peer):
    """An authoritative name server for `zones` ({name: text of records}); a zone with None is answered with SERVFAIL."""

    name = "nsd"

    def __init__(self, zones):
        super().__init__()
        self.zones = zones

    def find(self):
        self.nsd = find("nsd", "/usr/sbin/nsd")

    def certificate(self):
        pass

    def configure(self):
        text = f"""\
server:
  ip-address: {self.at}@{self.port}
  server-count: 1
  username: ""
  chroot: ""
  database: ""
  zonesdir: "{self.home}"
  pidfile: "{self.home}/nsd.pid"
  xfrdfile: "{self.home}/xfrd.state"
  zonelistfile: "{self.home}/zone.list"
  cookie-secret-file: "{self.home}/cookie"
remote-control:
  control-enable: no
"""
        for number, (zone, records) in enumerate(self.zones.items()):
            text += f'zone:\n  name: "{zone}"\n  zonefile: "{number}.zone"\n'
            if records is not None:
                head = f"$ORIGIN {zone}.\n$TTL 5\n@ SOA ns.{zone}. hostmaster.{zone}. 1 3600 600 86400 5\n@ NS ns.{zone}.\nns A {HOST}\n"
                (self.home / f"{number}.zone").write_text(head + records)
        (self.home / "nsd.conf").write_text(text)

    def command(self):
        return [self.nsd, "-d", "-c", self.home / "nsd.conf"]

    def answers(self):
        """Over TCP: NSD listens there when it listens for datagrams."""
        try:
            socket.create_connection((self.at, self.port), timeout=PATIENCE).close()
            return True
        except OSError:
            return False

# Postern as a contestant of the shared benchmark (its README says how): as shipped, with pipeline, trail and logging on.
#   CONTESTANTS=/abs/path/to/tests/bench PEERS="postfix postern" ./run-smtp.sh
# POSTERN_BUILD names the build folder (default: build/release of this checkout).
PEER_MODES="discard maildir lmtp relay idle-smtp far bare gateway"
PEER_SMTP_PORT=2521
PEER_LMTP_PORT=2522
POSTERN_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
POSTERN_BUILD=${POSTERN_BUILD:-$POSTERN_TOP/build/release}
peer_available() { [ -x "$POSTERN_BUILD/bin/postern" ]; }
peer_start() {
  local script=mailbox ours=bench.test leave=
  case $1 in
    discard | idle-smtp) script=discard ;;
    relay)
      # As other contestants: one next hop, up to 50 connections to it, 20 at first, for clients on loopback.
      script=relay ours=local.test
      leave="[[relay.network]]
network = \"127.0.0.0/8\"
reason = \"the benchmark\"
[delivery]
first_connections = 20
max_connections = 50
[[delivery.route]]
name = \"sink\"
domains = [\"*\"]
to = [\"[127.0.0.1]:$SINK_PORT\"]" ;;
    bare | gateway)
      # What a script costs: mail for another server, which is stored and waits until it is asked for; by the rules that
      # are built in, or by scripts/gateway.lua as shipped (its lists asked for nothing, since none answers here).
      script=$1
      leave="kind = \"relay\"
[[delivery.route]]
name = \"inside\"
domains = [\"bench.test\"]
to = [\"[127.0.0.1]:$SINK_PORT\"]
[queue.routes.\"inside\"]
release = \"on request\"" ;;
    far)
      # run-destinations.sh: by MX, to addresses that are kept for benchmarks
      script=relay ours=local.test
      leave="[[relay.network]]
network = \"127.0.0.0/8\"
reason = \"the benchmark\"
[delivery]
max_connections = 50
allow_private = [\"198.18.0.0/15\"]" ;;
  esac
  printf '%s:%s\n' "user@$ours" '!' >"$PDIR/users"
  cat >"$PDIR/discard.lua" <<'E'
local postern = require "postern"
local match, act = postern.match, postern.act
postern.pipeline "root" {
  { when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  { act.discard("the benchmark's pit") },
}
E
  cat >"$PDIR/mailbox.lua" <<'E'
local postern = require "postern"
local match, act = postern.match, postern.act
postern.pipeline "root" {
  { when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  { when = match.recipient_is_local, act.deliver { folder = "INBOX" } },
  { act.bounce("5.7.1", "relaying denied") },
}
E
  cat >"$PDIR/relay.lua" <<'E'
local postern = require "postern"
local match, act = postern.match, postern.act
postern.pipeline "root" {
  { when = match.relay_limit(100), act.bounce("5.4.6", "mail loop") },
  { when = match.recipient_is_local, act.deliver { folder = "INBOX" } },
  { act.relay() },
}
E
  sed 's/"example.org"/"bench.test"/; s/^local LISTS = .*/local LISTS = {}/' "$POSTERN_TOP/scripts/gateway.lua" >"$PDIR/gateway.lua"
  local scripts="scripts = [\"$PDIR/$script.lua\"]" kind=
  [ "$script" != bare ] || scripts=
  [ -z "${leave%%kind*}" ] && [ -n "$leave" ] && : >"$PDIR/users"  # nobody has a mailbox here
  case $leave in kind*) kind=${leave%%$'\n'*} leave=${leave#*$'\n'} ;; esac
  cat >"$PDIR/postern.toml" <<E
[server]
hostname = "postern.bench.test"
state = "$PDIR/state"
user = "root"
[log]
file = "$PDIR/log"
[auth]
users_file = "$PDIR/users"
[[domain]]
name = "$ours"
$kind
[pipeline]
$scripts
[smtp]
max_connections_per_ip = 5000
max_messages = 10000000
max_commands = 1000000
max_session_bytes = "1024 GiB"
command_timeout = "20m"
[[smtp.listener]]
name = "mx"
role = "mx"
address = "127.0.0.1:$PEER_SMTP_PORT"
tls = "none"
[[smtp.listener]]
name = "lmtp"
role = "lmtp"
address = "127.0.0.1:$PEER_LMTP_PORT"
tls = "none"
$leave
E
  cg_bg "$POSTERN_BUILD/bin/postern" run --config "$PDIR/postern.toml" >"$PDIR/start.log" 2>&1
  POSTERN_PID=$CG_LAST
}
peer_stop() { kill "$POSTERN_PID" 2>/dev/null; wait "$POSTERN_PID" 2>/dev/null; }
peer_queued() {
  "$POSTERN_BUILD/bin/postern" --socket "$PDIR/state/control.sock" --json spool stats 2>/dev/null |
    python3 -c 'import json,sys; print(json.load(sys.stdin)["messages"])' 2>/dev/null || echo 0
}

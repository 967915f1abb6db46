#!/usr/bin/env bash
# Many destinations, some far away and some dead; and what a destination that never answers costs another. Postern beside
# Postfix, in a network namespace that has nothing but loopback and a wire that leads nowhere. Needs root, g++, nsd.
#   BENCH=/abs/path/to/shared/bench PEERS="postfix postern" ./run-destinations.sh [many|silent|all]
# many:   NEAR=10000 destinations DELAY=100 ms away and DEAD=1000 that answer no SYN, EACH=3 messages for each; until the
#         near ones have all, or CAP=180 seconds
# silent: COUNT=20000 messages for one destination, without and with BEFORE=2000 queued for one that answers no SYN, in PAIRS=5
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case ${1:-} in -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
: "${BENCH:?BENCH names the folder of the shared benchmark}"
if [ -z "${FAR_NAMESPACE:-}" ]; then exec env FAR_NAMESPACE=1 unshare -n "$0" "$@"; fi
CONTESTANTS=${CONTESTANTS:-"$here $here/far"}
. "$BENCH/lib.sh"
NEAR=${NEAR:-10000} DEAD=${DEAD:-1000} EACH=${EACH:-3} DELAY=${DELAY:-100} CAP=${CAP:-180}
COUNT=${COUNT:-20000} BEFORE=${BEFORE:-2000} PAIRS=${PAIRS:-5} SIZE=${SIZE:-4096}
bench_init
far=$STATE/far
g++ -O2 -std=c++20 -o "$far" "$here/far.cc" || exit 1

# 198.18.0.0/16 is this machine, every address of it; 198.19.0.0/16 is a neighbour that nobody is (RFC 2544 keeps both free).
ip link set lo up
ip route add local 198.18.0.0/16 dev lo
ip link add wire type veth peer name nowhere
ip link set wire up
ip link set nowhere up
ip address add 192.0.2.1/24 dev wire
ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:02 dev wire nud permanent
ip route add 198.19.0.0/16 via 192.0.2.2

zone() { # NAME PREFIX COUNT: an MX and an address for each
  printf '$ORIGIN %s.\n$TTL 3600\n@ SOA ns.%s. root.%s. 1 3600 600 86400 60\n@ NS ns.%s.\nns A 127.0.0.1\n' "$1" "$1" "$1" "$1"
  awk -v n="$3" -v p="$2" 'BEGIN{for(i=0;i<n;++i)printf "d%05d MX 10 mx.d%05d\nmx.d%05d A %s.%d.%d\n",i,i,i,p,int(i/250),i%250+1}'
}
zone near.test 198.18 "$NEAR" >"$STATE/near.zone"
zone dead.test 198.19 "$DEAD" >"$STATE/dead.zone"
cat >"$STATE/nsd.conf" <<C
server:
  ip-address: 127.0.0.1
  username: ""
  chroot: ""
  zonesdir: "$STATE"
  database: ""
  rrl-ratelimit: 0
  pidfile: "$STATE/nsd.pid"
  logfile: "$STATE/nsd.log"
  xfrdfile: "$STATE/xfrd"
  zonelistfile: "$STATE/zones"
remote-control:
  control-enable: no
zone:
  name: near.test
  zonefile: near.zone
zone:
  name: dead.test
  zonefile: dead.zone
C
nsd -d -c "$STATE/nsd.conf" &
NSD=$!
trap 'kill $NSD 2>/dev/null; bench_exit' EXIT
sleep 1

# load MESSAGES EXPECTED DELAY [OPTIONS OF far send]: sets r (what the client says) and s (the sink)
load() {
  local count=$1 expected=$2 delay=$3
  shift 3
  "$far" sink --count "$expected" --delay "$delay" --timeout "$CAP" >"$STATE/sink.json" &
  local sink=$!
  r=$("$far" send --port "$PEER_SMTP_PORT" --count "$count" --size "$SIZE" --timeout "$CAP" "$@")
  wait "$sink"
  s=$(cat "$STATE/sink.json")
}

many() {
  table "$NEAR destinations $DELAY ms away, $DEAD dead, $EACH messages each" peer "accepted/s" "relayed/s" arrived "p50 s" "p99 s" "max s" \
    connections "server CPU s/1000" "PSS MiB, processes" error
  local p total=$(((NEAR + DEAD) * EACH)) expected=$((NEAR * EACH)) before after
  for p in $(peers_with far); do
    load_peer "$p"
    start_peer far || continue
    wait_quiet
    before=$(cg_cpu_ns)
    load "$total" "$expected" "$DELAY" --near "$NEAR" --dead "$DEAD"
    after=$(cg_cpu_ns)
    local pss
    pss=$(cg_pss)
    row "$p" $(python3 -c "import json,sys;c,s=map(json.loads,sys.argv[1:]);print('%.0f %.0f %d/$expected %s %s %s %d %.3f %s'%(c['accepted']/(c['end']-c['start']),s['msgs']/max(1e-9,s['last']-c['start']),s['msgs'],s['p50'],s['p99'],s['max'],s['conns'],($after-$before)/1e6/max(1,s['msgs']),'$(awk '{printf "%.0f,%d",$1/1024,$2}' <<<"$pss")'))" "$r" "$s") "$(js "$r" error)"
    unload_peer
  done
}

silent() {
  table "One destination beside one that never answers, $BEFORE messages queued for it: pairs, alternating" peer "alone, relayed/s" "beside it" "median of the ratios" ratios
  local p k which rate
  for p in $(peers_with far); do
    local alone= beside= ratios= a=1
    for k in $(seq "$PAIRS"); do
      for which in $([ $((k % 2)) = 1 ] && echo "alone beside" || echo "beside alone"); do
        load_peer "$p"
        start_peer far || return
        [ "$which" = alone ] || "$far" send --port "$PEER_SMTP_PORT" --count "$BEFORE" --to u@d00000.dead.test --timeout 60 >/dev/null
        sleep 2
        wait_quiet
        load "$COUNT" "$COUNT" 0 --to u@d00000.near.test
        rate=$(python3 -c "import json,sys;c,s=map(json.loads,sys.argv[1:]);print('%.0f'%(s['msgs']/max(1e-9,s['last']-c['start'])))" "$r" "$s")
        if [ "$which" = alone ]; then alone="$alone $rate" a=$rate; else beside="$beside $rate" b=$rate; fi
        unload_peer
      done
      ratios="$ratios $(awk "BEGIN{printf \"%.3f\", $b/$a}")"
    done
    row "$p" "$(echo $alone)" "$(echo $beside)" "$(median $ratios)" "$(echo $ratios)"
  done
}

case ${1:-all} in
  many) many ;;
  silent) silent ;;
  all) many; silent ;;
  *) echo "many, silent or all (see --help)" >&2; exit 64 ;;
esac

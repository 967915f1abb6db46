#!/usr/bin/env bash
# Mail into a Maildir, timed until the last message lies in new/ and everything is synced; Postern beside the peers of
# the shared benchmark, whose folder is named by BENCH (its README says what it needs).
#   BENCH=/abs/path/to/shared/bench PEERS="postfix postern" ./run-maildir.sh
# COUNT=10000 messages  SIZE=4096 octets  CONNS=20  REPS=3  CAP=60 seconds until a run is given up
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case ${1:-} in -h | --help) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 0 ;; esac
CONTESTANTS=${CONTESTANTS:-$here}
. "${BENCH:?BENCH names the folder of the shared benchmark}/lib.sh"
COUNT=${COUNT:-10000} SIZE=${SIZE:-4096} CONNS=${CONNS:-20} REPS=${REPS:-3} CAP=${CAP:-60}
bench_init
table "Into a Maildir, to the last file and sync" peer conns size "accepted/s" "delivered/s (median)" runs arrived \
  "server CPU s/1000" "others' CPU %" errors
for p in $(peers_with maildir); do
  rates= others=
  for _ in $(seq "$REPS"); do
    load_peer "$p"
    start_peer maildir || break
    # The first mail makes the folder and the processes; it is not counted.
    "$LOAD" smtp --port "$PEER_SMTP_PORT" --rcpt "$PEER_RCPT" --pipeline "$PEER_PIPELINE" --conns "$CONNS" --count "$CONNS" --timeout 10 >/dev/null
    wait_drained 10
    wait_quiet
    before=$(cg_cpu_ns)
    others_begin
    python3 "$here/maildir_watch.py" "$PDIR" "$((COUNT + CONNS))" "$CAP" >"$STATE/watch.json" &
    watch=$!
    r=$("$LOAD" smtp --port "$PEER_SMTP_PORT" --rcpt "$PEER_RCPT" --pipeline "$PEER_PIPELINE" --conns "$CONNS" --per-conn 0 --size "$SIZE" --count "$COUNT" --timeout "$CAP")
    wait "$watch"
    after=$(cg_cpu_ns)
    others="$others $(others_end "$(js "$r" client_user)")"
    w=$(cat "$STATE/watch.json")
    x=$(python3 -c "import json,sys;c,w=map(json.loads,sys.argv[1:]);n=w['files']-$CONNS;print('%.1f %.3f %d'%(n/(w['end']-c['start']),($after-$before)/1e6/max(1,n),n))" "$r" "$w")
    read -r rate cpu arrived <<<"$x"
    rates="$rates $rate"
    unload_peer
  done
  [ -n "$rates" ] || continue
  row "$p" "$CONNS" "$SIZE" "$(js "$r" rate)" "$(median $rates)" "$(echo $rates)" "$arrived/$COUNT" "$cpu" "$(echo $others)" "$(js "$r" errors) $(js "$r" first_error)"
done

# Haraka with the filter of scripts/gateway.lua as a plugin of its own. What it takes it keeps nowhere (queue/discard).
. "$BENCH_DIR/peers/haraka.sh"
PEER_MODES="gateway"
eval "plain_$(declare -f peer_start)"
peer_start() {
  mkdir -p "$PDIR/plugins"
  cat >"$PDIR/plugins/gateway.js" <<'J'
exports.hook_mail = (next) => next(OK);
exports.hook_rcpt = (next, connection, params) =>
  params[0].host && params[0].host.toLowerCase() === 'bench.test' ? next(OK) : next(DENY, 'relaying denied');
exports.hook_data_post = (next, connection) => {
  const mail = connection.transaction;
  if (mail.header.get_all('received').length > 100) return next(DENY, 'mail loop');
  if (mail.data_bytes > 52428800) return next(DENY, 'message too big');
  next();
};
J
  printf '%s\n' gateway queue/discard >"$PDIR/gateway.plugins"
  (
    cg_bg() { :; }
    plain_peer_start discard
  )
  cp "$PDIR/gateway.plugins" "$PDIR/config/plugins"
  cg_bg env -C "$PDIR" YES_REALLY_DO_DISCARD=1 NODE_ENV=production node "$HARAKA/bin/haraka" -c "$PDIR" >"$PDIR/haraka.log" 2>&1
  HARAKA_PID=$CG_LAST
}

# Postfix for run-destinations.sh: as the shared benchmark sets it up, but by MX, with a DNS. POSTFIX_PROCESSES is how
# many deliveries it may have under way.
. "$BENCH_DIR/peers/postfix.sh"
PEER_MODES=far
eval "postfix_start() $(declare -f peer_start | sed 1d)"
peer_start() {
  # It starts once with the settings of mode "discard", which deliver nowhere; these are other.
  postfix_start discard || return
  postconf -c "$PDIR/etc" -e default_transport=smtp smtp_dns_support_level=enabled inet_interfaces=all smtp_host_lookup=dns
  cg_run postfix -c "$PDIR/etc" stop >/dev/null 2>&1
  cg_run postfix -c "$PDIR/etc" start >>"$PDIR/start.log" 2>&1
}

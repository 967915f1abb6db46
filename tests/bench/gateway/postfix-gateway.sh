# Postfix with the filter of scripts/gateway.lua, in its own words: mail for the domain behind is taken, stored, and waits;
# all else is refused; at most 50 MiB and 100 hops.
. "$BENCH_DIR/peers/postfix.sh"
PEER_MODES="gateway"
eval "plain_$(declare -f peer_start)"
peer_start() {
  plain_peer_start discard
  postconf -c "$PDIR/etc" -e mynetworks= relay_domains=bench.test smtpd_relay_restrictions=reject_unauth_destination \
    smtpd_recipient_restrictions=reject_unauth_destination,permit hopcount_limit=100 defer_transports=relay \
    default_transport=smtp local_recipient_maps= relay_recipient_maps= >>"$PDIR/start.log" 2>&1
  postfix -c "$PDIR/etc" reload >>"$PDIR/start.log" 2>&1
  sleep 1
}

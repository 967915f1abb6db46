// What an attempt comes to: each recipient's result, and the log of it.
#include "delivery_parts.h"

namespace postern::relay {

namespace {

// A source that is used up is so until midnight; but the queue keeps a destination closed as long, and other sources
// may lead there, too.
constexpr Duration kWarmUpWait = 10min;
constexpr std::uint64_t kSmall = 256 * 1024;  // octets; the time of larger messages says little about a site

AttemptResult::Kind kind_of(const Reply& reply) {
  return reply.permanent() ? AttemptResult::Kind::kRefused : AttemptResult::Kind::kDeferred;
}

}  // namespace

/// Of one transaction.
struct Delivery::Tally {
  std::vector<std::uint32_t> open;  // without a fate
  std::size_t delivered = 0, failed = 0, put_off = 0;
  const Reply* good = nullptr;  // the last of each
  const Reply* bad = nullptr;
  const Reply* later = nullptr;
};

void Delivery::settle(std::uint32_t recipient, AttemptResult::Kind kind, Reply reply, const std::string& host,
                      bool dsn_handed_on, bool reply_lost) {
  AttemptResult result;
  result.recipient = recipient;
  result.kind = kind;
  result.reply = std::move(reply);
  result.host = host;
  result.dsn_handed_on = dsn_handed_on;
  result.reply_lost = reply_lost;
  results_.push_back(std::move(result));
  RelayMetrics& metrics = courier_.parts.metrics;
  const unsigned worker = courier_.executor.index();
  if (kind == AttemptResult::Kind::kDelivered) metrics.delivered.add(worker);
  if (kind == AttemptResult::Kind::kDeferred) metrics.deferred.add(worker);
  if (kind == AttemptResult::Kind::kRefused) metrics.refused.add(worker);
  if (reply_lost) metrics.replies_lost.add(worker);
}

void Delivery::settle_all(const Reply& reply) {
  for (const std::uint32_t one : recipients_) settle(one, kind_of(reply), reply, {});
  courier_.log.info(reply.permanent() ? "relay.refused" : "relay.deferred", {{"id", request_.id.to_string()},
                                                                             {"domain", heading_.domain},
                                                                             {"recipients", recipients_.size()},
                                                                             {"code", reply.code},
                                                                             {"enhanced", reply.enhanced},
                                                                             {"why", reply.text}});
}

void Delivery::send_back(const std::vector<std::uint32_t>& recipients, const Admission& admission) {
  for (const std::uint32_t one : recipients) {
    AttemptResult result;
    result.recipient = one;
    result.reply = admission.why;
    result.retry_after = admission.later;
    result.attempted = false;
    results_.push_back(std::move(result));
  }
  courier_.parts.metrics.busy.add(courier_.executor.index(), recipients.size());
}

/// What came of one recipient; replies are those of the outcomes.
void Delivery::take_outcome(Batch& batch, const std::string& host, std::uint32_t who, const Outcome& one,
                            bool maybe_sent, Tally& tally) {
  const bool doubtful = batch.may_be_served(who);
  if (one.kind == Outcome::Kind::kNone || one.kind == Outcome::Kind::kTooMany) {
    tally.open.push_back(who);
    if (one.kind == Outcome::Kind::kNone && maybe_sent && !doubtful) batch.maybe_served.push_back(who);
    return;
  }
  if (one.kind == Outcome::Kind::kPutOff && !doubtful) {
    batch.put_off.insert_or_assign(who, Batch::Failed{one.reply, host, true});
    batch.waiting.push_back(who);
    tally.later = &one.reply;
    ++tally.put_off;
    return;
  }
  const bool well = one.kind == Outcome::Kind::kDelivered;
  const bool lost = one.kind == Outcome::Kind::kReplyLost || (doubtful && !well);
  ++(well ? tally.delivered : tally.failed);
  (well ? tally.good : tally.bad) = &one.reply;
  settle(who,
         well                                  ? AttemptResult::Kind::kDelivered
         : one.kind == Outcome::Kind::kRefused ? AttemptResult::Kind::kRefused
                                               : AttemptResult::Kind::kDeferred,
         one.reply, host, one.dsn_handed_on, lost);
}

void Delivery::take_outcomes(Batch& batch, const Hop& hop, const Mail& mail, const Sent& sent,
                             const Connection& connection, bool reused, Duration took) {
  RelayMetrics& metrics = courier_.parts.metrics;
  const unsigned worker = courier_.executor.index();
  if (sent.heard) {
    reached_ = true;
    metrics.transactions.add(worker);
    metrics.transaction_seconds.observe(worker, took);
    if (reused) metrics.reused.add(worker);
    if (content_->size() <= kSmall) took_ = std::max(took_, took);
  }
  const std::string host = hop.name();
  // An idle connection on which the host said nothing more had ended: that is no answer that was lost.
  const bool was_idle = reused && !sent.heard;
  Tally tally;
  for (std::size_t at = 0; at < sent.outcomes.size(); ++at)
    take_outcome(batch, host, mail.recipients[at], sent.outcomes[at], sent.maybe_sent, tally);
  std::vector<std::uint32_t>& open = tally.open;
  open.insert(open.end(), batch.open.begin() + static_cast<long>(mail.recipients.size()), batch.open.end());
  batch.open = std::move(open);
  if (tally.good) metrics.octets.add(worker, content_->size());
  if (tally.good) log_result("relay.delivered", batch, hop, connection, tally.delivered, *tally.good, reused, took);
  if (tally.bad)
    log_result(tally.bad->permanent() ? "relay.refused" : "relay.deferred", batch, hop, connection, tally.failed,
               *tally.bad, reused, took);
  if (tally.later) log_result("relay.put_off", batch, hop, connection, tally.put_off, *tally.later, reused, took);
  if (!sent.usable) batch.failed(sent.failure, host, true);
  batch.answered |= tally.later || sent.failure.code == 421;
  if (!was_idle && sent.maybe_sent) settle_doubtful(batch, host);
  if (!sent.usable && tally.delivered == 0) troubled_ = true;
}

void Delivery::log_result(std::string_view event, const Batch& batch, const Hop& hop, const Connection& connection,
                          std::size_t count, const Reply& reply, bool reused, Duration took) const {
  if (!courier_.log.enabled(LogLevel::kInfo)) return;
  const TlsInfo& tls = connection.tls_info();
  courier_.log.info(event, {{"id", request_.id.to_string()},
                            {"host", hop.target.name},
                            {"ip", hop.address},
                            {"route", way_->route},
                            {"recipients", count},
                            {"size", content_->size()},
                            {"tls", tls.version},
                            {"tls_policy", to_string(hop.target.tls.level)},
                            {"tls_source", to_string(hop.target.tls.source)},
                            {"verified", tls.verified != TlsVerified::kNo},
                            {"reused", reused},
                            {"tries", batch.tries},
                            {"took", took},
                            {"code", reply.code},
                            {"enhanced", reply.enhanced},
                            {"reply", reply.text}});
}

/// Whom a host may have served without our hearing of it is for no other one.
void Delivery::settle_doubtful(Batch& batch, const std::string& host) {
  const std::string why = batch.temporary ? batch.temporary->why.text : std::string("the connection broke");
  for (const std::uint32_t one : std::exchange(batch.maybe_served, {})) {
    if (std::erase(batch.open, one) == 0) continue;
    settle(one, AttemptResult::Kind::kDeferred, {451, "4.4.2", "all was sent, and the reply did not come: " + why},
           host, false, true);
  }
}

/// No host is left for them. Those of whom the same was said share a line of the log.
void Delivery::settle_rest(Batch& batch) {
  std::ranges::sort(batch.open);
  if (batch.used_up) {
    const Reply why{451, "4.4.5", "our addresses have sent what they may send today (warm_up)"};
    if (batch.tries == 0) {
      const Duration left = until_midnight(courier_.executor.wall());
      return send_back(batch.open, {.later = std::min<Duration>(left + 1s, kWarmUpWait), .why = why});
    }
    if (!batch.temporary) batch.failed(why, heading_.domain, false);
  }
  while (!batch.open.empty()) {
    const Batch::Failed* last = batch.last_word(batch.open.front());
    const auto same = [&](std::uint32_t who) {
      const Batch::Failed* word = batch.last_word(who);
      return word == last || (word && last && word->why == last->why && word->host == last->host);
    };
    Reply why = last ? last->why : Reply{451, "4.4.1", "no host could be tried"};
    // Who was not reached has said nothing: he is named in our own words (AttemptResult::host).
    const std::string host = last && last->reached ? last->host : std::string();
    if (last && !last->reached && why.text.find(last->host) == why.text.npos) why.text = last->host + ": " + why.text;
    std::size_t count = 0;
    for (const std::uint32_t one : batch.open) {
      if (!same(one)) continue;
      settle(one, kind_of(why), why, host);
      ++count;
    }
    courier_.log.info(why.permanent() ? "relay.refused" : "relay.deferred", {{"id", request_.id.to_string()},
                                                                             {"domain", heading_.domain},
                                                                             {"host", last ? last->host : host},
                                                                             {"recipients", count},
                                                                             {"tries", batch.tries},
                                                                             {"code", why.code},
                                                                             {"enhanced", why.enhanced},
                                                                             {"why", why.text}});
    std::erase_if(batch.open, same);
  }
}

}  // namespace postern::relay

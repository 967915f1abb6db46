#include "delivery.h"

#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "courier.h"

namespace postern::relay {

namespace {

constexpr std::uint64_t kSmall = 256 * 1024;  // octets; the time of larger messages says little about a site

AttemptResult::Kind kind_of(const Reply& reply) {
  return reply.permanent() ? AttemptResult::Kind::kRefused : AttemptResult::Kind::kDeferred;
}

/// Leaves a site on every way out; what nobody said is said as nothing.
class Visit {
 public:
  explicit Visit(Site& site) : site_(&site) {}
  ~Visit() {
    if (site_) site_->leave();
  }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  Site* end() { return std::exchange(site_, nullptr); }

 private:
  Site* site_;
};

}  // namespace

struct Delivery::Batch {
  std::vector<std::uint32_t> open;  // recipients without a fate
  DotMark mark;
  Address sender;
  unsigned tries = 0;
  struct Failed {
    Reply why;
    std::string host;
    bool reached;  // it was connected to
  };
  std::optional<Failed> temporary, permanent;  // of the hosts that failed the last of each class
  bool maybe_sent = false;                     // all of it left once, without an answer

  void failed(const Reply& why, std::string host, bool reached) {
    (why.permanent() ? permanent : temporary) = Failed{why, std::move(host), reached};
  }
};

struct Delivery::Hop {
  const Target& target;
  Endpoint to;
  std::string address;  // as text
  std::optional<IpAddress> source;
  std::string ehlo;
  std::string key;  // of the pool; empty: such connections are not shared
  bool plaintext = false;

  /// "mx.example.org [192.0.2.1]"; of a literal or a Unix socket its name alone.
  std::string name() const {
    return to.is_unix() || target.name.starts_with('[') ? target.name : target.name + " [" + address + "]";
  }
};

Delivery::Delivery(Courier& courier, const AttemptRequest& request, Heading heading)
    : courier_(courier), request_(request), heading_(std::move(heading)) {}

Delivery::~Delivery() = default;

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

void Delivery::send_back(const Admission& admission) {
  for (const std::uint32_t one : recipients_) {
    AttemptResult result;
    result.recipient = one;
    result.reply = admission.why;
    result.retry_after = admission.later;
    result.attempted = false;
    results_.push_back(std::move(result));
  }
  courier_.parts.metrics.busy.add(courier_.executor.index(), recipients_.size());
}

Task<void> Delivery::run() {
  std::string broke;
  try {
    co_await go();
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    broke = error.what();
  }
  if (broke.empty()) co_return;
  courier_.log.error("relay.error", {{"id", request_.id.to_string()}, {"domain", heading_.domain}, {"why", broke}});
  for (const std::uint32_t one : recipients_)
    if (std::ranges::find(results_, one, &AttemptResult::recipient) == results_.end())
      settle(one, AttemptResult::Kind::kDeferred, {451, "4.3.0", "an error here: " + broke}, {});
}

Task<void> Delivery::go() {
  const TimeoutSettings& timeout = courier_.outbound.settings.timeout;
  way_ = co_await courier_.ways.find(heading_, Deadline::after(timeout.dns));
  if (way_->dead_end) co_return settle_all(*way_->dead_end);
  const std::shared_ptr<Site> site = courier_.sites.of(way_->site, heading_.route);
  const Admission admission = co_await site->enter(Deadline::after(timeout.line));
  if (!admission.go) co_return send_back(admission);
  Visit visit(*site);
  co_await carry();
  if (troubled_)
    visit.end()->leave_troubled();
  else if (reached_)
    visit.end()->leave_well(took_);
  else if (unreached_ && tried_)
    visit.end()->leave_failed(*unreached_);
  else if (unreached_)
    visit.end()->leave_untried(*unreached_);
}

Task<void> Delivery::carry() {
  auto reader = co_await courier_.parts.spool.open(courier_.executor, request_.id);
  if (!reader) co_return settle_all({451, "4.3.0", "the message cannot be read: " + reader.error().code});
  auto content = Content::make(std::move(*reader), request_.step);
  if (!content) co_return settle_all({451, "4.3.0", "the message cannot be read: " + content.error().code});
  content_.emplace(std::move(*content));
  if (heading_.route && (heading_.route->settings.xclient || heading_.route->settings.proxy != ProxyHeader::kNone)) {
    if (auto client = ClientInfo::decode(content_->client())) client_.emplace(std::move(*client));
  }
  std::vector<std::uint32_t> left = recipients_;
  while (!left.empty()) {
    std::vector<std::uint32_t> some = next_batch(left);
    const bool everyone = some.size() == request_.envelope.recipients.size();
    const bool verp = heading_.route && heading_.route->settings.verp;
    Batch batch{.open = some,
                .mark = DotMark(courier_.parts.spool, courier_.executor, request_.id, some, everyone, request_.gate),
                .sender = verp ? verp_sender(request_.envelope.sender, request_.envelope.recipients[some[0]].address)
                               : request_.envelope.sender};
    co_await try_hosts(batch);
    settle_rest(batch);
  }
}

std::vector<std::uint32_t> Delivery::next_batch(std::vector<std::uint32_t>& left) const {
  const RouteSettings* route = heading_.route ? &heading_.route->settings : nullptr;
  std::size_t count =
      route && route->max_recipients ? *route->max_recipients : courier_.outbound.settings.max_recipients;
  if (route && route->verp) count = 1;
  count = std::min(count, left.size());
  const std::vector<std::uint32_t> some(left.begin(), left.begin() + static_cast<long>(count));
  left.erase(left.begin(), left.begin() + static_cast<long>(count));
  return some;
}

/// The hosts by preference; equal ones in another order each time (RFC 5321 §5.1). Configured ones as they stand.
std::vector<std::size_t> Delivery::host_order() const {
  const auto& hosts = way_->hosts;
  std::vector<std::size_t> order(hosts.size());
  for (std::size_t at = 0; at < order.size(); ++at) order[at] = at;
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin + 1;
    while (end < order.size() && hosts[end].from_mx && hosts[begin].from_mx &&
           hosts[end].host.preference == hosts[begin].host.preference)
      ++end;
    for (std::size_t left = end - begin; left > 1; --left)
      std::swap(order[begin + left - 1], order[begin + courier_.executor.random() % left]);
    begin = end;
  }
  return order;
}

Task<void> Delivery::try_hosts(Batch& batch) {
  const Deadline dns = Deadline::after(courier_.outbound.settings.timeout.dns);
  for (const std::size_t number : host_order()) {
    const auto target = co_await courier_.ways.target(*way_, number, request_.envelope.require_tls, dns);
    if (target->dead_end) {
      // We are this host: what is no better than us must not be tried, but what failed before may come back.
      if (!target->loop || batch.tries == 0) batch.failed(*target->dead_end, target->name, false);
      if (target->loop) co_return;
      continue;
    }
    if (!co_await try_target(batch, *target)) co_return;
  }
}

/// False when no further host is to be tried.
Task<bool> Delivery::try_target(Batch& batch, const Target& target) {
  for (const Endpoint& to : target.endpoints) {
    if (batch.open.empty() || batch.tries >= courier_.outbound.settings.max_hosts) co_return false;
    Hop hop{.target = target,
            .to = to,
            .address = to.is_unix() ? to.path : to.ip.to_string(),
            .ehlo = courier_.outbound.ehlo()};
    if (const auto down = courier_.sites.unreachable(to.to_string())) {
      batch.failed(*down, hop.name(), false);
      if (!unreached_) unreached_ = *down;
      continue;
    }
    const SourceSettings* source = to.is_unix() ? nullptr : courier_.choose_source(way_->source_pool, to.ip.is_v6());
    if (way_->source && !to.is_unix()) {
      if (way_->source->is_v6() != to.ip.is_v6()) continue;
      hop.source = way_->source;
      for (const SourceSettings& one : courier_.outbound.settings.sources)
        if (one.address == *hop.source && !one.ehlo.empty()) hop.ehlo = one.ehlo;
    } else if (source) {
      hop.source = source->address;
      if (!source->ehlo.empty()) hop.ehlo = source->ehlo;
    }
    if (!client_)
      hop.key = fmt::format("{}|{}|{}|{}|{}|{}", to.to_string(), hop.source ? hop.source->to_string() : "", hop.ehlo,
                            target.tls.key, way_->credentials, way_->protocol == Protocol::kLmtp ? "lmtp" : "");
    ++batch.tries;
    tried_ = true;
    co_await try_address(batch, std::move(hop));
  }
  co_return !batch.open.empty();
}

/// Talks to one address until it has decided about everybody or fails. Several transactions when it limits them.
Task<void> Delivery::try_address(Batch& batch, Hop hop) {
  bool may_reuse = !hop.key.empty();
  while (!batch.open.empty()) {
    const std::size_t before = batch.open.size();
    std::unique_ptr<Connection> connection;
    if (may_reuse) connection = courier_.pool.take(hop.key);
    const bool reused = connection != nullptr;
    if (!reused) connection = co_await connect(batch, hop);
    if (!connection) co_return;
    co_await hand_over(batch, hop, connection);
    const bool progress = batch.open.size() < before;
    if (connection) keep_or_end(hop, std::move(connection));
    if (!progress && !reused) co_return;
    may_reuse &= progress;  // an idle connection that was dead is no failure of the host: once more, with a new one
  }
}

Opening Delivery::opening_for(const Hop& hop) const {
  Opening opening{.outbound = courier_.outbound,
                  .way = *way_,
                  .target = hop.target,
                  .policies = courier_.parts.policies,
                  .to = hop.to,
                  .source = hop.source,
                  .ehlo = hop.ehlo,
                  .login = courier_.outbound.credentials.find(way_->credentials),
                  .client = client_ ? &*client_ : nullptr,
                  .plaintext = hop.plaintext};
  if (heading_.route) {
    opening.proxy = heading_.route->settings.proxy;
    opening.xclient = heading_.route->settings.xclient;
  }
  return opening;
}

Task<std::unique_ptr<Connection>> Delivery::connect(Batch& batch, Hop& hop) {
  RelayMetrics& metrics = courier_.parts.metrics;
  const unsigned worker = courier_.executor.index();
  const DeliverySettings& settings = courier_.outbound.settings;
  while (true) {
    const Instant began = courier_.executor.now();
    auto connection =
        std::make_unique<Connection>(courier_.executor, settings.timeout, way_->protocol, settings.single_flight.bytes);
    auto failed = co_await connection->open(opening_for(hop));
    if (!failed) {
      courier_.sites.reached(hop.to.to_string());
      reached_ = true;
      metrics.connections.add(worker);
      if (connection->secure()) metrics.tls_sessions.add(worker);
      metrics.connect_seconds.observe(worker, courier_.executor.now() - began);
      co_return connection;
    }
    metrics.connect_failures.add(worker);
    courier_.log.info("relay.no_connection", {{"id", request_.id.to_string()},
                                              {"host", hop.target.name},
                                              {"ip", hop.address},
                                              {"code", failed->reply.code},
                                              {"enhanced", failed->reply.enhanced},
                                              {"why", failed->reply.text},
                                              {"tls_policy", to_string(hop.target.tls.level)},
                                              {"retry_plaintext", failed->retry_plaintext}});
    if (failed->retry_plaintext && !hop.plaintext) {
      hop.plaintext = true;
      metrics.plaintext_fallbacks.add(worker);
      continue;
    }
    if (failed->stage == Connection::Stage::kConnect)
      courier_.sites.failed(hop.to.to_string(), failed->reply);
    else
      courier_.sites.reached(hop.to.to_string());
    if (!failed->reply.permanent()) unreached_ = failed->reply;
    batch.failed(failed->reply, hop.name(), failed->stage != Connection::Stage::kConnect);
    co_return nullptr;
  }
}

/// Who goes with the next transaction, as far as the host's limits let them (RFC 9422).
static std::size_t portion(const std::vector<std::uint32_t>& open, const Envelope& envelope, const Capabilities& can) {
  std::size_t count = std::min<std::size_t>(open.size(), can.rcpt_max.value_or(~0U));
  if (!can.rcpt_domain_max) return count;
  std::vector<std::string_view> domains;
  for (std::size_t at = 0; at < count; ++at) {
    const std::string_view domain = envelope.recipients[open[at]].address.domain().ascii();
    if (std::ranges::find(domains, domain) != domains.end()) continue;
    if (domains.size() == *can.rcpt_domain_max) return at;
    domains.push_back(domain);
  }
  return count;
}

Task<void> Delivery::hand_over(Batch& batch, Hop& hop, std::unique_ptr<Connection>& connection) {
  const std::size_t count = portion(batch.open, request_.envelope, connection->capabilities());
  Mail mail{.id = request_.id,
            .envelope = request_.envelope,
            .sender = batch.sender,
            .recipients = {batch.open.begin(), batch.open.begin() + static_cast<long>(count)},
            .content = *content_,
            .mark = batch.mark,
            .now = courier_.executor.wall(),
            .xforward = heading_.route && heading_.route->settings.xforward};
  const bool reused = connection->messages() > 0;
  const Instant began = courier_.executor.now();
  const Sent sent = co_await connection->send(mail);
  const Duration took = courier_.executor.now() - began;
  take_outcomes(batch, hop, mail, sent, *connection, reused, took);
  if (!sent.usable) connection.reset();
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
  std::size_t delivered = 0, failed = 0;
  const Reply* good = nullptr;
  const Reply* bad = nullptr;
  std::vector<std::uint32_t> open;
  for (std::size_t at = 0; at < sent.outcomes.size(); ++at) {
    const Outcome& one = sent.outcomes[at];
    const std::uint32_t who = mail.recipients[at];
    if (one.kind == Outcome::Kind::kNone || one.kind == Outcome::Kind::kTooMany) {
      open.push_back(who);
      continue;
    }
    const bool well = one.kind == Outcome::Kind::kDelivered;
    const bool lost = one.kind == Outcome::Kind::kReplyLost || (batch.maybe_sent && !well);
    ++(well ? delivered : failed);
    (well ? good : bad) = &one.reply;
    settle(who,
           well                                  ? AttemptResult::Kind::kDelivered
           : one.kind == Outcome::Kind::kRefused ? AttemptResult::Kind::kRefused
                                                 : AttemptResult::Kind::kDeferred,
           one.reply, host, one.dsn_handed_on, lost);
  }
  open.insert(open.end(), batch.open.begin() + static_cast<long>(mail.recipients.size()), batch.open.end());
  batch.open = std::move(open);
  batch.maybe_sent |= sent.maybe_sent;
  if (good) metrics.octets.add(worker, content_->size());
  if (good) log_result("relay.delivered", batch, hop, connection, delivered, *good, reused, took);
  if (bad)
    log_result(bad->permanent() ? "relay.refused" : "relay.deferred", batch, hop, connection, failed, *bad, reused,
               took);
  if (!sent.usable) batch.failed(sent.failure, host, true);
  if (!sent.usable && delivered == 0) troubled_ = true;
}

void Delivery::log_result(std::string_view event, const Batch& batch, const Hop& hop, const Connection& connection,
                          std::size_t count, const Reply& reply, bool reused, Duration took) const {
  if (!courier_.log.enabled(LogLevel::kInfo)) return;
  const TlsInfo tls = connection.tls_info();
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

void Delivery::keep_or_end(Hop& hop, std::unique_ptr<Connection> connection) {
  const Capabilities& can = connection->capabilities();
  const std::uint32_t most =
      std::min(courier_.outbound.settings.max_messages_per_connection, can.mail_max.value_or(~0U));
  if (hop.key.empty() || connection->messages() >= most || !connection->usable())
    courier_.pool.retire(std::move(connection));
  else
    courier_.pool.put(hop.key, std::move(connection));
}

/// No host is left. One that may mend decides before one that refused for good.
void Delivery::settle_rest(Batch& batch) {
  if (batch.open.empty()) return;
  const auto& last = batch.temporary ? batch.temporary : batch.permanent;
  Reply why = last ? last->why : Reply{451, "4.4.1", "no host could be tried"};
  // Who was not reached has said nothing: he is named in our own words (AttemptResult::host).
  const std::string host = last && last->reached ? last->host : std::string();
  if (last && !last->reached && why.text.find(last->host) == why.text.npos) why.text = last->host + ": " + why.text;
  for (const std::uint32_t one : batch.open) settle(one, kind_of(why), why, host, false, batch.maybe_sent);
  courier_.log.info(why.permanent() ? "relay.refused" : "relay.deferred", {{"id", request_.id.to_string()},
                                                                           {"domain", heading_.domain},
                                                                           {"host", last ? last->host : host},
                                                                           {"recipients", batch.open.size()},
                                                                           {"tries", batch.tries},
                                                                           {"code", why.code},
                                                                           {"enhanced", why.enhanced},
                                                                           {"why", why.text}});
}

}  // namespace postern::relay

// Where an attempt goes; what comes of it is in delivery_outcomes.cc.
#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "delivery_parts.h"

namespace postern::relay {

namespace {

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

/// Gives the count of a message back that no transaction has used, on every way out.
class Delivery::Counted {
 public:
  Counted(Courier& courier, const Hop& hop) : courier_(courier), hop_(hop) {}
  ~Counted() {
    if (hop_.counted) courier_.parts.warm_up.give_back(*hop_.counted, hop_.counted_at);
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  Courier& courier_;
  const Hop& hop_;
};

Delivery::Delivery(Courier& courier, const AttemptRequest& request, Heading heading)
    : courier_(courier), request_(request), heading_(std::move(heading)) {}

Delivery::~Delivery() = default;

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
  if (!admission.go) co_return send_back(recipients_, admission);
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
  for (std::size_t at = 0; at < recipients_.size();) {
    const std::vector<std::uint32_t> some = next_batch(at);
    at += some.size();
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

/// Those from that place on who fit into one transaction by our own limits.
std::vector<std::uint32_t> Delivery::next_batch(std::size_t at) const {
  const RouteSettings* route = heading_.route ? &heading_.route->settings : nullptr;
  std::size_t count =
      route && route->max_recipients ? *route->max_recipients : courier_.outbound.settings.max_recipients;
  if (route && route->verp) count = 1;
  const auto begin = recipients_.begin() + static_cast<long>(at);
  return {begin, begin + static_cast<long>(std::min(count, recipients_.size() - at))};
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
    if (!batch.wants_host(courier_.outbound.settings)) co_return false;
    Hop hop{.target = target,
            .to = to,
            .address = to.is_unix() ? to.path : to.ip.to_string(),
            .ehlo = courier_.outbound.ehlo()};
    if (const auto down = courier_.sites.unreachable(to.to_string())) {
      batch.failed(*down, hop.name(), false);
      if (!unreached_) unreached_ = *down;
      continue;
    }
    if (!to.is_unix() && !take_source(batch, hop)) continue;
    if (!client_)
      hop.key = fmt::format("{}|{}|{}|{}|{}|{}", to.to_string(), hop.source ? hop.source->to_string() : "", hop.ehlo,
                            target.tls.key, way_->credentials, way_->protocol == Protocol::kLmtp ? "lmtp" : "");
    ++batch.tries;
    tried_ = true;
    const std::string name = hop.name();
    co_await try_address(batch, std::move(hop));
    settle_doubtful(batch, name);
    batch.leave_host();
  }
  co_return batch.wants_host(courier_.outbound.settings);
}

/// Which address of ours the host will see. False: none is left for it.
bool Delivery::take_source(Batch& batch, Hop& hop) {
  const bool v6 = hop.to.ip.is_v6();
  if (way_->source && way_->source->is_v6() != v6) return false;
  const SourceChoice choice =
      way_->source ? courier_.named_source(*way_->source) : courier_.choose_source(way_->source_pool, v6);
  batch.used_up |= choice.used_up;
  if (choice.used_up) return false;
  hop.source = way_->source;
  hop.chosen = hop.counted = choice.source;
  hop.counted_at = courier_.executor.wall();
  if (!choice.source) return true;
  hop.source = choice.source->address;
  if (!choice.source->ehlo.empty()) hop.ehlo = choice.source->ehlo;
  return true;
}

/// Talks to one address until it has decided about everybody or fails. Several transactions when it limits them.
Task<void> Delivery::try_address(Batch& batch, Hop hop) {
  const Counted counted(courier_, hop);
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
    if (!progress) hop.counted = hop.chosen;  // nothing left by the idle connection that was dead
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
    batch.answered |= failed->said && failed->reply.temporary();
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
  // The first is counted already; a host that takes few recipients at a time gets the rest, share or not.
  if (!std::exchange(hop.counted, nullptr) && hop.chosen)
    (void)courier_.parts.warm_up.take(*hop.chosen, courier_.executor.wall());
  const Instant began = courier_.executor.now();
  const Sent sent = co_await connection->send(mail);
  const Duration took = courier_.executor.now() - began;
  take_outcomes(batch, hop, mail, sent, *connection, reused, took);
  if (!sent.usable) connection.reset();
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

}  // namespace postern::relay

#include "courier.h"

#include <algorithm>
#include <map>

#include "delivery.h"
#include "postern/nursery.h"

namespace postern::relay {

RelayMetrics::RelayMetrics(Metrics& m)
    : connections(m.counter("postern_relay_connections_total", "Connections to other servers that were made.")),
      connect_failures(m.counter("postern_relay_connect_failures_total",
                                 "Connections that failed before the first message: TCP, greeting, TLS, log-in.")),
      reused(m.counter("postern_relay_reused_total", "Messages that went over a connection that stood already.")),
      tls_sessions(m.counter("postern_relay_tls_sessions_total", "Connections that were made with TLS.")),
      plaintext_fallbacks(m.counter("postern_relay_plaintext_fallbacks_total",
                                    "Connections without TLS after a handshake that failed.")),
      transactions(m.counter("postern_relay_transactions_total", "Mail transactions with other servers.")),
      delivered(m.counter("postern_relay_delivered_total", "Recipients that other servers took over.")),
      deferred(m.counter("postern_relay_deferred_total", "Recipients that have to be tried again.")),
      refused(m.counter("postern_relay_refused_total", "Recipients that were refused for good.")),
      busy(m.counter("postern_relay_busy_total",
                     "Recipients that were sent back untried: their site had all it may have, or is left alone.")),
      replies_lost(m.counter("postern_relay_replies_lost_total",
                             "Recipients whose mail was sent whole, and whose last reply did not come.")),
      octets(m.counter("postern_relay_sent_bytes_total", "Octets of messages in transactions that ended well.")),
      connect_seconds(
          m.histogram("postern_relay_connect_seconds", "From TCP to readiness for mail.", HistogramScale::kSeconds)),
      transaction_seconds(
          m.histogram("postern_relay_transaction_seconds", "From MAIL to the last reply.", HistogramScale::kSeconds)) {}

Courier::Courier(Executor& on, Log its_log, CourierParts its_parts)
    : executor(on),
      log(std::move(its_log)),
      parts(std::move(its_parts)),
      outbound(*parts.outbound),
      ways(on, parts.dns, parts.policies, parts.outbound),
      sites(on, *parts.outbound),
      pool(on, parts.outbound->settings),
      random_(on.random()) {}

SourceChoice Courier::choose_source(const std::string& pool_name, bool v6) {
  const std::string_view wanted = pool_name.empty() ? "default" : std::string_view(pool_name);
  std::vector<const SourceSettings*> some;
  std::uint64_t weights = 0;
  for (const SourceSettings& one : outbound.settings.sources) {
    if (one.pool != wanted || one.address.is_v6() != v6 || one.weight == 0) continue;
    some.push_back(&one);
    weights += one.weight;
  }
  if (some.empty()) return {};
  while (!some.empty()) {
    std::uint64_t at = random_.below(weights);
    auto which = some.begin();
    for (; at >= (*which)->weight; ++which) at -= (*which)->weight;
    if (parts.warm_up.take(**which, executor.wall())) return {.source = *which};
    weights -= (*which)->weight;
    some.erase(which);
  }
  note_used_up(wanted);
  return {.used_up = true};
}

SourceChoice Courier::named_source(const IpAddress& address) {
  const SourceSettings* found = nullptr;
  for (const SourceSettings& one : outbound.settings.sources)
    if (one.address == address && (!found || found->ehlo.empty())) found = &one;
  if (!found || parts.warm_up.take(*found, executor.wall())) return {.source = found};
  note_used_up(found->pool);
  return {.used_up = true};
}

/// Once a day: that mail waits for it stands in the queue's log, message by message.
void Courier::note_used_up(std::string_view name) {
  const UtcDay today = utc_day(executor.wall());
  if (std::exchange(told_, today) != today) log.warn("relay.warm_up", {{"pool", name}, {"day", day_text(today)}});
}

namespace {

/// Carries one group after the other until none is left; several of these run at a time.
Task<void> carry(std::vector<std::unique_ptr<Delivery>>& groups, std::size_t& next) {
  while (next < groups.size()) {
    Delivery& one = *groups[next++];
    co_await one.run();
  }
}

}  // namespace

Task<std::vector<AttemptResult>> Courier::attempt(AttemptRequest request) {
  std::vector<std::unique_ptr<Delivery>> groups;
  std::map<std::string, Delivery*> by_key;
  for (const std::uint32_t one : request.recipients) {
    Heading heading = ways.heading(request.envelope.sender, request.envelope.recipients[one].address, request.step);
    auto [found, fresh] = by_key.try_emplace(heading.key, nullptr);
    if (fresh) {
      groups.push_back(std::make_unique<Delivery>(*this, request, std::move(heading)));
      found->second = groups.back().get();
    }
    found->second->add(one);
  }
  if (groups.size() == 1) {
    co_await groups.front()->run();
    co_return groups.front()->take_results();
  }
  Nursery nursery(executor, CancelToken((co_await this_context()).cancel));
  std::size_t next = 0;
  for (std::size_t at = 0; at < std::min(kParallel, groups.size()); ++at) nursery.spawn(carry(groups, next));
  co_await nursery.join();
  std::vector<AttemptResult> all;
  for (auto& group : groups)
    for (AttemptResult& result : group->take_results()) all.push_back(std::move(result));
  // The children keep a cancellation to themselves. What is cut short is no attempt, whatever some of it came to.
  if (nursery.cancelled() && all.size() < request.recipients.size()) throw Cancelled();
  co_return all;
}

}  // namespace postern::relay

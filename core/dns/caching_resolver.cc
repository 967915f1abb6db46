#include "core/dns/caching_resolver.h"

#include <utility>

#include "core/dns/cares_wire.h"
#include "core/dns/name.h"
#include "postern/executor.h"

namespace postern::dns {
namespace {

Cache::Limits cache_limits(const DnsSettings& settings) {
  return {.entries = settings.cache_entries,
          .bytes = settings.cache_bytes,
          .min_ttl = settings.min_ttl,
          .max_ttl = settings.max_ttl,
          .max_negative_ttl = settings.max_negative_ttl,
          .failure_ttl = settings.failure_ttl};
}

DnsAnswer answer_of(DnsStatus status, std::string name, std::string detail) {
  DnsAnswer out;
  out.status = status;
  out.canonical_name = std::move(name);
  out.detail = std::move(detail);
  return out;
}

}  // namespace

CachingResolver::CachingResolver(Executor& executor, const DnsSettings& settings, std::unique_ptr<Wire> wire)
    : Resolver(executor),
      max_outstanding_(settings.max_outstanding),
      cache_(cache_limits(settings)),
      wire_(std::move(wire)) {}

CachingResolver::~CachingResolver() = default;

// Not a coroutine: an answer from the cache needs no frame.
Task<DnsAnswer> CachingResolver::query(std::string name, RecordType type, Deadline deadline) {
  ++stats_.questions;
  std::optional<std::string> normal = normalise_name(name);
  if (!normal) return Task<DnsAnswer>::ready(answer_of(DnsStatus::kNxDomain, std::move(name), "not a domain name"));
  std::string key = Cache::key(*normal, type);
  if (std::optional<DnsAnswer> known = cache_.find(key, executor_.now())) {
    ++stats_.hits;
    return Task<DnsAnswer>::ready(*std::move(known));
  }
  if (auto flight = flights_.find(key); flight != flights_.end()) {
    ++stats_.coalesced;
    return await_flight(flight->second, deadline);
  }
  if (flights_.size() >= max_outstanding_) {
    ++stats_.overloaded;
    return Task<DnsAnswer>::ready(answer_of(DnsStatus::kOverloaded, *std::move(normal), "too many DNS questions"));
  }
  return await_flight(launch(std::move(key), *normal, type), deadline);
}

std::shared_ptr<CachingResolver::Flight> CachingResolver::launch(std::string key, const std::string& name,
                                                                 RecordType type) {
  ++stats_.sent;
  auto flight = std::make_shared<Flight>();
  flight->answer.canonical_name = name;
  flights_.emplace(key, flight);
  wire_->send(name, type, [this, key = std::move(key)](DnsAnswer answer) { land(key, std::move(answer)); });
  return flight;
}

void CachingResolver::land(const std::string& key, DnsAnswer answer) {
  auto found = flights_.find(key);
  if (found == flights_.end()) return;
  std::shared_ptr<Flight> flight = std::move(found->second);
  flights_.erase(found);
  if (answer.temporary()) ++stats_.failed;
  if (answer.canonical_name.empty()) answer.canonical_name = std::move(flight->answer.canonical_name);
  flight->answer = std::move(answer);
  cache_.put(key, flight->answer, executor_.now());
  flight->landed.set();
}

Task<DnsAnswer> CachingResolver::await_flight(std::shared_ptr<Flight> flight, Deadline deadline) {
  try {
    co_await flight->landed.wait(deadline);
  } catch (const TimedOut&) {
    co_return answer_of(DnsStatus::kTimeout, flight->answer.canonical_name, "no answer before the deadline");
  }
  co_return flight->answer;
}

DnsStats CachingResolver::stats() const {
  DnsStats out = stats_;
  out.outstanding = flights_.size();
  out.cache_entries = cache_.entries();
  out.cache_bytes = cache_.bytes();
  return out;
}

}  // namespace postern::dns

namespace postern {

Result<std::unique_ptr<Resolver>> make_resolver(Executor& executor, DnsSettings settings) {
  Result<std::unique_ptr<dns::CaresWire>> wire = dns::CaresWire::open(executor, settings);
  if (!wire) return std::unexpected(wire.error());
  return std::make_unique<dns::CachingResolver>(executor, settings, *std::move(wire));
}

}  // namespace postern

// The resolver behind make_resolver(): cache first, then a question that is already on its way, then the wire.
//
// A question on its way (Flight) belongs to nobody who waits for it: who is cancelled or runs out of time leaves its
// queue, the answer still comes and goes into the cache. So a late answer finds nobody to wake, never a dead coroutine.
//
// Thread: one worker. Limits: Cache::Limits; max_outstanding flights.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/dns/cache.h"
#include "core/dns/wire.h"
#include "postern/dns.h"
#include "postern/sync.h"
#include "postern/task.h"

namespace postern::dns {

class CachingResolver final : public Resolver {
 public:
  CachingResolver(Executor& executor, const DnsSettings& settings, std::unique_ptr<Wire> wire);
  ~CachingResolver() override;

  Task<DnsAnswer> query(std::string name, RecordType type, Deadline deadline) override;
  DnsStats stats() const override;

 private:
  struct Flight {
    Event landed;
    DnsAnswer answer;
  };

  static Task<DnsAnswer> await_flight(std::shared_ptr<Flight> flight, Deadline deadline);
  std::shared_ptr<Flight> launch(std::string key, const std::string& name, RecordType type);
  void land(const std::string& key, DnsAnswer answer);

  std::size_t max_outstanding_;
  Cache cache_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_;
  DnsStats stats_;
  std::unique_ptr<Wire> wire_;  // destroyed first: it lands all flights
};

}  // namespace postern::dns

// A resolver for tests: zone data given by calls, faults by name, questions counted.
//
//   FakeResolver dns(executor);
//   dns.mx("example.org", 10, "mx.example.org").a("mx.example.org", "192.0.2.1");
//   dns.fail("broken.example", DnsStatus::kServfail);
//
// It answers as a recursive resolver would: CNAMEs are followed, a name that has other records gives kNoData, one that
// is not there (nor has names below it) kNxDomain. Answers are not authenticated unless secure() says so.
// Thread: the worker of its executor.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/dns.h"

namespace postern {

class FakeResolver final : public Resolver {
 public:
  explicit FakeResolver(Executor& executor) : Resolver(executor) {}
  ~FakeResolver() override;

  /// Zone data. `ip` of a() is either family; throws std::invalid_argument when it is no address.
  FakeResolver& a(std::string_view name, std::string_view ip);
  FakeResolver& mx(std::string_view name, std::uint16_t preference, std::string_view exchange);
  FakeResolver& txt(std::string_view name, std::string_view text);
  FakeResolver& cname(std::string_view name, std::string_view target);
  /// The PTR record of an address.
  FakeResolver& ptr(std::string_view ip, std::string_view target);
  FakeResolver& tlsa(std::string_view name, TlsaRecord record);
  FakeResolver& add(std::string_view name, RecordType type, DnsRecord record);
  /// Marks answers about this name as authenticated.
  FakeResolver& secure(std::string_view name);
  /// Forgets records, faults and delays of a name.
  FakeResolver& erase(std::string_view name);

  /// Each question about the name ends so; for one type only when it is given.
  FakeResolver& fail(std::string_view name, DnsStatus status);
  FakeResolver& fail(std::string_view name, RecordType type, DnsStatus status);
  /// Answers about the name come after this time of the executor's clock.
  FakeResolver& delay(std::string_view name, Duration time);

  /// How often was this asked?
  std::size_t asked(std::string_view name, RecordType type) const;
  std::size_t asked() const { return total_; }

  Task<DnsAnswer> query(std::string name, RecordType type, Deadline deadline) override;

 private:
  using Key = std::pair<std::string, RecordType>;
  DnsAnswer look_up(const std::string& name, RecordType type) const;

  std::map<Key, std::vector<DnsRecord>> records_;
  std::map<Key, DnsStatus> faults_;
  std::map<std::string, DnsStatus> name_faults_;
  std::map<std::string, Duration> delays_;
  std::set<std::string> secure_;
  std::map<Key, std::size_t> asked_;
  std::size_t total_ = 0;
};

}  // namespace postern

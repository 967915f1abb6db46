// What the mail server asks of the DNS, and what it gets back.
//
// For:    relaying (MX, A, AAAA, TLSA), checks of clients (PTR with forward confirmation, DNS lists), SPF and DKIM
// (TXT). Owner:  one Resolver per worker, made by main and handed out by reference; FakeResolver (dns_fake.h) in tests.
// Thread: the worker that owns it.
// Errors: whatever the DNS says or fails to say is a value, DnsAnswer::status. Only cancellation of the asker throws.
// Trust:  this is a stub: a recursive, preferably validating resolver (unbound, knot-resolver, BIND) does the work.
//         `authenticated` is its AD bit, believed only when the way to it is (DnsSettings::trust_ad, RFC 6840 §5.8).
// Limits: every answer is parsed with the bounds of core/dns/message.h; questions, cache and waits are bounded here.
// RFC:    1035, 2181, 2308, 2782 (SRV), 3596 (AAAA), 5321 §5.1, 6698 (TLSA), 6891 (EDNS), 7505 (null MX).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "postern/endpoint.h"
#include "postern/error.h"
#include "postern/time.h"

namespace postern {

class Executor;
template <class T>
class Task;

/// The types that can be asked for, by their numbers on the wire.
enum class RecordType : std::uint16_t {
  kA = 1,
  kNs = 2,
  kCname = 5,
  kSoa = 6,
  kPtr = 12,
  kMx = 15,
  kTxt = 16,
  kAaaa = 28,
  kSrv = 33,
  kTlsa = 52,
};
/// "MX"; "TYPE65" for a number without a name here.
std::string to_string(RecordType type);
/// From its name in any case; nothing for a type that is not in RecordType.
std::optional<RecordType> parse_record_type(std::string_view name);

// Domain names everywhere below: ASCII in lower case, no dot at the end, "." for the root, other octets as \DDD and a
// dot or backslash inside a label behind a backslash (RFC 1035 §5.1), so that they may be logged as they are.

/// A, AAAA.
using AddressRecord = IpAddress;
/// MX.
struct MxRecord {
  std::uint16_t preference = 0;
  std::string exchange;
  bool operator==(const MxRecord&) const = default;
};
/// TXT: its strings joined without a space (RFC 7208 §3.3, RFC 6376 §3.6.2.2). Octets as they came.
struct TxtRecord {
  std::string text;
  bool operator==(const TxtRecord&) const = default;
};
/// PTR, CNAME, NS.
struct NameRecord {
  std::string name;
  bool operator==(const NameRecord&) const = default;
};
struct SrvRecord {
  std::uint16_t priority = 0;
  std::uint16_t weight = 0;
  std::uint16_t port = 0;
  std::string target;
  bool operator==(const SrvRecord&) const = default;
};
struct TlsaRecord {
  std::uint8_t usage = 0;
  std::uint8_t selector = 0;
  std::uint8_t matching = 0;
  std::string data;  ///< octets
  bool operator==(const TlsaRecord&) const = default;
};
struct SoaRecord {
  std::string primary;
  std::string mailbox;
  std::uint32_t serial = 0;
  std::uint32_t minimum = 0;  ///< seconds; the TTL of negative answers (RFC 2308 §4)
  bool operator==(const SoaRecord&) const = default;
};
using DnsRecord = std::variant<AddressRecord, MxRecord, TxtRecord, NameRecord, SrvRecord, TlsaRecord, SoaRecord>;

enum class DnsStatus : std::uint8_t {
  kOk,          ///< at least one record of the type
  kNxDomain,    ///< the name does not exist (also: it cannot be a name)
  kNoData,      ///< the name exists, a record of that type does not
  kServfail,    ///< no server could say; with validation also: the answer is forged or its signatures are broken
  kTimeout,     ///< no server answered in time, or the asker's deadline passed first
  kRefused,     ///< the server will not serve us
  kMalformed,   ///< the answer breaks the rules of its format or our limits
  kOverloaded,  ///< DnsSettings::max_outstanding questions are already on their way
};
std::string_view to_string(DnsStatus status);

/// The answer to one question (name, type).
struct DnsAnswer {
  DnsStatus status = DnsStatus::kServfail;
  bool authenticated = false;      ///< validated by DNSSEC (AD), records or their absence alike
  std::chrono::seconds ttl{0};     ///< how much longer this answer holds: the least of all records used
  std::string canonical_name;      ///< where CNAMEs led; the question's name when there were none
  std::vector<DnsRecord> records;  ///< all of the type asked for, in the order received
  std::string detail;              ///< for the log, when status is a failure

  bool ok() const { return status == DnsStatus::kOk; }
  /// The DNS says that there is nothing. Permanent, unlike a failure.
  bool negative() const { return status == DnsStatus::kNxDomain || status == DnsStatus::kNoData; }
  /// Another try may go better; nothing may be concluded about the name.
  bool temporary() const { return !ok() && !negative(); }

  /// The records of one kind: `answer.all<MxRecord>()`.
  template <class Record>
  std::vector<Record> all() const {
    std::vector<Record> out;
    for (const DnsRecord& record : records)
      if (const Record* found = std::get_if<Record>(&record)) out.push_back(*found);
    return out;
  }
  std::vector<IpAddress> addresses() const { return all<AddressRecord>(); }
};

/// One host that takes mail for a domain. Its addresses are asked for when its turn comes: Resolver::host_addresses().
struct MailHost {
  std::string name;
  std::uint16_t preference = 0;
};

/// Where mail for a domain goes.
struct MailHosts {
  enum class Status : std::uint8_t {
    kFound,
    kNullMx,    ///< "MX 0 .": the domain takes no mail (RFC 7505: 556 5.1.10 for a recipient, 550 5.7.27 for a sender)
    kNoDomain,  ///< no such domain (5.1.2)
    kNoHost,    ///< the domain exists, with neither MX nor address (5.4.4)
    kTryLater,  ///< the DNS failed (4.4.3)
  };
  Status status = Status::kTryLater;
  bool implicit = false;       ///< no MX: the domain's own addresses serve (RFC 5321 §5.1)
  bool authenticated = false;  ///< the MX answer (or its absence) was validated: what DANE builds on (RFC 7672 §2.2)
  std::chrono::seconds ttl{0};
  std::vector<MailHost> hosts;  ///< in the order to try: by preference, equal ones shuffled; at most kMaxMailHosts
  std::string detail;           ///< for the log, when there are none

  bool found() const { return status == Status::kFound; }
};

/// The addresses of one host.
struct HostAddresses {
  DnsStatus status = DnsStatus::kServfail;  ///< kOk when there is at least one, whatever became of the other family
  bool authenticated = false;        ///< all answers used were validated (RFC 7672 §2.2.2: else no TLSA is asked)
  std::string canonical_name;        ///< CNAMEs followed: TLSA is asked there first (RFC 7672 §2.2.2)
  std::vector<IpAddress> addresses;  ///< IPv6 first, each family in the order received; at most kMaxHostAddresses
  std::string detail;

  bool ok() const { return status == DnsStatus::kOk; }
};

/// The name of a client's address.
struct ReverseName {
  enum class Status : std::uint8_t {
    kConfirmed,    ///< `name` leads back to the address (forward-confirmed)
    kUnconfirmed,  ///< there is a name, but it leads elsewhere or nowhere: not to be believed
    kNone,         ///< the address has no name
    kTryLater,     ///< the DNS failed, nothing may be concluded
  };
  Status status = Status::kTryLater;
  std::string name;  ///< of kConfirmed; of kUnconfirmed the first claimed one, for the log
  bool confirmed() const { return status == Status::kConfirmed; }
};
/// "confirmed", "unconfirmed", "none", "temporary".
std::string_view to_string(ReverseName::Status status);

/// What a worker's resolver has done since it was made.
struct DnsStats {
  std::uint64_t questions = 0;   ///< asked of us
  std::uint64_t hits = 0;        ///< answered from the cache
  std::uint64_t coalesced = 0;   ///< joined a question already on its way
  std::uint64_t sent = 0;        ///< asked of a server
  std::uint64_t failed = 0;      ///< of those: no usable answer
  std::uint64_t overloaded = 0;  ///< refused for max_outstanding
  std::size_t outstanding = 0;   ///< now on their way
  std::size_t cache_entries = 0;
  std::size_t cache_bytes = 0;
};

class Resolver {
 public:
  static constexpr std::size_t kMaxMailHosts = 20;      ///< hosts tried for one domain
  static constexpr std::size_t kMaxHostAddresses = 32;  ///< addresses tried for one host, families together
  static constexpr std::size_t kMaxReverseNames = 5;    ///< PTR names that are confirmed (RFC 7208 §4.6.4 has 10)

  virtual ~Resolver();

  /// Asks one question. A name with or without a dot at its end, in any case, in ASCII (A-labels are the caller's job).
  ///
  /// Errors: throws Cancelled only; a passed deadline is DnsStatus::kTimeout.
  /// Thread: the worker that owns this resolver.
  virtual Task<DnsAnswer> query(std::string name, RecordType type, Deadline deadline) = 0;

  /// The hosts for a domain's mail, MX or the domain itself. One or three questions. RFC: 5321 §5.1, 7505.
  Task<MailHosts> mail_hosts(std::string domain, Deadline deadline);
  /// AAAA and A of one host.
  Task<HostAddresses> host_addresses(std::string host, Deadline deadline);
  /// The PTR name of an address that has the address among its own. RFC: 1912 §2.1, 8601 §3 ("iprev").
  Task<ReverseName> reverse_name(IpAddress address, Deadline deadline);

  virtual DnsStats stats() const { return {}; }

 protected:
  explicit Resolver(Executor& executor) : executor_(executor) {}
  Executor& executor_;
};

/// Service "dns": each worker's own resolver.
class Resolvers {
 public:
  static constexpr std::string_view kService = "dns";
  virtual ~Resolvers();
  virtual Resolver& of(const Executor& worker) = 0;
};

/// The settings of [dns]. Each worker has its own cache and its own limits.
struct DnsSettings {
  std::vector<std::string> servers;            ///< "127.0.0.1:53", "[::1]:53", "::1"; empty: those of resolv.conf
  Duration timeout = std::chrono::seconds(3);  ///< of the first try at one server; doubles with each round
  int tries = 3;                               ///< rounds over all servers
  std::size_t cache_entries = 20'000;          ///< 0: no cache
  std::size_t cache_bytes = std::size_t{8} << 20;
  std::chrono::seconds min_ttl{5};  ///< what the DNS wants shorter is kept this long
  std::chrono::seconds max_ttl{86'400};
  std::chrono::seconds max_negative_ttl{3'600};  ///< RFC 2308 §5
  std::chrono::seconds failure_ttl{5};           ///< of servfail, timeout, refused (RFC 9520 §3.2: 1 s to 5 min)
  std::size_t max_outstanding = 1'024;           ///< questions on their way to servers
  std::optional<bool> trust_ad;                  ///< believe the AD bit; unset: when all servers are on loopback
};

/// The real resolver of one worker: c-ares with cache. Destroy it on its thread, before its executor, and after all who
/// ask. Errors: "dns.server" for a text that is no address, "dns.init" when c-ares cannot start.
Result<std::unique_ptr<Resolver>> make_resolver(Executor& executor, DnsSettings settings);

}  // namespace postern

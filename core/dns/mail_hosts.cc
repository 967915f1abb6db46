// Where a domain's mail goes, and by which addresses a host is reached (RFC 5321 §5.1, RFC 7505).
#include <algorithm>
#include <utility>

#include "postern/dns.h"
#include "postern/executor.h"
#include "postern/nursery.h"
#include "postern/task.h"

namespace postern {
namespace {

constexpr std::string_view kRoot = ".";

// By preference; among equals in an order of their own each time, so that load spreads (RFC 5321 §5.1).
std::vector<MailHost> in_order(std::vector<MxRecord> records, Executor& executor) {
  for (std::size_t left = records.size(); left > 1; --left)
    std::swap(records[left - 1], records[executor.random() % left]);
  std::ranges::sort(records, {}, &MxRecord::preference);
  std::vector<MailHost> hosts;
  for (MxRecord& record : records) {
    if (record.exchange == kRoot) continue;  // beside real hosts it means nothing (RFC 7505 §3)
    if (hosts.size() == Resolver::kMaxMailHosts) break;
    if (std::ranges::find(hosts, record.exchange, &MailHost::name) != hosts.end()) continue;
    hosts.push_back({std::move(record.exchange), record.preference});
  }
  return hosts;
}

MailHosts no_hosts(MailHosts::Status status, const DnsAnswer& why, std::string_view question) {
  MailHosts out;
  out.status = status;
  out.authenticated = why.authenticated;
  out.ttl = why.ttl;
  out.detail = std::string(question) + ' ' + why.canonical_name + ": " + std::string(to_string(why.status));
  if (!why.detail.empty()) out.detail += ", " + why.detail;
  return out;
}

MailHosts explicit_hosts(const DnsAnswer& answer, Executor& executor) {
  MailHosts out;
  out.authenticated = answer.authenticated;
  out.ttl = answer.ttl;
  out.hosts = in_order(answer.all<MxRecord>(), executor);
  out.status = out.hosts.empty() ? MailHosts::Status::kNullMx : MailHosts::Status::kFound;
  if (out.hosts.empty()) out.detail = "null MX";
  return out;
}

void append_addresses(HostAddresses& out, const DnsAnswer& answer) {
  for (const IpAddress& ip : answer.addresses()) {
    if (out.addresses.size() == Resolver::kMaxHostAddresses) return;
    if (std::ranges::find(out.addresses, ip) == out.addresses.end()) out.addresses.push_back(ip);
  }
}

// A family that fails does not matter when the other has an address; without any, a failure counts before an absence.
HostAddresses merge(const DnsAnswer& v6, const DnsAnswer& v4) {
  HostAddresses out;
  append_addresses(out, v6);
  append_addresses(out, v4);
  const DnsAnswer& decides = v4.ok() ? v4 : v6.ok() ? v6 : v4.temporary() ? v4 : v6.temporary() ? v6 : v4;
  out.status = decides.status;
  out.detail = decides.detail;
  out.canonical_name = decides.canonical_name;
  out.authenticated = v6.ok() == v4.ok() ? v6.authenticated && v4.authenticated : decides.authenticated;
  return out;
}

}  // namespace

Task<MailHosts> Resolver::mail_hosts(std::string domain, Deadline deadline) {
  deadline = deadline.fixed(executor_.now());
  DnsAnswer mx = co_await query(domain, RecordType::kMx, deadline);
  if (mx.ok()) co_return explicit_hosts(mx, executor_);
  // RFC 5321 §5.1: only a domain that has no MX is its own host; one whose MX cannot be asked is tried later.
  if (mx.temporary()) co_return no_hosts(MailHosts::Status::kTryLater, mx, "MX");
  if (mx.status == DnsStatus::kNxDomain) co_return no_hosts(MailHosts::Status::kNoDomain, mx, "MX");
  HostAddresses own = co_await host_addresses(domain, deadline);
  if (own.ok()) {
    MailHosts out;
    out.status = MailHosts::Status::kFound;
    out.implicit = true;
    out.authenticated = mx.authenticated;
    out.ttl = mx.ttl;
    out.hosts.push_back({mx.canonical_name, 0});  // an alias is followed first (RFC 5321 §5.1)
    co_return out;
  }
  DnsAnswer why;
  why.status = own.status;
  why.canonical_name = own.canonical_name;
  why.authenticated = mx.authenticated && own.authenticated;
  why.ttl = mx.ttl;
  why.detail = own.detail;
  co_return no_hosts(why.temporary() ? MailHosts::Status::kTryLater : MailHosts::Status::kNoHost, why, "A/AAAA");
}

Task<HostAddresses> Resolver::host_addresses(std::string host, Deadline deadline) {
  deadline = deadline.fixed(executor_.now());
  auto [v6, v4] = co_await when_all(query(host, RecordType::kAaaa, deadline), query(host, RecordType::kA, deadline));
  co_return merge(v6, v4);
}

Task<ReverseName> Resolver::reverse_name(IpAddress address, Deadline deadline) {
  deadline = deadline.fixed(executor_.now());
  std::string question = address.reversed() + (address.is_v6() ? ".ip6.arpa" : ".in-addr.arpa");
  DnsAnswer ptr = co_await query(std::move(question), RecordType::kPtr, deadline);
  if (ptr.temporary()) co_return ReverseName{ReverseName::Status::kTryLater, {}};
  if (!ptr.ok()) co_return ReverseName{ReverseName::Status::kNone, {}};

  std::vector<NameRecord> names = ptr.all<NameRecord>();
  const RecordType type = address.is_v6() ? RecordType::kAaaa : RecordType::kA;
  bool failed = false;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxReverseNames); ++i) {
    DnsAnswer forward = co_await query(names[i].name, type, deadline);
    failed = failed || forward.temporary();
    const std::vector<IpAddress> addresses = forward.addresses();
    if (std::ranges::find(addresses, address) != addresses.end())
      co_return ReverseName{ReverseName::Status::kConfirmed, std::move(names[i].name)};
  }
  const auto status = failed ? ReverseName::Status::kTryLater : ReverseName::Status::kUnconfirmed;
  co_return ReverseName{status, std::move(names.front().name)};
}

}  // namespace postern

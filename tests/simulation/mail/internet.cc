#include "internet.h"

#include <fmt/format.h>

#include "postern/hash.h"
#include "session.h"

namespace postern::simulation {

namespace {

constexpr std::size_t kHostsPerSite = 2;
constexpr double kLateToo = 0.3;  // of late answers: later than any client waits

}  // namespace

/// One address of the Internet.
class Host final : private AcceptEvents {
 public:
  Host(Internet& internet, std::string name, std::string ip)
      : ip_(std::move(ip)), internet_(internet), name_(std::move(name)) {
    auto bound = internet.sim_.bind(endpoint());
    if (!bound) throw Error(bound.error().detail);
    bound_ = std::move(*bound);
    acceptor_ = internet.executor_.accept(*bound_, *this);
  }
  Endpoint endpoint() const { return {*IpAddress::parse(ip_), 25, {}}; }
  void cut() {
    for (auto& one : sessions_) one->cut();
    sessions_.clear();
  }

 private:
  void on_connection(std::unique_ptr<Socket> socket) override {
    if (internet_.gone_) return socket->reset();
    std::erase_if(ended_, [](const auto&) { return true; });
    for (auto& one : sessions_)
      if (one->over()) ended_.push_back(std::move(one));
    std::erase(sessions_, nullptr);
    sessions_.push_back(std::make_unique<Session>(internet_, name_, std::move(socket)));
  }

  std::string ip_;
  Internet& internet_;
  std::string name_;
  std::unique_ptr<BoundEndpoint> bound_;
  std::unique_ptr<Acceptor> acceptor_;
  std::vector<std::unique_ptr<Session>> sessions_, ended_;
};

Internet::Internet(SimRuntime& sim, Executor& executor, Ledger& ledger, std::uint64_t seed, std::size_t sites)
    : sim_(sim), executor_(executor), ledger_(ledger), random_(seed), sites_(sites), dark_(sites) {
  for (std::size_t site = 0; site < sites; ++site)
    for (std::size_t at = 0; at < kHostsPerSite; ++at)
      hosts_.push_back(std::make_unique<Host>(*this, fmt::format("mx{}.{}", at, domain(site)),
                                              fmt::format("198.51.100.{}", 10 * site + at + 1)));
}

Internet::~Internet() = default;

std::string Internet::domain(std::size_t site) const {
  return fmt::format("site{}.example", site);
}

bool Internet::unknown(const std::string& address) const {
  return hash_bytes(address) % 10 == 0;
}

void Internet::set_weather(Weather weather) {
  weather_ = weather;
  sim_.options().refuse_chance = weather.refused;
  for (auto& host : hosts_) sim_.black_hole(host->endpoint(), random_.chance(weather.black_hole));
  for (std::size_t site = 0; site < sites_; ++site) dark_[site] = random_.chance(weather.dns);
  for (FakeResolver* dns : std::exchange(resolvers_, {})) fill(*dns);
}

void Internet::fill(FakeResolver& dns) {
  resolvers_.push_back(&dns);
  for (std::size_t site = 0; site < sites_; ++site) {
    dns.erase(domain(site));
    if (dark_[site]) {
      dns.fail(domain(site), DnsStatus::kServfail);
      continue;
    }
    for (std::size_t at = 0; at < kHostsPerSite; ++at) {
      const std::string name = fmt::format("mx{}.{}", at, domain(site));
      dns.erase(name);
      dns.mx(domain(site), site % 2 ? 10 : static_cast<std::uint16_t>(10 + at), name);
      dns.a(name, fmt::format("198.51.100.{}", 10 * site + at + 1));
    }
  }
}

void Internet::cut(bool gone) {
  gone_ = gone;
  if (!gone) return;
  resolvers_.clear();
  for (auto& host : hosts_) host->cut();
}

Mischief Internet::draw() {
  Mischief out;
  if (!random_.chance(weather_.mischief)) return out;
  if (random_.chance(0.2)) {
    out.reset_in = 1 + random_.below(random_.chance(0.5) ? 200 : 2500);
    return out;
  }
  if (random_.chance(0.2)) {
    out.reset_out = 1 + random_.below(400);
    return out;
  }
  out.step = random_.chance(0.4) ? Step::kText : static_cast<Step>(random_.below(kSteps));
  out.trouble = static_cast<Trouble>(1 + random_.below(kTroubles - 1));
  out.transaction = static_cast<unsigned>(random_.below(random_.chance(0.7) ? 1 : 3));
  out.late = random_.chance(kLateToo) ? Duration(20min) : Duration(1s) * static_cast<int>(1 + random_.below(50));
  out.keeps = random_.chance(0.5);
  return out;
}

}  // namespace postern::simulation

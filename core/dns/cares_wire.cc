#include "core/dns/cares_wire.h"

#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/dns/message.h"
#include "core/dns/name.h"

namespace postern::dns {
namespace {

constexpr std::uint16_t kDnsPort = 53;
constexpr auto kShortestTimer = std::chrono::milliseconds(1);  // c-ares reads its own clock: no spinning on rounding

Endpoint endpoint_of(const ares_addr_port_node& node) {
  Endpoint out;
  if (node.family == AF_INET6) {
    std::array<std::uint8_t, 16> octets{};
    std::memcpy(octets.data(), &node.addr.addr6, octets.size());
    out.ip = IpAddress::v6(octets);
  } else {
    out.ip = IpAddress::v4(ntohl(node.addr.addr4.s_addr));
  }
  out.port = node.udp_port ? static_cast<std::uint16_t>(node.udp_port) : kDnsPort;
  return out;
}

ares_addr_port_node node_of(const Endpoint& server) {
  ares_addr_port_node node{};
  node.family = server.ip.is_v6() ? AF_INET6 : AF_INET;
  std::memcpy(&node.addr, server.ip.octets(), server.ip.size());
  node.udp_port = node.tcp_port = server.port;
  return node;
}

// The servers of resolv.conf, as c-ares reads it. None when it cannot be read.
std::vector<Endpoint> system_servers() {
  std::vector<Endpoint> out;
  ares_channel probe = nullptr;
  if (ares_init(&probe) != ARES_SUCCESS) return out;
  ares_addr_port_node* list = nullptr;
  if (ares_get_servers_ports(probe, &list) == ARES_SUCCESS)
    for (const ares_addr_port_node* node = list; node; node = node->next) out.push_back(endpoint_of(*node));
  ares_free_data(list);
  ares_destroy(probe);
  return out;
}

Result<std::vector<Endpoint>> choose_servers(const std::vector<std::string>& texts) {
  std::vector<Endpoint> out;
  for (const std::string& text : texts) {
    std::optional<Endpoint> server = Endpoint::parse(text);
    if (std::optional<IpAddress> ip = IpAddress::parse(text)) server = Endpoint{*ip, kDnsPort, {}};
    if (!server || server->is_unix() || server->port == 0)
      return fault("dns.server",
                   "'" + text + "' is not the address of a DNS server; \"127.0.0.1:53\" or \"[::1]:53\" is");
    out.push_back(*std::move(server));
  }
  if (texts.empty()) out = system_servers();
  if (out.empty()) return fault("dns.init", "no DNS server is set, and resolv.conf names none");
  return out;
}

DnsAnswer failed(DnsStatus status, std::string detail) {
  DnsAnswer out;
  out.status = status;
  out.detail = std::move(detail);
  return out;
}

// c-ares keeps no RCODE when all of several servers refused in turn: it says ECONNREFUSED then, a SERVFAIL to us.
DnsAnswer failed(int status) {
  return failed(status == ARES_ETIMEOUT ? DnsStatus::kTimeout : DnsStatus::kServfail, ares_strerror(status));
}

}  // namespace

Wire::~Wire() = default;

struct CaresWire::Question {
  CaresWire& wire;
  std::string name;
  RecordType type;
  std::function<void(DnsAnswer)> done;
  bool edns = true;
};

Result<std::unique_ptr<CaresWire>> CaresWire::open(Executor& executor, const DnsSettings& settings) {
  Result<std::vector<Endpoint>> servers = choose_servers(settings.servers);
  if (!servers) return std::unexpected(servers.error());
  const bool local = std::ranges::all_of(*servers, [](const Endpoint& server) { return server.ip.is_loopback(); });
  std::unique_ptr<CaresWire> wire(new CaresWire(executor, settings.trust_ad.value_or(local)));
  if (Result<void> started = wire->start(settings, *servers); !started) return std::unexpected(started.error());
  return wire;
}

Result<void> CaresWire::start(const DnsSettings& settings, const std::vector<Endpoint>& servers) {
  ares_options options{};
  int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ | ARES_OPT_SOCK_STATE_CB;
  options.flags = ARES_FLAG_EDNS;
  // With one server there is none to fall back to, and its SERVFAIL or REFUSED can be handed up as it is.
  if (servers.size() == 1) options.flags |= ARES_FLAG_NOCHECKRESP;
  options.timeout =
      std::max(1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(settings.timeout).count()));
  options.tries = std::max(1, settings.tries);
  options.ednspsz = kUdpPayloadOctets;
  options.sock_state_cb = [](void* self, ares_socket_t fd, int readable, int writable) {
    static_cast<CaresWire*>(self)->on_sockets(fd, readable != 0, writable != 0);
  };
  options.sock_state_cb_data = this;
  if (int status = ares_init_options(&channel_, &options, mask); status != ARES_SUCCESS)
    return fault("dns.init", ares_strerror(status));
  std::vector<ares_addr_port_node> nodes;
  for (const Endpoint& server : servers) nodes.push_back(node_of(server));
  for (std::size_t i = 0; i + 1 < nodes.size(); ++i) nodes[i].next = &nodes[i + 1];
  if (int status = ares_set_servers_ports(channel_, nodes.data()); status != ARES_SUCCESS)
    return fault("dns.init", ares_strerror(status));
  return {};
}

CaresWire::~CaresWire() {
  closing_ = true;
  if (channel_) ares_destroy(channel_);  // calls on_answer for all that is on its way, and on_sockets
  executor_.disarm(*this);
}

void CaresWire::send(const std::string& name, RecordType type, std::function<void(DnsAnswer)> done) {
  transmit(std::unique_ptr<Question>(new Question{*this, name, type, std::move(done)}));
  rearm();
}

void CaresWire::transmit(std::unique_ptr<Question> question) {
  std::optional<std::string> wire_name = name_to_wire(question->name);
  if (!wire_name) return question->done(failed(DnsStatus::kNxDomain, "not a domain name"));
  const std::string packet = build_question(fresh_id(), *wire_name, question->type, question->edns);
  ares_send(channel_, reinterpret_cast<const unsigned char*>(packet.data()), static_cast<int>(packet.size()), on_answer,
            question.release());
}

// The id is half of what keeps forged answers out (RFC 5452 §9.2; the port is the other), so it comes from the system.
std::uint16_t CaresWire::fresh_id() {
  if (ids_left_ == 0) {
    // Up to 256 octets are given whole and without waiting, once the system has started (getrandom(2)).
    if (getrandom(ids_.data(), sizeof ids_, 0) != static_cast<ssize_t>(sizeof ids_))
      for (std::uint16_t& id : ids_) id = static_cast<std::uint16_t>(executor_.random());
    ids_left_ = ids_.size();
  }
  return ids_[--ids_left_];
}

void CaresWire::on_answer(void* argument, int status, int, unsigned char* packet, int size) {
  std::unique_ptr<Question> question(static_cast<Question*>(argument));
  CaresWire& wire = question->wire;
  if (status != ARES_SUCCESS || !packet) return question->done(failed(status));
  const std::span<const std::uint8_t> octets(packet, static_cast<std::size_t>(std::max(size, 0)));
  if (question->edns && is_format_error(octets) && !wire.closing_) {
    question->edns = false;  // RFC 6891 §7: a server from before 1999 gets the question of its time
    return wire.transmit(std::move(question));
  }
  DnsAnswer answer = parse_answer(octets, question->name, question->type);
  answer.authenticated = answer.authenticated && wire.trust_ad_;
  question->done(std::move(answer));
}

// A descriptor that cannot be watched leaves its questions to the timer: nothing may be thrown through c-ares.
FdWatch* CaresWire::watch(ares_socket_t fd) try {
  auto ready = [this, fd](bool can_read, bool can_write) {
    process(can_read ? fd : ARES_SOCKET_BAD, can_write ? fd : ARES_SOCKET_BAD);
  };
  return watches_.emplace(fd, executor_.watch(fd, ready)).first->second.get();
} catch (const Error&) {
  return nullptr;
}

// c-ares closes the descriptor right after (false, false), so the watch ends here and now, though this may be a call
// from within its own callback; a watch outlives that.
void CaresWire::on_sockets(ares_socket_t fd, bool readable, bool writable) {
  if (!readable && !writable) {
    watches_.erase(fd);
    return;
  }
  auto found = watches_.find(fd);
  if (FdWatch* known = found != watches_.end() ? found->second.get() : watch(fd)) known->update(readable, writable);
}

void CaresWire::process(ares_socket_t readable, ares_socket_t writable) {
  ares_process_fd(channel_, readable, writable);
  rearm();
}

void CaresWire::fire() {
  process(ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

void CaresWire::rearm() {
  executor_.disarm(*this);
  timeval left{};
  if (!ares_timeout(channel_, nullptr, &left)) return;  // nothing is on its way
  const Duration wait = std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec);
  executor_.arm(*this, executor_.now() + std::max<Duration>(wait, kShortestTimer));
}

}  // namespace postern::dns

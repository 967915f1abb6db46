// ETRN: a host that is not always there asks for the mail that waits for it (RFC 1985). It goes out by the ordinary
// way, to where DNS and routes lead: who asks gets no mail by asking, it only comes sooner. Still it is work that a
// stranger could cause again and again, so it is for those whom [[smtp.listener.etrn]] names.
#include <fmt/format.h>

#include <algorithm>

#include "postern/address.h"
#include "replies.h"
#include "session.h"

namespace postern::smtp {

namespace {

bool covers(std::string_view entry, std::string_view domain) {
  return entry.starts_with('.') ? domain.ends_with(entry) : domain == entry;
}

}  // namespace

bool Session::may_etrn(std::string_view domain) const {
  const ClientInfo& client = state_.client;
  return std::ranges::any_of(listener().etrn, [&](const EtrnSettings& one) {
    const bool known = (client.authenticated() && std::ranges::find(one.users, client.auth_user) != one.users.end()) ||
                       std::ranges::any_of(one.networks, [&](const IpNetwork& net) { return net.contains(client.ip); });
    return known && std::ranges::any_of(one.domains, [&](const std::string& entry) { return covers(entry, domain); });
  });
}

Task<void> Session::on_etrn(Command command) {
  if (!offers_etrn()) {
    say(replies::kNotImplemented);
    co_return;
  }
  if (command.argument.empty()) {
    say(replies::kNeedArgument);
    co_return;
  }
  // "#queue" is a queue that both sides have agreed on, "@domain" all below a domain (§5.2): queues here are those of
  // single destinations.
  if (command.argument.front() == '#' || command.argument.front() == '@') {
    say(Reply{458, "4.3.3", "Unable to queue messages for that node: name a single domain"});
    co_return;
  }
  const auto domain = Domain::parse(command.argument, {.allow_utf8 = false, .allow_literal = false});
  if (!domain) {
    say(Reply{501, "5.5.4", "ETRN wants a domain: ETRN example.org"});
    co_return;
  }
  const std::string name = domain->ascii();
  if (!may_etrn(name)) {
    server_.log().info("smtp.etrn-refused", {{"session", state_.id},
                                             {"ip", state_.client.ip.to_string()},
                                             {"user", state_.client.auth_user},
                                             {"domain", name}});
    say(Reply{459, "4.7.0", fmt::format("Node {} not allowed: you may not ask for its mail", name)});
    co_return;
  }
  const std::size_t messages = co_await server_.parts.queue->request(name);
  server_.log().info("smtp.etrn", {{"session", state_.id},
                                   {"ip", state_.client.ip.to_string()},
                                   {"user", state_.client.auth_user},
                                   {"domain", name},
                                   {"messages", messages}});
  if (messages == 0)
    say(Reply{251, "2.0.0", fmt::format("OK, no messages waiting for node {}", name)});
  else
    say(Reply{253, "2.0.0", fmt::format("OK, {} pending messages for node {} started", messages, name)});
}

}  // namespace postern::smtp

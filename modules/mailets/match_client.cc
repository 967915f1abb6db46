// Matchers about the session: its address, login, TLS, and what DNS lists say of it.
#include <algorithm>
#include <set>

#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

const ClientInfo& client_of(const RuleCall& call) {
  return call.transaction.session.client;
}

std::vector<IpNetwork> networks_of(Arguments& arguments, bool required) {
  std::vector<IpNetwork> out;
  for (const std::string& text : arguments.texts("networks", required)) {
    if (auto network = IpNetwork::parse(text))
      out.push_back(*network);
    else
      arguments.complain("\"" + text + "\" is not a network");
  }
  return out;
}

bool within(const std::vector<IpNetwork>& networks, const IpAddress& ip) {
  return std::ranges::any_of(networks, [&](const IpNetwork& one) { return one.contains(ip); });
}

std::shared_ptr<Matcher> smtp_auth_user_is(Arguments& arguments) {
  std::set<std::string> users;
  for (const std::string& text : arguments.texts("users")) users.insert(text);
  return whole_mail("smtp_auth_user_is",
                    [users](const RuleCall& call) { return users.contains(client_of(call).auth_user); });
}

std::shared_ptr<Matcher> tls_is(Arguments& arguments) {
  std::set<std::string> versions;
  for (const std::string& text : arguments.texts("versions", false)) versions.insert(text);
  return whole_mail("tls_is", [versions](const RuleCall& call) {
    return client_of(call).secure() && (versions.empty() || versions.contains(client_of(call).tls_version));
  });
}

/// Asks one list about the client's address (RFC 5782).
class InDnsList final : public Matcher {
 public:
  InDnsList(std::string zone, std::vector<IpNetwork> codes) : zone_(std::move(zone)), codes_(std::move(codes)) {}
  std::string name() const override { return "in_dnsbl"; }
  Selected match(RuleCall call) override {
    const std::string question = client_of(call).ip.reversed() + "." + zone_;
    const DnsAnswer answer = co_await call.effects.dns(question, RecordType::kA);
    // A list that does not answer says nothing: the other rules decide, and the trail shows why.
    bool listed = false;
    for (const IpAddress& code : answer.addresses()) listed = listed || within(codes_, code);
    co_return listed ? call.recipients : RecipientSet::none(call.recipients.size());
  }

 private:
  std::string zone_;
  std::vector<IpNetwork> codes_;
};

std::shared_ptr<Matcher> in_dnsbl(Arguments& arguments) {
  const std::string text = arguments.text("zone");
  auto zone = Domain::parse(text);
  if (!zone || zone->is_literal()) arguments.complain("\"" + text + "\" is not a domain");
  std::vector<IpNetwork> codes;
  const bool given = arguments.given("codes");
  if (given)
    for (const std::string& code : arguments.texts("codes")) {
      if (auto network = IpNetwork::parse(code))
        codes.push_back(*network);
      else
        arguments.complain("\"" + code + "\" is not an address or network");
    }
  // 127.255.255.x means that the list refused the question, and anything outside 127/8 that it is no list any more.
  if (!given) codes.push_back(*IpNetwork::parse("127.0.0.0/24"));
  return std::make_shared<InDnsList>(zone ? zone->ascii() : text, std::move(codes));
}

}  // namespace

void declare_client_matchers(RuleRegistry& rules) {
  declare_matcher(rules, "smtp_auth_successful", "All, if the client has logged in.", "match.smtp_auth_successful",
                  "none", {}, [](Arguments&) {
                    return whole_mail("smtp_auth_successful",
                                      [](const RuleCall& call) { return client_of(call).authenticated(); });
                  });
  declare_matcher(rules, "smtp_auth_user_is", "All, if the client has logged in as one of these accounts.",
                  "match.smtp_auth_user_is(\"robot\")", "none",
                  {{"users", "list of accounts", "the accounts", true, 0}}, smtp_auth_user_is);
  declare_matcher(rules, "smtp_is_auth_network", "All, if the client is in a network that may relay.",
                  "match.smtp_is_auth_network", "none", {}, [](Arguments&) {
                    return whole_mail("smtp_is_auth_network",
                                      [](const RuleCall& call) { return call.transaction.session.relay_network; });
                  });
  declare_matcher(rules, "remote_addr_in_network", "All, if the client's address is in one of these networks.",
                  "match.remote_addr_in_network { \"192.0.2.0/24\", \"2001:db8::/32\" }", "none",
                  {{"networks", "list of networks", "the networks", true, 0}}, [](Arguments& arguments) {
                    return whole_mail("remote_addr_in_network",
                                      [networks = networks_of(arguments, true)](const RuleCall& call) {
                                        return within(networks, client_of(call).ip);
                                      });
                  });
  declare_matcher(rules, "remote_addr_not_in_network",
                  "All, if the client's address is in none of these networks; an empty list selects everyone.",
                  "match.remote_addr_not_in_network { \"192.0.2.0/24\" }", "none",
                  {{"networks", "list of networks", "the networks", false, 0}}, [](Arguments& arguments) {
                    return whole_mail("remote_addr_not_in_network",
                                      [networks = networks_of(arguments, false)](const RuleCall& call) {
                                        return !within(networks, client_of(call).ip);
                                      });
                  });
  declare_matcher(rules, "in_dnsbl", "All, if a DNS list names the client's address.",
                  "match.in_dnsbl \"bl.example.net\"", "none: a list that does not answer selects nobody",
                  {{"zone", "domain", "the list", true, 0},
                   {"codes", "list of addresses or networks", "answers that count; 127.0.0.0/24 unless given"}},
                  in_dnsbl);
  declare_matcher(
      rules, "sent_by_mailet",
      "All, if this server made the mail itself: a report about mail of its queue, or what a rule brought in.",
      "match.sent_by_mailet", "none", {}, [](Arguments&) {
        return whole_mail("sent_by_mailet", [](const RuleCall& call) { return call.transaction.session.made_here; });
      });
  declare_matcher(rules, "tls_is", "All, if the session uses TLS, of one of these versions if any are named.",
                  "match.tls_is \"TLSv1.3\"", "none", {{"versions", "list of strings", "TLSv1.2, TLSv1.3", false, 0}},
                  tls_is);
}

}  // namespace postern::mailets

// Matchers about recipients: their addresses, domains and what the directory said at RCPT.
#include <re2/re2.h>

#include <algorithm>
#include <set>

#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

std::set<std::string> folded(const std::vector<std::string>& texts) {
  std::set<std::string> out;
  for (const std::string& text : texts) out.insert(to_lower(text));
  return out;
}

std::shared_ptr<Matcher> recipient_is(Arguments& arguments) {
  const auto texts = arguments.texts("addresses");
  for (const std::string& text : texts)
    if (!Address::parse(text)) arguments.complain("\"" + text + "\" is not a mail address");
  return each_recipient("recipient_is", [known = folded(texts)](const RuleCall& call, std::size_t i) {
    return known.contains(to_lower(recipient_address(call, i).to_string()));
  });
}

std::shared_ptr<Matcher> recipient_is_regex(Arguments& arguments) {
  const auto pattern = std::make_shared<RE2>(arguments.text("pattern"), RE2::Quiet);
  if (!pattern->ok()) arguments.complain("the pattern is wrong: " + pattern->error());
  return each_recipient("recipient_is_regex", [pattern](const RuleCall& call, std::size_t i) {
    return RE2::FullMatch(recipient_address(call, i).to_string(), *pattern);
  });
}

std::shared_ptr<Matcher> recipient_domain_is(Arguments& arguments) {
  std::set<std::string> domains;
  for (const std::string& text : arguments.texts("domains")) {
    auto domain = Domain::parse(text);
    if (domain)
      domains.insert(domain->ascii());
    else
      arguments.complain("\"" + text + "\" is not a domain");
  }
  return each_recipient("recipient_domain_is", [domains](const RuleCall& call, std::size_t i) {
    return domains.contains(recipient_address(call, i).domain().ascii());
  });
}

std::shared_ptr<Matcher> user_is(Arguments& arguments) {
  return each_recipient("user_is", [known = folded(arguments.texts("users"))](const RuleCall& call, std::size_t i) {
    return known.contains(to_lower(recipient_address(call, i).local()));
  });
}

std::shared_ptr<Matcher> recipient_count_exceeds(Arguments& arguments) {
  const auto limit = arguments.integer("count", 0, 100'000);
  if (!limit) arguments.complain("needs count");
  return whole_mail("recipient_count_exceeds",
                    [count = static_cast<std::size_t>(limit.value_or(0))](const RuleCall& call) {
                      return call.transaction.envelope.recipients.size() > count;
                    });
}

bool is_local(const RuleCall& call, std::size_t i) {
  const Transaction& mail = call.transaction;
  if (mail.lookups[i].kind == AddressLookup::Kind::kAccount) return true;
  // Postmaster is ours with or without a mailbox (RFC 5321 §4.5.1); `deliver` keeps it for the operator then.
  return mail.lookups[i].kind == AddressLookup::Kind::kNoSuchUser && recipient_address(call, i).is_postmaster();
}

}  // namespace

void declare_recipient_matchers(RuleRegistry& rules) {
  declare_matcher(rules, "recipient_is", "Recipients with one of these addresses; case does not count.",
                  "match.recipient_is(\"list@example.org\")", "none",
                  {{"addresses", "list of addresses", "the addresses", true, 0}}, recipient_is);
  declare_matcher(rules, "recipient_is_regex", "Recipients whose whole address fits a pattern (RE2).",
                  "match.recipient_is_regex(\".*-noreply@example\\\\.org\")", "none",
                  {{"pattern", "string", "the pattern; (?i) in front ignores case", true, 0}}, recipient_is_regex);
  declare_matcher(rules, "recipient_domain_is", "Recipients in one of these domains, not below them.",
                  "match.recipient_domain_is { \"example.org\", \"example.net\" }", "none",
                  {{"domains", "list of domains", "the domains", true, 0}}, recipient_domain_is);
  declare_matcher(rules, "host_is_local", "Recipients whose domain is ours; the mailbox need not exist.",
                  "match.host_is_local", "none", {}, [](Arguments&) {
                    return each_recipient("host_is_local", [](const RuleCall& call, std::size_t i) {
                      return call.effects.directory().domain_kind(recipient_address(call, i).domain().ascii()) ==
                             DomainKind::kLocal;
                    });
                  });
  declare_matcher(rules, "recipient_is_local", "Recipients with a mailbox here, and postmaster.",
                  "match.recipient_is_local", "none", {},
                  [](Arguments&) { return each_recipient("recipient_is_local", is_local); });
  declare_matcher(rules, "user_is", "Recipients whose local part is one of these; case does not count.",
                  "match.user_is { \"abuse\", \"postmaster\" }", "none",
                  {{"users", "list of strings", "the local parts", true, 0}}, user_is);
  declare_matcher(rules, "is_single_recipient", "All, if the mail has exactly one recipient.",
                  "match.is_single_recipient", "none", {}, [](Arguments&) {
                    return whole_mail("is_single_recipient", [](const RuleCall& call) {
                      return call.transaction.envelope.recipients.size() == 1;
                    });
                  });
  declare_matcher(rules, "recipient_count_exceeds", "All, if the mail has more recipients than this.",
                  "match.recipient_count_exceeds(50)", "none",
                  {{"count", "integer", "the most that are not selected", true, 0}}, recipient_count_exceeds);
  declare_matcher(rules, "relay_allowed",
                  "Recipients that the relay gate lets out: our users', named networks', relay domains.",
                  "match.relay_allowed", "none", {}, [](Arguments&) {
                    return each_recipient("relay_allowed", [](const RuleCall& call, std::size_t i) {
                      return i < call.transaction.relay.size() && call.transaction.relay[i];
                    });
                  });
}

}  // namespace postern::mailets

// Matchers about the envelope's sender.
#include <re2/re2.h>

#include <set>

#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

const Address& sender_of(const RuleCall& call) {
  return call.transaction.envelope.sender;
}

std::shared_ptr<Matcher> sender_is(Arguments& arguments) {
  std::set<std::string> known;
  for (const std::string& text : arguments.texts("addresses")) {
    if (!Address::parse(text)) arguments.complain("\"" + text + "\" is not a mail address");
    known.insert(to_lower(text));
  }
  return whole_mail("sender_is",
                    [known](const RuleCall& call) { return known.contains(to_lower(sender_of(call).to_string())); });
}

std::shared_ptr<Matcher> sender_is_regex(Arguments& arguments) {
  const auto pattern = std::make_shared<RE2>(arguments.text("pattern"), RE2::Quiet);
  if (!pattern->ok()) arguments.complain("the pattern is wrong: " + pattern->error());
  return whole_mail("sender_is_regex",
                    [pattern](const RuleCall& call) { return RE2::FullMatch(sender_of(call).to_string(), *pattern); });
}

std::shared_ptr<Matcher> sender_domain_is(Arguments& arguments) {
  std::set<std::string> domains;
  for (const std::string& text : arguments.texts("domains")) {
    auto domain = Domain::parse(text);
    if (domain)
      domains.insert(domain->ascii());
    else
      arguments.complain("\"" + text + "\" is not a domain");
  }
  return whole_mail("sender_domain_is",
                    [domains](const RuleCall& call) { return domains.contains(sender_of(call).domain().ascii()); });
}

/// The sender is an address of ours that exists.
class SenderIsLocal final : public Matcher {
 public:
  std::string name() const override { return "sender_is_local"; }
  Selected match(RuleCall call) override {
    if (sender_of(call).is_null() ||
        call.effects.directory().domain_kind(sender_of(call).domain().ascii()) != DomainKind::kLocal)
      return select_all(call, false);
    return look_up(call);
  }

 private:
  static Selected look_up(RuleCall call) {
    const AddressLookup found = co_await call.effects.directory().find(sender_of(call));
    call.effects.trail().effect(call.stage, "directory.user", sender_of(call).to_string(),
                                found.kind == AddressLookup::Kind::kAccount ? found.account : "none", 0);
    if (found.kind == AddressLookup::Kind::kTemporary)
      co_return fault("directory.temporary", "no answer about the sender");
    const bool ours = found.kind == AddressLookup::Kind::kAccount || found.kind == AddressLookup::Kind::kAlias;
    co_return ours ? call.recipients : RecipientSet::none(call.recipients.size());
  }
};

/// The sender's domain has neither MX nor address, so that no bounce could reach it.
class SenderInFakeDomain final : public Matcher {
 public:
  std::string name() const override { return "sender_in_fake_domain"; }
  Selected match(RuleCall call) override {
    const Address& sender = sender_of(call);
    if (sender.is_null() || sender.domain().is_literal() ||
        call.effects.directory().domain_kind(sender.domain().ascii()) != DomainKind::kForeign)
      return select_all(call, false);
    return ask(call, sender.domain().ascii());
  }

 private:
  static Selected ask(RuleCall call, std::string domain) {
    const DnsAnswer mx = co_await call.effects.dns(domain, RecordType::kMx);
    bool null_mx = false;  // "MX 0 .": takes no mail, hence sends none that can be answered (RFC 7505 §4.2)
    for (const MxRecord& record : mx.all<MxRecord>()) null_mx = null_mx || record.exchange == ".";
    if (mx.ok()) co_return null_mx ? call.recipients : RecipientSet::none(call.recipients.size());
    bool unknown = mx.temporary();
    for (const RecordType type : {RecordType::kA, RecordType::kAaaa}) {
      const DnsAnswer answer = co_await call.effects.dns(domain, type);
      if (answer.ok()) co_return RecipientSet::none(call.recipients.size());
      unknown = unknown || answer.temporary();
    }
    if (unknown) co_return fault("dns.temporary", "cannot tell whether the domain " + domain + " exists");
    co_return call.recipients;
  }
};

}  // namespace

void declare_sender_matchers(RuleRegistry& rules) {
  declare_matcher(rules, "sender_is", "All, if the envelope sender is one of these; case does not count.",
                  "match.sender_is(\"boss@example.org\")", "none",
                  {{"addresses", "list of addresses", "the addresses", true, 0}}, sender_is);
  declare_matcher(rules, "sender_is_regex", "All, if the whole sender address fits a pattern (RE2).",
                  "match.sender_is_regex(\"bounce-.*@.*\")", "none",
                  {{"pattern", "string", "the pattern; (?i) in front ignores case", true, 0}}, sender_is_regex);
  declare_matcher(rules, "sender_domain_is", "All, if the sender's domain is one of these.",
                  "match.sender_domain_is \"example.org\"", "none",
                  {{"domains", "list of domains", "the domains", true, 0}}, sender_domain_is);
  declare_matcher(rules, "sender_is_null", "All, if the mail is a bounce: MAIL FROM:<>.", "match.sender_is_null",
                  "none", {}, [](Arguments&) {
                    return whole_mail("sender_is_null", [](const RuleCall& call) { return sender_of(call).is_null(); });
                  });
  declare_matcher(rules, "sender_is_local", "All, if the sender is an account or alias of ours.",
                  "match.sender_is_local", "directory.temporary", {},
                  [](Arguments&) { return std::make_shared<SenderIsLocal>(); });
  declare_matcher(rules, "sender_host_is_local", "All, if the sender's domain is ours.", "match.sender_host_is_local",
                  "none", {}, [](Arguments&) {
                    return whole_mail("sender_host_is_local", [](const RuleCall& call) {
                      return !sender_of(call).is_null() && call.effects.directory().domain_kind(
                                                               sender_of(call).domain().ascii()) == DomainKind::kLocal;
                    });
                  });
  declare_matcher(rules, "sender_in_fake_domain",
                  "All, if the sender's domain has neither MX nor address, or a null MX.",
                  "match.sender_in_fake_domain", "dns.temporary", {},
                  [](Arguments&) { return std::make_shared<SenderInFakeDomain>(); });
}

}  // namespace postern::mailets

// Mailets that change recipients: only among addresses of ours, so that no rule opens the gate.
#include "postern/text.h"
#include "rules.h"

namespace postern::mailets {
namespace {

constexpr std::size_t kMaxFolderTag = 100;  // octets of a folder's name from an address

void set_note(Transaction& mail, std::size_t recipient, std::string_view name, NoteValue value) {
  if (mail.recipient_notes.size() < mail.envelope.recipients.size())
    mail.recipient_notes.resize(mail.envelope.recipients.size());
  mail.recipient_notes[recipient].insert_or_assign(std::string(name), std::move(value));
}

/// postmaster@ any domain of ours goes to one account.
class PostmasterAlias final : public Action {
 public:
  explicit PostmasterAlias(Address target) : target_(std::move(target)) {}
  std::string name() const override { return "postmaster_alias"; }
  Done run(RuleCall call) override {
    Directory& directory = call.effects.directory();
    AddressLookup found = co_await directory.find(target_);
    if (found.kind != AddressLookup::Kind::kAccount)
      co_return fault("postmaster.nobody", target_.to_string() + " is no account here");
    for (std::size_t i = 0; i < call.recipients.size(); ++i) {
      if (!call.recipients.contains(i)) continue;
      Recipient& recipient = call.transaction.envelope.recipients[i];
      if (!recipient.address.is_postmaster() ||
          directory.domain_kind(recipient.address.domain().ascii()) != DomainKind::kLocal)
        continue;
      if (recipient.orcpt.empty()) recipient.orcpt = format_orcpt("rfc822", recipient.address.to_string());
      recipient.address = target_;
      call.transaction.lookups[i] = found;
    }
    co_return ActionResult{};
  }

 private:
  Address target_;
};

std::shared_ptr<Action> postmaster_alias(Arguments& arguments) {
  auto target = Address::parse(arguments.text("address"));
  if (!target) arguments.complain("address is not a mail address");
  return std::make_shared<PostmasterAlias>(target.value_or(Address()));
}

/// Local parts of ours in lower case. The directory's answer of RCPT stays unless the folded name has an account.
class LowerCaseRecipient final : public Action {
 public:
  std::string name() const override { return "lower_case_recipient"; }
  Done run(RuleCall call) override {
    for (std::size_t i = 0; i < call.recipients.size(); ++i) {
      if (!call.recipients.contains(i) || call.transaction.lookups[i].kind == AddressLookup::Kind::kForeign) continue;
      Recipient& recipient = call.transaction.envelope.recipients[i];
      auto folded = Address::make(to_lower(recipient.address.local()), recipient.address.domain());
      if (!folded || *folded == recipient.address) continue;
      AddressLookup found = co_await call.effects.directory().find(*folded);
      Recipient& again = call.transaction.envelope.recipients[i];
      again.address = *folded;
      if (found.kind == AddressLookup::Kind::kAccount) call.transaction.lookups[i] = std::move(found);
    }
    co_return ActionResult{};
  }
};

bool is_folder_name(std::string_view tag) {
  if (tag.empty() || tag.size() > kMaxFolderTag || tag.front() == '.' || !is_valid_utf8(tag)) return false;
  for (const char c : tag)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '/' || c == '\\' || c == '*' || c == '%')
      return false;
  return true;
}

std::shared_ptr<Action> sub_addressing(Arguments& arguments) {
  const std::string delimiters = arguments.text("delimiters", "+");
  if (delimiters.empty()) arguments.complain("delimiters must not be empty");
  return doing("sub_addressing", [delimiters](const RuleCall& call) {
    for (std::size_t i = 0; i < call.recipients.size(); ++i) {
      if (!call.recipients.contains(i) || call.transaction.lookups[i].kind != AddressLookup::Kind::kAccount) continue;
      const std::string tag(recipient_address(call, i).tag(delimiters));
      if (is_folder_name(tag)) set_note(call.transaction, i, "folder", tag);
    }
  });
}

}  // namespace

void declare_recipient_actions(RuleRegistry& rules) {
  declare_action(rules, "postmaster_alias", "Gives the mail for postmaster at every domain of ours to one account.",
                 "act.postmaster_alias \"admin@example.org\"", "postmaster.nobody: the address is no account here",
                 {{"address", "address", "of an account here", true, 0}}, postmaster_alias);
  declare_action(rules, "lower_case_recipient", "Turns the local parts of our own addresses to lower case.",
                 "act.lower_case_recipient", "none", {},
                 [](Arguments&) { return std::make_shared<LowerCaseRecipient>(); });
  declare_action(
      rules, "sub_addressing", "Delivers user+folder to that folder, where a later `deliver` names none (RFC 5233).",
      "act.sub_addressing", "none",
      {{"delimiters", "string", "characters that begin the folder; + unless given", false, 0}}, sub_addressing);
  declare_action(rules, "add_delivered_to", "Gives each recipient's copy a Delivered-To field with its address.",
                 "act.add_delivered_to", "none", {}, [](Arguments&) {
                   return doing("add_delivered_to", [](const RuleCall& call) {
                     for (std::size_t i = 0; i < call.recipients.size(); ++i)
                       if (call.recipients.contains(i)) set_note(call.transaction, i, "delivered-to", true);
                   });
                 });
}

}  // namespace postern::mailets

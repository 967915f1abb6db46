// Mailets that send mail on: forward, copy_to, redirect, resend. Each brings in a mail with the recipients that the
// script names; the gate's proof counts those that are elsewhere as it counts aliases. What a function of the script
// gives may come from the mail itself: such addresses must be ours, or a stranger would choose where mail goes.
#include <fmt/format.h>

#include "bring.h"
#include "postern/mail_date.h"
#include "postern/message.h"

namespace postern::mailets {
namespace {

/// What redirect and resend change.
struct Changes {
  std::optional<Address> from;      ///< header
  std::optional<Address> reply_to;  ///< header
  std::optional<Address> sender;    ///< envelope
  std::string prefix;               ///< of the subject
  bool to_header = false;           ///< To names the new recipients
  bool resent = false;              ///< Resent-* fields (RFC 5322 §3.6.6)
};

class SendsOn final : public Action {
 public:
  SendsOn(std::string name, Targets to, bool goes_on, Changes changes = {})
      : name_(std::move(name)), to_(std::move(to)), goes_on_(goes_on), changes_(std::move(changes)) {}
  std::string name() const override { return name_; }
  std::vector<Address> sends_to() const override { return to_.fixed; }

  Done run(RuleCall call) override {
    const auto to = co_await to_.of(call);
    if (!to) co_return std::unexpected(to.error());
    const std::string why = name_ + " " + joined(*to);
    if (to->empty() || came_from(call, why)) co_return ActionResult{};
    auto draft = co_await copy_message(call, header_of(call, *to));
    if (!draft) co_return std::unexpected(std::move(draft).error());
    BroughtMail mail{.envelope = envelope_onward(call, *to),
                     .draft = std::move(*draft),
                     .rule = {},
                     .why = why,
                     .fixed_recipients = !to_.asked};
    if (changes_.sender) {
      mail.envelope.sender = *changes_.sender;
      mail.envelope.smtputf8 = mail.envelope.smtputf8 || changes_.sender->needs_smtputf8();
    }
    call.transaction.brought.push_back(std::move(mail));
    co_return goes_on_ ? ActionResult{} : sent_on("sent on: " + why);
  }

 private:
  std::string header_of(const RuleCall& call, const std::vector<Address>& to) const {
    std::string header = header_now(call);
    HeaderEdits edits;
    if (changes_.from) {
      edits.remove_all("Sender");
      edits.replace("From", 0, changes_.from->to_string());
    }
    if (changes_.reply_to) edits.replace("Reply-To", 0, changes_.reply_to->to_string());
    if (changes_.to_header) {
      edits.remove_all("Cc");
      edits.replace("To", 0, joined(to));
    }
    if (!changes_.prefix.empty()) {
      const std::string subject = HeaderBlock(header).decoded("Subject");
      if (!subject.starts_with(changes_.prefix))
        edits.replace("Subject", 0, encode_words(subject.empty() ? changes_.prefix : changes_.prefix + " " + subject));
    }
    if (changes_.resent) add_resent(call, to, edits);
    return edits.empty() ? header : edits.apply(HeaderBlock(header)).join();
  }
  /// From below to the top, as they are to be read from the top.
  void add_resent(const RuleCall& call, const std::vector<Address>& to, HeaderEdits& edits) const {
    const WallTime now = call.effects.clock();
    const Address from = changes_.sender ? *changes_.sender : our_postmaster(call);
    const auto number = static_cast<std::uint64_t>(call.effects.random() * 9007199254740992.0);  // 2^53
    edits.add_top("Resent-Message-ID", make_message_id(now, number, from.domain().ascii()));
    edits.add_top("Resent-To", joined(to));
    edits.add_top("Resent-From", from.to_string());
    edits.add_top("Resent-Date", format_mail_date(now));
  }

  std::string name_;
  Targets to_;
  bool goes_on_;
  Changes changes_;
};

std::shared_ptr<Action> forward(Arguments& arguments) {
  const bool keep = arguments.named("keep") && arguments.flag("keep", false);
  return std::make_shared<SendsOn>("forward", targets_of(arguments, "to"), keep);
}

std::shared_ptr<Action> copy_to(Arguments& arguments) {
  return std::make_shared<SendsOn>("copy_to", targets_of(arguments, "to"), true);
}

std::shared_ptr<Action> resend(Arguments& arguments) {
  Changes changes;
  changes.resent = true;
  if (arguments.named("sender")) changes.sender = address_of(arguments, "sender");
  const bool keep = arguments.named("keep") && arguments.flag("keep", false);
  return std::make_shared<SendsOn>("resend", targets_of(arguments, "to"), keep, std::move(changes));
}

std::shared_ptr<Action> redirect(Arguments& arguments) {
  Changes changes;
  changes.from = address_of(arguments, "from");
  changes.reply_to = address_of(arguments, "reply_to");
  changes.sender = address_of(arguments, "sender");
  changes.prefix = arguments.text("prefix", "");
  changes.to_header = arguments.flag("to_header", false);
  const bool keep = arguments.flag("keep", false);
  if (!arguments.named("to")) arguments.complain("needs to");
  return std::make_shared<SendsOn>("redirect", targets_of(arguments, "to"), keep, std::move(changes));
}

}  // namespace

void declare_forwards(RuleRegistry& rules) {
  static constexpr std::string_view kErrors =
      "brought.relay: an address is elsewhere and [relay] forward_aliases is false; brought.nobody: one is ours and "
      "does "
      "not exist; brought.depth, brought.limit: mails bring in mails without end; mailet.targets: a function gave more "
      "than 100 addresses; spool.*";
  static constexpr std::string_view kTo =
      "list of addresses, or a function of the mail that gives one, or nothing to leave the mail as it is; what it "
      "gives "
      "must be ours";
  const ArgumentInfo keep{"keep", "boolean", "whether the recipients get the mail, too; false unless given"};
  declare_action(
      rules, "forward",
      "Sends the mail to these addresses instead of the recipients: unchanged, with its sender, through all pipelines.",
      "act.forward { \"bob@example.net\", keep = true }", kErrors,
      {{"to", kTo, "where it goes; a mail that comes of it is not forwarded there again", true, 0}, keep}, forward);
  declare_action(rules, "copy_to", "Sends a copy of the mail as it is here to these addresses, and goes on.",
                 "act.copy_to \"archive@example.org\"", kErrors,
                 {{"to", kTo, "who gets it; a mail that comes of it is not copied there again", true, 0}}, copy_to);
  declare_action(rules, "redirect", "Sends the mail on to these addresses with another face, as a list does.",
                 "act.redirect { to = \"team@example.org\", prefix = \"[team]\", reply_to = \"team@example.org\" }",
                 kErrors,
                 {{"to", kTo, "where it goes", true},
                  {"from", "address", "the From field; a Sender field goes"},
                  {"reply_to", "address", "the Reply-To field"},
                  {"sender", "address", "the envelope's sender, who hears of failures; unless given, the mail's"},
                  {"prefix", "string", "put before the subject, unless it is there"},
                  {"to_header", "boolean", "whether To names the new recipients, and Cc goes; false unless given"},
                  keep},
                 redirect);
  declare_action(rules, "resend", "Sends the mail on to these addresses with Resent-* fields (RFC 5322 section 3.6.6).",
                 "act.resend { \"desk@example.org\", sender = \"desk@example.org\" }", kErrors,
                 {{"to", kTo, "where it goes", true, 0},
                  {"sender", "address",
                   "who resends it: the envelope's sender and Resent-From; unless given, the mail's sender "
                   "stays and Resent-From is postmaster"},
                  keep},
                 resend);
}

}  // namespace postern::mailets

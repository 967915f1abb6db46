// Mailets that tell somebody about a mail: notify_sender, notify_postmaster.
//
// A notice to a sender is backscatter when the sender was forged, so it goes to those only who have shown who they are:
// they logged in, or came from a relay network. For others the mail is to be refused (act.bounce), which tells its true
// sender. Who checks senders otherwise (SPF, DKIM) may say so with `strangers = true`, behind such a matcher.
#include <fmt/format.h>

#include "bring.h"
#include "postern/message.h"

namespace postern::mailets {
namespace {

struct Terms {
  std::string subject;
  std::string text;
  std::string note;  ///< whose value is added
  Notice::Attach attach = Notice::Attach::kHeader;
  std::optional<Address> from;
  std::string from_name;
  std::optional<Address> to;  ///< of notify_postmaster
  bool strangers = false;
};

/// What the mail was, for people.
std::string story(const RuleCall& call, const Terms& terms) {
  constexpr std::size_t kMostRecipients = 20;
  const Transaction& mail = call.transaction;
  std::string out = terms.text + "\n\n";
  if (!terms.note.empty())
    if (const auto note = mail.notes.find(terms.note); note != mail.notes.end())
      if (const auto* text = std::get_if<std::string>(&note->second)) out += *text + "\n\n";
  out += fmt::format("Sender:    {}\n", mail.envelope.sender.path());
  std::size_t shown = 0;
  for (std::size_t i = 0; i < call.recipients.size(); ++i) {
    if (!call.recipients.contains(i)) continue;
    if (++shown > kMostRecipients) continue;
    out += fmt::format("Recipient: {}\n", recipient_address(call, i).path());
  }
  if (shown > kMostRecipients) out += fmt::format("           and {} more\n", shown - kMostRecipients);
  if (const std::string subject = HeaderBlock(mail.headers()).decoded("Subject"); !subject.empty())
    out += fmt::format("Subject:   {}\n", scrub_utf8(subject));
  if (mail.draft) out += fmt::format("Message:   {}\n", mail.draft->id().to_string());
  return out;
}

class Notifies final : public Action {
 public:
  Notifies(std::string name, Terms terms) : name_(std::move(name)), terms_(std::move(terms)) {}
  std::string name() const override { return name_; }
  std::vector<Address> sends_to() const override {
    return terms_.to ? std::vector<Address>{*terms_.to} : std::vector<Address>();
  }

  Done run(RuleCall call) override {
    const bool to_sender = name_ == "notify_sender";
    if (const auto why = to_sender ? why_not_sender(call) : why_not_postmaster(call)) {
      call.effects.trail().fact(call.stage, name_, "no: " + *why);
      co_return ActionResult{};
    }
    Notice notice;
    notice.from = terms_.from.value_or(our_postmaster(call));
    notice.from_name = terms_.from_name;
    notice.to = to_sender ? call.transaction.envelope.sender : terms_.to.value_or(our_postmaster(call));
    notice.subject = terms_.subject;
    notice.text = story(call, terms_);
    notice.auto_submitted = to_sender ? "auto-replied" : "auto-generated";
    notice.attach = terms_.attach;
    const Address to = notice.to;
    auto draft = co_await write_notice(call, std::move(notice));
    if (!draft) co_return std::unexpected(std::move(draft).error());
    bring_notice(call, std::move(*draft), to, name_, !to_sender);
    co_return ActionResult{};
  }

 private:
  std::optional<std::string> why_not_sender(const RuleCall& call) const {
    if (auto why = no_answer_to(call)) return why;
    const SessionState& session = call.transaction.session;
    if (!terms_.strangers && !session.client.authenticated() && !session.relay_network)
      return "nobody has shown that the sender is who it says";
    return std::nullopt;
  }
  /// A report about a report would never end.
  std::optional<std::string> why_not_postmaster(const RuleCall& call) const {
    if (call.transaction.session.made_here) return "this server made the mail";
    return std::nullopt;
  }

  std::string name_;
  Terms terms_;
};

Terms terms_of(Arguments& arguments, std::string_view subject) {
  Terms terms;
  terms.text = arguments.text("text");
  terms.subject = arguments.text("subject", subject);
  terms.note = arguments.text("note", "");
  terms.from = address_of(arguments, "from");
  terms.from_name = arguments.text("from_name", "Mail server");
  const std::string attach = arguments.text("attach", "header");
  if (attach == "none")
    terms.attach = Notice::Attach::kNothing;
  else if (attach == "message")
    terms.attach = Notice::Attach::kMessage;
  else if (attach != "header")
    arguments.complain("attach must be none, header or message");
  return terms;
}

std::vector<ArgumentInfo> with_common(std::vector<ArgumentInfo> special) {
  std::vector<ArgumentInfo> out{
      {"text", "string", "what happened; sender, recipients and subject of the mail follow it", true, 0},
      {"subject", "string", "of the notice"},
      {"note", "string", "a note of the mail whose text is added: the error that a rule before this one kept"},
      {"attach", "string", "none, header or message (up to 1 MiB, else its header); header unless given"},
      {"from", "address", "whom it is from; postmaster of the default domain unless given"},
      {"from_name", "string", "the name before that address; \"Mail server\" unless given"}};
  for (ArgumentInfo& one : special) out.push_back(one);
  return out;
}

}  // namespace

void declare_notices(RuleRegistry& rules) {
  declare_action(
      rules, "notify_sender",
      "Tells the sender about the mail, and goes on. Never with a null sender, mail of lists and programs, or a "
      "stranger.",
      "act.notify_sender { text = \"Your mail waits for a moderator.\" }", "spool.*: no message can be written",
      with_common({{"strangers", "boolean",
                    "whether senders who neither logged in nor came from a relay network are told, too. Only behind a "
                    "matcher that has checked the sender (SPF, DKIM): else notices reach people whose name was used; "
                    "false unless given"}}),
      [](Arguments& arguments) {
        Terms terms = terms_of(arguments, "About your mail");
        terms.strangers = arguments.flag("strangers", false);
        return std::make_shared<Notifies>("notify_sender", std::move(terms));
      });
  declare_action(rules, "notify_postmaster", "Tells the postmaster, or whom you name, about the mail, and goes on.",
                 "act.notify_postmaster { text = \"A virus came in.\", attach = \"header\" }",
                 "spool.*: no message can be written",
                 with_common({{"to", "address", "who is told; postmaster of the default domain unless given"}}),
                 [](Arguments& arguments) {
                   Terms terms = terms_of(arguments, "A mail that you should know of");
                   terms.to = address_of(arguments, "to");
                   return std::make_shared<Notifies>("notify_postmaster", std::move(terms));
                 });
}

}  // namespace postern::mailets

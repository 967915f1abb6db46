// vacation: answers for those who are away (RFC 3834, RFC 5230 §4).
//
// An answer goes to the envelope's sender, at most once in `days` for each recipient, sender and text; the store of
// [pipeline] kv remembers. Here it is only asked; what counts is the answer's own commit (BroughtMail::once), so that a
// mail that is refused after this rule, or fails, has silenced nothing, and two mails at once make one answer. Where
// there is no store, or it fails, nobody is answered: an answer too few is forgiven, a storm is not.
#include <fmt/format.h>

#include <algorithm>

#include "bring.h"
#include "postern/key_value.h"
#include "postern/message.h"
#include "postern/text.h"

namespace postern::mailets {
namespace {

constexpr std::size_t kMaxText = 64 * 1024;  ///< octets of an answer
constexpr std::string_view kTextNote = "vacation";

struct Terms {
  std::string subject;
  std::string text;
  std::int64_t days = 7;
  std::vector<Address> addresses;  ///< further ones of the recipients
  std::optional<Address> from;
  std::string from_name;
};

bool same(const Address& a, const Address& b) {
  return a.domain() == b.domain() && equal_folded(a.local(), b.local());
}

class Vacation final : public Action {
 public:
  explicit Vacation(Terms terms) : terms_(std::move(terms)) {}
  std::string name() const override { return "vacation"; }

  Done run(RuleCall call) override {
    if (const auto why = no_answer_to(call)) {
      call.effects.trail().fact(call.stage, "vacation", "no: " + *why);
      co_return ActionResult{};
    }
    const std::vector<Address> named = named_in(HeaderBlock(call.transaction.headers()));
    for (std::size_t i = 0; i < call.recipients.size(); ++i) {
      if (!call.recipients.contains(i)) continue;
      const std::string text = text_for(call, i);
      if (text.empty()) continue;
      if (const auto why = why_not(call, i, named)) {
        call.effects.trail().fact(call.stage, "vacation",
                                  fmt::format("no for {}: {}", recipient_address(call, i).to_string(), *why));
        continue;
      }
      auto once = once_of(call, i, text);
      if (!co_await is_first(call, once)) continue;
      if (auto brought = co_await answer(call, i, text, std::move(once)); !brought)
        co_return std::unexpected(brought.error());
    }
    co_return ActionResult{};
  }

 private:
  std::string text_for(const RuleCall& call, std::size_t recipient) const {
    const auto& notes = call.transaction.recipient_notes;
    if (recipient < notes.size())
      if (const auto note = notes[recipient].find(kTextNote); note != notes[recipient].end())
        if (const auto* text = std::get_if<std::string>(&note->second)) return text->substr(0, kMaxText);
    return terms_.text;
  }

  /// Everybody in To and Cc, and their Resent- kin (RFC 3834 §2).
  static std::vector<Address> named_in(const HeaderBlock& header) {
    std::vector<Address> out;
    for (const HeaderField& field : header) {
      if (!field.is("To") && !field.is("Cc") && !field.is("Resent-To") && !field.is("Resent-Cc")) continue;
      for (const HeaderAddress& item : parse_address_list(field.value()).items)
        if (auto address = item.address()) out.push_back(std::move(*address));
    }
    return out;
  }

  std::optional<std::string> why_not(const RuleCall& call, std::size_t recipient,
                                     const std::vector<Address>& named) const {
    std::vector<Address> own = terms_.addresses;
    own.push_back(recipient_address(call, recipient));
    const std::string& orcpt = call.transaction.envelope.recipients[recipient].orcpt;
    if (const auto original = parse_orcpt(orcpt); !orcpt.empty() && original)
      if (auto address = Address::parse(original->address)) own.push_back(std::move(*address));
    const Address& sender = call.transaction.envelope.sender;
    if (std::ranges::any_of(own, [&](const Address& one) { return same(one, sender); })) return "it is from themselves";
    const bool mentioned = std::ranges::any_of(own, [&](const Address& mine) {
      return std::ranges::any_of(
          named, [&](const Address& other) { return same(mine, other) || same(mine, other.without_tag()); });
    });
    if (!mentioned) return "neither To nor Cc names them";
    return std::nullopt;
  }

  /// What is counted when the answer is committed.
  std::shared_ptr<const KeyValueRequest> once_of(const RuleCall& call, std::size_t recipient,
                                                 const std::string& text) const {
    auto once = std::make_shared<KeyValueRequest>();
    once->kind = KeyValueRequest::Kind::kIncrement;
    once->key = fmt::format("vacation/{}/{}/{}", to_lower(recipient_address(call, recipient).to_string()), digest(text),
                            to_lower(call.transaction.envelope.sender.to_string()));
    if (once->key.size() > KeyValueStore::kMaxKey) once->key.resize(KeyValueStore::kMaxKey);
    once->expiry = std::chrono::hours(24) * terms_.days;
    return once;
  }

  static Task<bool> is_first(RuleCall call, std::shared_ptr<const KeyValueRequest> once) {
    for (const BroughtMail& other : call.transaction.brought)
      if (other.once && other.once->key == once->key) co_return false;  // by another rule for this very mail
    auto reply = co_await call.effects.kv("", {.kind = KeyValueRequest::Kind::kGet, .key = once->key});
    if (!reply) {
      call.effects.trail().error(call.stage, "vacation", "nobody is answered: " + reply.error().code);
      co_return false;
    }
    co_return !reply->value;
  }

  /// FNV-1a of 32 bits: another text is another answer. Keys outlive a release, so postern/hash.h is not for them.
  static std::string digest(std::string_view text) {
    std::uint32_t sum = 2166136261U;
    for (const char c : text) sum = (sum ^ static_cast<unsigned char>(c)) * 16777619U;
    return fmt::format("{:08x}", sum);
  }

  Task<Result<void>> answer(RuleCall call, std::size_t recipient, std::string text,
                            std::shared_ptr<const KeyValueRequest> once) const {
    Notice notice;
    notice.from = terms_.from.value_or(recipient_address(call, recipient));
    notice.from_name = terms_.from_name;
    notice.to = call.transaction.envelope.sender;
    const std::string subject = HeaderBlock(call.transaction.headers()).decoded("Subject");
    notice.subject = !terms_.subject.empty() ? terms_.subject : "Auto: " + (subject.empty() ? "your mail" : subject);
    notice.text = std::move(text);
    notice.auto_submitted = "auto-replied (vacation)";
    const Address to = notice.to;
    auto draft = co_await write_notice(call, std::move(notice));
    if (!draft) co_return std::unexpected(std::move(draft).error());
    bring_notice(call, std::move(*draft), to,
                 fmt::format("vacation of {}", recipient_address(call, recipient).to_string()), false, std::move(once));
    co_return Result<void>();
  }

  Terms terms_;
};

std::shared_ptr<Action> vacation(Arguments& arguments) {
  Terms terms;
  terms.text = arguments.text("text", "");
  if (terms.text.size() > kMaxText) arguments.complain("text is too long");
  terms.subject = arguments.text("subject", "");
  terms.days = arguments.integer("days", 1, 365).value_or(7);
  if (arguments.named("addresses")) terms.addresses = addresses_of(arguments, "addresses");
  terms.from = address_of(arguments, "from");
  terms.from_name = arguments.text("from_name", "");
  return std::make_shared<Vacation>(std::move(terms));
}

}  // namespace

void declare_vacation(RuleRegistry& rules) {
  declare_action(
      rules, "vacation",
      "Answers the sender for recipients who are away, once in some days, as RFC 3834 wants; goes on. Put it behind "
      "what "
      "keeps spam away.",
      "act.vacation { text = \"I am back on Monday.\", days = 7 }",
      "spool.*: no answer can be written. Without a kv store nobody is answered, and the trail says so",
      {{"text", "string",
        "the answer. A recipient's note \"vacation\" with a text goes before it: without either there is no answer",
        false, 0},
       {"subject", "string", "of the answer; \"Auto:\" and the mail's subject unless given"},
       {"days", "integer", "from 1 to 365: how long a sender is not answered again; 7 unless given"},
       {"addresses", "list of addresses",
        "further addresses of the recipients: the mail's To or Cc must name one of them, or the recipient"},
       {"from", "address", "whom the answer is from; the recipient unless given"},
       {"from_name", "string", "the name before that address"}},
      vacation);
}

}  // namespace postern::mailets

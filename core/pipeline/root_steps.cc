// From what an action said to the steps of a plan: one per account, per set of header edits and per hold.
#include <fmt/format.h>

#include <algorithm>

#include "core/pipeline/root_run.h"

namespace postern {
namespace {

std::string options_text(const std::map<std::string, std::string>& options) {
  std::string out;
  for (const auto& [name, value] : options) out += fmt::format(" {}={}", name, value);
  return out;
}

}  // namespace

Result<void> RootRun::check_step(const PlanStep& step, std::size_t recipient) const {
  const Address& address = mail_.envelope.recipients[recipient].address;
  const AddressLookup& lookup = mail_.lookups[recipient];
  if (step.kind == PlanStep::Kind::kDeliver && step.account.empty() && lookup.kind != AddressLookup::Kind::kAccount &&
      !address.is_postmaster())
    return fault("deliver.nobody", fmt::format("{} has no mailbox here", address.to_string()));
  // What the gate did not let out stays in, whatever a script says (architecture.md decision 7).
  if (step.kind == PlanStep::Kind::kRelay && !mail_.relay[recipient] &&
      worker_.directory->domain_kind(address.domain().ascii()) == DomainKind::kForeign)
    return fault("relay.denied", fmt::format("the gate does not let this client relay to {}", address.to_string()));
  return {};
}

Result<void> RootRun::add_steps(const PlanStep& step, const RecipientSet& recipients) {
  for (std::size_t i = 0; i < count_; ++i)
    if (recipients.contains(i))
      if (auto checked = check_step(step, i); !checked) return checked;
  const std::size_t first_new = steps_.size();
  for (std::size_t i = 0; i < count_; ++i)
    if (recipients.contains(i)) add_to_step(step, i, first_new);
  for (std::size_t at = first_new; at < steps_.size(); ++at) {
    const PlanStep& made = steps_[at];
    RecipientSet who = RecipientSet::none(count_);
    for (const std::uint32_t number : made.recipients) who.insert(number);
    static constexpr std::string_view kWords[] = {"", "deliver", "relay", "discard", "quarantine", "bounce"};
    const std::string_view word = kWords[static_cast<std::size_t>(made.kind)];
    mail_.trail.fact(Stage::kMessage, "plan",
                     made.kind == PlanStep::Kind::kDeliver
                         ? fmt::format("deliver to {} folder {} [{}]", made.account, made.folder, who.to_string())
                         : fmt::format("{}{} [{}]", word, options_text(made.options), who.to_string()));
  }
  return {};
}

const NoteValue* RootRun::recipient_note(std::size_t recipient, std::string_view name) const {
  if (recipient >= mail_.recipient_notes.size()) return nullptr;
  const auto found = mail_.recipient_notes[recipient].find(name);
  return found == mail_.recipient_notes[recipient].end() ? nullptr : &found->second;
}

std::string RootRun::folder_of(const PlanStep& step, std::size_t recipient) const {
  if (!step.folder.empty()) return step.folder;
  const NoteValue* note = recipient_note(recipient, "folder");
  const auto* folder = note ? std::get_if<std::string>(note) : nullptr;
  return folder && !folder->empty() ? *folder : "INBOX";
}

std::string RootRun::edits_for(std::size_t recipient) const {
  HeaderEdits edits;
  if (!edits_of_.empty()) edits = edit_lists_[edits_of_[recipient]];
  const NoteValue* note = recipient_note(recipient, "delivered-to");
  if (note && std::get_if<bool>(note) && std::get<bool>(*note))
    edits.add_top("Delivered-To", mail_.envelope.recipients[recipient].address.to_string());
  std::string out;
  if (!edits.empty()) edits.encode(out);
  return out;
}

/// The recipient's note "not-before", in seconds since 1970 (act.split).
WallTime RootRun::noted_time(std::size_t recipient) const {
  constexpr std::int64_t kFarthest = 1LL << 40;  // beyond it a time in microseconds would not fit
  const NoteValue* note = recipient_note(recipient, "not-before");
  const auto* seconds = note ? std::get_if<std::int64_t>(note) : nullptr;
  return seconds && *seconds > 0 && *seconds < kFarthest ? WallTime(std::chrono::seconds(*seconds)) : WallTime{};
}

void RootRun::add_to_step(const PlanStep& step, std::size_t recipient, std::size_t first_new) {
  PlanStep wanted;
  wanted.kind = step.kind;
  if (step.kind == PlanStep::Kind::kDeliver)
    wanted.account = step.account.empty() ? mail_.lookups[recipient].account : step.account;
  if (step.kind == PlanStep::Kind::kDeliver && wanted.account.empty())
    wanted.kind = PlanStep::Kind::kQuarantine;  // postmaster
  if (wanted.kind == PlanStep::Kind::kDeliver) wanted.folder = folder_of(step, recipient);
  if (wanted.kind == PlanStep::Kind::kDeliver || wanted.kind == PlanStep::Kind::kRelay)
    wanted.header_edits = edits_for(recipient);
  wanted.not_before = step.not_before;
  if (!not_before_.empty()) wanted.not_before = std::max(wanted.not_before, not_before_[recipient]);
  if (wanted.kind == PlanStep::Kind::kDeliver || wanted.kind == PlanStep::Kind::kRelay)
    wanted.not_before = std::max(wanted.not_before, noted_time(recipient));
  for (std::size_t at = first_new; at < steps_.size(); ++at) {
    PlanStep& known = steps_[at];
    if (known.kind != wanted.kind || known.account != wanted.account || known.folder != wanted.folder ||
        known.not_before != wanted.not_before || known.header_edits != wanted.header_edits)
      continue;
    // A rule may have given two recipients one address: one mailbox gets one copy.
    const Address& address = mail_.envelope.recipients[recipient].address;
    const bool twice =
        wanted.kind == PlanStep::Kind::kDeliver && std::ranges::any_of(known.recipients, [&](std::uint32_t other) {
          return mail_.envelope.recipients[other].address == address;
        });
    if (!twice) {
      known.recipients.push_back(static_cast<std::uint32_t>(recipient));
      return;
    }
    wanted = {};
    wanted.kind = PlanStep::Kind::kDiscard;
    wanted.reason = "the same address is a recipient already";
    wanted.recipients.push_back(static_cast<std::uint32_t>(recipient));
    steps_.push_back(std::move(wanted));
    return;
  }
  wanted.flags = step.flags;
  wanted.options = step.options;
  wanted.reason = wanted.kind == step.kind ? step.reason : "postmaster has no mailbox here";
  wanted.recipients.push_back(static_cast<std::uint32_t>(recipient));
  steps_.push_back(std::move(wanted));
}

}  // namespace postern

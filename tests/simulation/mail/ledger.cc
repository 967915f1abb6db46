#include "ledger.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/text.h"

namespace postern::simulation {

namespace {

/// How long after an answer came what it said may still be lost to a crash: lazy marks wait, and workers take turns.
constexpr Duration kKeeping = 2s;

std::string name_of(const Letter& letter, const LetterRecipient& one) {
  return fmt::format("letter {} ({}) to {}", letter.number, letter.id.to_string(), one.address);
}

double seconds(Instant at) {
  return std::chrono::duration<double>(at.time_since_epoch()).count();
}

}  // namespace

Letter& Ledger::add() {
  const std::size_t number = letters_.size() + 1;
  Letter& letter = letters_[number];
  letter.number = number;
  return letter;
}

Letter* Ledger::find(MessageId id) {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &letters_.at(found->second);
}

/// Addresses are "rNUMBER-INDEX@domain".
LetterRecipient* Ledger::recipient_of(const std::string& address, Letter** letter) {
  if (!address.starts_with('r')) return nullptr;
  std::string_view rest = std::string_view(address).substr(1);
  const auto number = to_number<std::size_t>(take_until(rest, '-'));
  const auto index = to_number<std::size_t>(take_until(rest, '@'));
  if (!number || !index || !letters_.contains(*number)) return nullptr;
  Letter& found = letters_.at(*number);
  if (letter) *letter = &found;
  return *index < found.recipients.size() ? &found.recipients[*index] : nullptr;
}

// --- what is seen ---------------------------------------------------------------------------------------------------

std::vector<Taken*> Ledger::host_took(Instant now, const std::string& host, const std::string& from,
                                      const std::vector<std::string>& to, const std::string& text, bool converted,
                                      bool tells) {
  std::vector<Taken*> out;
  for (const std::string& address : to) {
    Letter* letter = nullptr;
    LetterRecipient* one = recipient_of(address, &letter);
    if (one == nullptr || one->fate != Fate::kRemote) {
      if (!from.empty()) fail(fmt::format("{} got mail of <{}> for {}, who is in no letter", host, from, address));
      take_report(now, address, text);
      continue;
    }
    if (from != letter->sender) fail(fmt::format("{} came from <{}>", name_of(*letter, *one), from));
    // What was converted for one host goes so to the next one, too.
    if (!converted && !letter->eight_bit && !text.ends_with(letter->text))
      fail(fmt::format("{} came with other octets:\n{}", name_of(*letter, *one), text));
    if (letter->state == Letter::State::kGone)
      fail(name_of(*letter, *one) + " came back although it was never accepted");
    if (letter->recalled && now > *letter->recalled) fail(name_of(*letter, *one) + " was sent after its recall");
    if (one->first_told && !one->told_maybe)
      fail(name_of(*letter, *one) + " was sent after its sender had been told of its failure");
    if (one->taken.size() > 200) return out;
    one->taken.reserve(201);  // pointers stay
    out.push_back(&one->taken.emplace_back(Taken{.at = now, .host = host, .tells = tells}));
  }
  return out;
}

void Ledger::mailbox_took(Instant now, const std::string& account, const std::string& text) {
  if (account == kPostmaster || account == kSenders) return take_report(now, account, text);
  const std::size_t at = text.find("X-Letter: ");
  const auto number =
      at == text.npos ? std::nullopt : to_number<std::size_t>(text.substr(at + 10, text.find('\r', at) - at - 10));
  if (!number || !letters_.contains(*number)) return fail("mailbox " + account + " got something that nobody sent");
  Letter& letter = letters_.at(*number);
  if (!text.ends_with(letter.text)) fail(fmt::format("letter {} came into {} with other octets", *number, account));
  bool any = false;
  for (LetterRecipient& one : letter.recipients) {
    if (one.fate != Fate::kMailbox || one.account != account) continue;
    any = true;
    one.published.push_back(now);
    if (letter.recalled && now > *letter.recalled) fail(name_of(letter, one) + " was delivered after its recall");
  }
  if (!any) fail(fmt::format("letter {} came into {}, which is none of its mailboxes", *number, account));
}

void Ledger::take_report(Instant now, const std::string& where, const std::string& text) {
  const auto report = read_report(text);
  if (!report) return fail("no report, and yet at " + where + ":\n" + text);
  for (const ReportEntry& entry : report->entries) take_entry(now, where, *report, entry, false);
  // A report that could not be delivered itself: what it told is with the postmaster now.
  if (const auto inner = read_report(report->returned))
    for (const ReportEntry& entry : inner->entries) take_entry(now, where, *inner, entry, true);
}

void Ledger::take_entry(Instant now, const std::string& where, const Report& report, const ReportEntry& entry,
                        bool nested) {
  Letter* letter = nullptr;
  LetterRecipient* one = recipient_of(entry.recipient, &letter);
  if (one == nullptr) return;  // about a report
  const std::string what = name_of(*letter, *one);
  const auto id = MessageId::parse(entry.about);
  if (!id || *id != letter->id) fail(what + ": a report names " + entry.about);
  const bool local = std::string_view(letter->sender).ends_with(kLocalDomain);
  const bool to_sender = where == letter->sender || (local && where == kSenders);
  if (letter->sender.empty() ? where != kPostmaster : !to_sender && where != kPostmaster)
    fail(fmt::format("{}: the report {} went to {}", what, report.id, where));
  if (letter->sender.empty() && entry.action != "failed") fail(what + ": a null sender was told " + entry.action);
  const Notify event = entry.action == "failed"    ? kNotifyFailure
                       : entry.action == "delayed" ? kNotifyDelay
                                                   : kNotifySuccess;
  if (!Recipient{.address = {}, .orcpt = {}, .notify = one->notify}.wants(event))
    fail(fmt::format("{}: told {} although NOTIFY={}", what, entry.action, format_notify(one->notify)));
  if ((entry.action == "relayed" || entry.action == "delivered") && one->taken.empty() && one->published.empty())
    fail(what + ": told " + entry.action + ", and nobody got it");
  ++one->told[entry.action + "/" + report.id];
  if (entry.action != "failed") return;
  if (!one->first_told) one->told_maybe = true;
  one->told_maybe = one->told_maybe && entry.maybe;
  if (!one->first_told) one->first_told = now;
  static_cast<void>(nested);
}

void Ledger::says(Instant now, std::string_view event, std::string_view id, std::string_view recipient) {
  if (dead_) return;
  Letter* letter = nullptr;
  LetterRecipient* one = recipient_of(std::string(recipient), &letter);
  if (one == nullptr || letter->id.to_string() != id) return;
  if (event == "queue.failed") ++one->says_failed;
  if (event != "queue.delivered") return;
  one->says_delivered.push_back(now);
  if (one->taken.empty() && one->published.empty())
    fail(name_of(*letter, *one) + ": the log says that it was delivered, and nobody got it");
}

void Ledger::found(const std::vector<MessageInfo>& there) {
  std::set<MessageId> ids;
  for (const MessageInfo& info : there) ids.insert(info.id);
  for (auto& [number, letter] : letters_) {
    if (!letter.id || letter.state != Letter::State::kUnknown) continue;
    const bool seen = ids.contains(letter.id) || std::ranges::any_of(letter.recipients, [](const auto& one) {
                        return !one.taken.empty() || !one.published.empty() || one.says_failed > 0;
                      });
    letter.state = seen ? Letter::State::kAccepted : Letter::State::kGone;
  }
}

// --- the end --------------------------------------------------------------------------------------------------------

bool Ledger::interrupted_between(Instant from, Instant to) const {
  return std::ranges::any_of(interruptions_, [&](const Interruption& one) {
    return one.at >= from && one.at <= to && (one.at < from + kKeeping || one.since < from + kKeeping);
  });
}

void Ledger::check_end(const std::vector<MessageInfo>& left) {
  for (const MessageInfo& info : left) {
    const Letter* letter = find(info.id);
    fail(fmt::format("still in the spool: {} ({}), attempts {}, note \"{}\"{}", info.id.to_string(),
                     letter ? fmt::format("letter {}", letter->number) : "a report",
                     info.recipients.empty() ? 0 : info.recipients[0].attempts,
                     info.recipients.empty() ? "" : info.recipients[0].note,
                     info.held_until ? ", held: " + info.hold_reason : ""));
  }
  for (const auto& [number, letter] : letters_)
    if (letter.state == Letter::State::kAccepted) check_letter(letter);
}

void Ledger::check_letter(const Letter& letter) {
  for (const LetterRecipient& one : letter.recipients) check_recipient(letter, one);
}

void Ledger::check_recipient(const Letter& letter, const LetterRecipient& one) {
  const std::string what = name_of(letter, one);
  if (one.fate == Fate::kMailbox) check_mailbox(what, one);
  if (one.fate == Fate::kRemote) check_repeats(what, one);
  if ((one.fate == Fate::kDiscard || one.fate == Fate::kBounce) && !one.taken.empty())
    fail(what + " was sent, and was not to be");
  check_reports(what, letter, one);
  check_success(what, letter, one);
  check_none(what, letter, one);
}

void Ledger::check_mailbox(const std::string& what, const LetterRecipient& one) {
  if (one.published.size() > 1) fail(fmt::format("{} came {} times into its mailbox", what, one.published.size()));
  if (!one.published.empty() && one.first_told)
    fail(what + " lies in its mailbox, and its sender was told of its failure");
}

/// Each time but the last needs a reason why it was not the last.
void Ledger::check_repeats(const std::string& what, const LetterRecipient& one) {
  for (std::size_t at = 0; at + 1 < one.taken.size(); ++at) {
    const Taken& first = one.taken[at];
    // An answer is noted when all of its attempt has ended; a crash before that loses it.
    const auto said = std::ranges::lower_bound(one.says_delivered, first.at);
    const Instant noted = said == one.says_delivered.end() ? one.taken[at + 1].at : *said;
    const bool lost = std::ranges::any_of(
        interruptions_, [&](const Interruption& each) { return each.at >= first.at && each.since <= noted; });
    if (!first.reply_sent || lost || interrupted_between(noted, one.taken[at + 1].at)) continue;
    fail(fmt::format("{} was sent again without need: {} took it at {:.6f} and said so, {} again at {:.6f}", what,
                     first.host, seconds(first.at), one.taken[at + 1].host, seconds(one.taken[at + 1].at)));
  }
}

void Ledger::check_reports(const std::string& what, const Letter& letter, const LetterRecipient& one) {
  unsigned failures = 0;
  for (const auto& [which, count] : one.told) failures += which.starts_with("failed/") ? 1 : 0;
  if (failures > 1) fail(fmt::format("{}: its sender was told {} times of its failure", what, failures));
  const bool both = !one.taken.empty() || !one.published.empty();
  if (failures > 0 && both && !one.told_maybe)
    fail(what + " was delivered and bounced, and the bounce does not say that it may have been delivered");
  if (one.says_failed == 0 || failures > 0) return;
  const bool wanted = Recipient{.address = {}, .orcpt = {}, .notify = one.notify}.wants(kNotifyFailure);
  if (wanted && !letter.maybe_recalled && !letter.recalled) fail(what + " failed, and nobody was told");
}

void Ledger::check_success(const std::string& what, const Letter& letter, const LetterRecipient& one) {
  unsigned successes = 0;
  for (const auto& [which, count] : one.told)
    successes += which.starts_with("delivered/") || which.starts_with("relayed/") ? 1 : 0;
  if (successes > 1) fail(fmt::format("{}: its sender was told {} times of its success", what, successes));
  if (successes > 0 || letter.sender.empty() || letter.recalled || letter.maybe_recalled || one.first_told ||
      one.says_failed > 0)
    return;
  if ((one.notify & kNotifySuccess) == 0) return;
  // A host that speaks DSN on one connection only tells of what it got there; what the log does not call delivered was
  // sent again.
  const bool ours = std::ranges::none_of(one.taken, &Taken::tells) && !one.says_delivered.empty();
  if (ours || !one.published.empty()) fail(what + " was delivered, and its sender, who asked for it, was not told");
}

void Ledger::check_none(const std::string& what, const Letter& letter, const LetterRecipient& one) {
  if (one.fate == Fate::kDiscard || letter.recalled || letter.maybe_recalled) return;
  if (one.taken.empty() && one.published.empty() && one.says_failed == 0 && !one.first_told)
    fail(what + " vanished: neither delivered nor bounced nor taken back");
}

Ledger::Counts Ledger::counts() const {
  Counts out;
  for (const auto& [number, letter] : letters_) {
    if (letter.state != Letter::State::kAccepted) continue;
    ++out.accepted;
    if (letter.recalled || letter.maybe_recalled) ++out.recalled;
    for (const LetterRecipient& one : letter.recipients) {
      ++out.recipients;
      out.delivered += !one.taken.empty() || !one.published.empty();
      out.bounced += one.first_told.has_value();
      out.maybe += one.first_told && one.told_maybe;
      out.repeated += one.taken.size() > 1;
    }
  }
  return out;
}

}  // namespace postern::simulation

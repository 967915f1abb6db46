#include "selection.h"

#include <fmt/format.h>

#include <algorithm>

#include "marks.h"
#include "postern/schema.h"
#include "postern/text.h"

namespace postern::queue {

namespace {

std::unexpected<Fault> wrong(std::string what) {
  return fault("queue.query", std::move(what));
}

bool exact(std::string_view pattern) {
  return !pattern.empty() && !pattern.contains('*');
}

Result<void> take_value(Selection& out, std::string_view name, std::string_view value) {
  if (name == "sender") {
    out.sender = value;
  } else if (name == "recipient") {
    out.recipient = value;
  } else if (name == "destination") {
    out.destination = to_lower(value);
  } else if (name == "why") {
    out.why = value;
  } else if (name == "older") {
    out.older = parse_duration(value);
    if (!out.older) return wrong(fmt::format("older:{}: expected a time such as 2h or 3d", value));
  } else if (name == "attempts") {
    out.attempts = to_number<std::uint32_t>(value);
    if (!out.attempts) return wrong(fmt::format("attempts:{}: expected a number", value));
  } else if (name == "id") {
    out.id = MessageId::parse(value);
    if (!out.id)
      return fault("queue.id", fmt::format("\"{}\" is not the id of a message (13 letters and digits)", value));
  } else {
    return wrong(
        fmt::format("\"{}\": there are held, waiting, id:, sender:, recipient:, destination:, why:, older: and "
                    "attempts:",
                    name));
  }
  return {};
}

Result<void> take_term(Selection& out, std::string_view term) {
  if (term == "held" || term == "waiting") {
    out.held = term == "held";
    return {};
  }
  const std::size_t colon = term.find(':');
  if (colon == term.npos || colon + 1 == term.size()) return take_value(out, term, {});
  return take_value(out, term.substr(0, colon), term.substr(colon + 1));
}

}  // namespace

bool held_now(const MessageInfo& info, WallTime now) {
  return info.held_until && *info.held_until > now;
}

bool held_by_hooks(const MessageInfo& info, WallTime now) {
  bool any = false;
  for (const RecipientInfo& one : info.recipients) {
    if (one.state == RecipientState::kDone) continue;
    if (!hook_hold(one, now)) return false;
    any = true;
  }
  return any;
}

std::string reason_of(const MessageInfo& info, WallTime now) {
  if (held_now(info, now)) return info.hold_reason;
  for (const RecipientInfo& one : info.recipients)
    if (one.state == RecipientState::kWaiting && !one.note.empty()) return std::string(plain_note(one.note));
  return {};
}

bool glob(std::string_view pattern, std::string_view text) {
  // Greedy, with one place to come back to: linear in practice, never exponential.
  std::size_t p = 0, t = 0, star = pattern.npos, from = 0;
  const auto same = [](char a, char b) { return ascii_lower(a) == ascii_lower(b); };
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.size() && same(pattern[p], text[t])) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  return std::ranges::all_of(pattern.substr(p), [](char c) { return c == '*'; });
}

Result<Selection> Selection::of(const ControlRequest& request) {
  Selection out;
  for (const std::string_view name : {"id", "sender", "recipient", "destination"})
    if (const std::string value = request.arg(name); !value.empty())
      if (auto ok = take_value(out, name, value); !ok) return std::unexpected(ok.error());
  const std::string query = request.arg("query");
  std::string_view rest = query;
  while (!(rest = trim(rest)).empty()) {
    const std::size_t end = std::min(rest.find_first_of(" \t"), rest.size());
    if (auto ok = take_term(out, rest.substr(0, end)); !ok) return std::unexpected(ok.error());
    rest.remove_prefix(end);
  }
  return out;
}

bool Selection::everything() const {
  return !id && sender.empty() && recipient.empty() && destination.empty() && why.empty() && !held && !older &&
         !attempts;
}

std::optional<bool> Selection::matches(const MessageInfo& info, WallTime now) const {
  if (id && info.id != *id) return false;
  if (held && (held_now(info, now) || held_by_hooks(info, now)) != *held) return false;
  if (older && now - info.id.arrival() < *older) return false;
  if (attempts && std::ranges::none_of(info.recipients, [&](const auto& one) { return one.attempts >= *attempts; }))
    return false;
  if (!why.empty() && !reason_of(info, now).contains(why)) return false;
  // The label tells of the sender and the first recipient's domain, unless the address is written in another case.
  const auto to = static_cast<std::uint32_t>(info.label >> 32);
  const bool alone = info.recipients.size() == 1;
  if (exact(destination) && alone && to != destination_hash(destination)) return false;
  if (sender.empty() && recipient.empty() && (destination.empty() || (exact(destination) && alone))) return true;
  return std::nullopt;
}

bool Selection::matches(const Envelope& envelope) const {
  if (!sender.empty() && !glob(sender, envelope.sender.is_null() ? "<>" : envelope.sender.to_string())) return false;
  return std::ranges::any_of(envelope.recipients, [&](const Recipient& one) {
    return (recipient.empty() || glob(recipient, one.address.to_string())) &&
           (destination.empty() || glob(destination, one.address.domain().to_string()));
  });
}

Task<Result<bool>> Walk::fill() {
  Executor& executor = co_await this_executor();
  if (ended_) co_return false;
  MessageId after = after_;
  if (selection_.id) {
    after = MessageId(selection_.id->value() - 1);
    ended_ = true;
  }
  auto page = co_await spool_.list(executor, after, selection_.id ? 1 : kPage);
  if (!page) co_return std::unexpected(page.error());
  page_ = std::move(*page);
  at_ = 0;
  if (page_.empty()) co_return false;
  after_ = page_.back().id;
  co_return true;
}

Task<Result<bool>> Walk::selected(const MessageInfo& info) {
  Executor& executor = co_await this_executor();
  if (const auto known = selection_.matches(info, executor.wall())) co_return *known;
  auto reader = co_await spool_.open(executor, info.id);
  if (!reader && reader.error().code == "spool.gone") co_return false;
  if (!reader) co_return std::unexpected(reader.error());
  auto envelope = Envelope::decode(reader->envelope());
  co_return envelope&& selection_.matches(*envelope);
}

Task<Result<std::optional<MessageInfo>>> Walk::next() {
  while (true) {
    if (at_ == page_.size()) {
      auto more = co_await fill();
      if (!more) co_return std::unexpected(more.error());
      if (!*more) co_return std::nullopt;
    }
    MessageInfo& info = page_[at_++];
    ++looked_at_;
    auto is = co_await selected(info);
    if (!is) co_return std::unexpected(is.error());
    if (*is) co_return std::move(info);
  }
}

}  // namespace postern::queue

#include "core/spool/index.h"

#include <algorithm>

#include "postern/envelope.h"

namespace postern::spool {

void Index::accept(std::uint64_t id, const AcceptHead& head, Segment& segment, std::uint64_t offset,
                   std::uint64_t length, std::string_view envelope) {
  Entry& entry = entries_.try_emplace(entries_.end(), id)->second;  // ids mostly grow: the hint makes it cheap
  if (entry.segment == nullptr) {
    entry.size = std::uint64_t{head.prefix} + head.header + head.body;
    entry.body_file = head.body_file;
    entry.label = envelope_label(envelope);
    entry.waiting = head.recipients;
    entry.recipients = head.recipients;
    if (head.recipients > 1) entry.the_extra().more.resize(head.recipients - 1);
    waiting_ += head.recipients;
    content_bytes_ += entry.size;
  } else {
    leave_segment(entry);
  }
  entry.segment = &segment;
  entry.offset = static_cast<std::uint32_t>(offset);
  entry.length = static_cast<std::uint32_t>(length);
  segment.live += 1;
  segment.live_bytes += length;
  record_bytes_ += length;
}

void Index::leave_segment(Entry& entry) {
  entry.segment->live -= 1;
  entry.segment->live_bytes -= entry.length;
  record_bytes_ -= entry.length;
}

std::uint32_t Index::erase(Entries::iterator found) {
  std::uint32_t body_file = found->second.body_file;
  leave_segment(found->second);
  waiting_ -= found->second.waiting;
  content_bytes_ -= found->second.size;
  entries_.erase(found);
  return body_file;
}

void Index::forget(std::uint64_t id) {
  auto found = entries_.find(id);
  if (found != entries_.end()) erase(found);
}

void Index::finish(Entry& entry, Recipient& recipient) {
  if (recipient.state == RecipientState::kDone) return;
  recipient = Recipient();
  recipient.state = RecipientState::kDone;
  --entry.waiting;
  --waiting_;
}

void Index::change_recipient(Entry& entry, std::uint32_t number, const RecordHeader& header, std::string_view text) {
  Recipient& recipient = entry.recipient(number);
  if (recipient.state == RecipientState::kDone) return;
  switch (*mark_of(header.type)) {
    case Mark::kPlaced:
      recipient.state = RecipientState::kPlaced;
      recipient.note = text;
      break;
    case Mark::kDotSent:
      recipient.state = RecipientState::kDotSent;
      break;
    case Mark::kAttempt:
      recipient.state = RecipientState::kWaiting;
      recipient.attempts = static_cast<std::uint16_t>(std::min<std::uint32_t>(header.count, 65'535));
      recipient.next_attempt = header.time;
      recipient.note = text;
      entry.crashes = 0;  // it was handled to an end
      break;
    case Mark::kRoute:
      entry.the_extra().routes[number] = text;
      break;
    default:
      finish(entry, recipient);
  }
}

std::uint32_t Index::change(const RecordHeader& header, std::string_view text) {
  auto mark = mark_of(header.type);
  auto found = entries_.find(header.id);
  if (!mark || found == entries_.end()) return 0;
  Entry& entry = found->second;
  text = text.substr(0, kNoteLimit);
  if (*mark == Mark::kHandling) {
    entry.crashes = header.count;
  } else if (*mark == Mark::kHold) {
    entry.the_extra().held_until = header.time;
    entry.extra->hold_reason = text;
    if (header.time == 0) entry.crashes = 0;  // released: it may try again
  } else if (header.recipient == kEveryRecipient) {
    for (std::uint32_t i = 0; i < entry.recipients; ++i) change_recipient(entry, i, header, text);
  } else if (header.recipient < entry.recipients) {
    change_recipient(entry, header.recipient, header, text);
  }
  return entry.waiting == 0 ? erase(found) : 0;
}

const Index::Entry* Index::find(std::uint64_t id) const {
  auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : &found->second;
}

MessageInfo Index::info(std::uint64_t id, const Entry& entry) {
  MessageInfo info{.id = MessageId(id),
                   .size = entry.size,
                   .recipients = {},
                   .held_until = {},
                   .hold_reason = {},
                   .crashes = entry.crashes,
                   .label = entry.label};
  info.recipients.reserve(entry.recipients);
  for (std::uint32_t i = 0; i < entry.recipients; ++i) {
    const Recipient& from = entry.recipient(i);
    info.recipients.push_back({.state = from.state,
                               .attempts = from.attempts,
                               .next_attempt = from_micros(from.next_attempt),
                               .note = std::string(from.note.view()),
                               .route = {}});
  }
  if (entry.extra) {
    if (entry.extra->held_until != 0) {
      info.held_until = from_micros(entry.extra->held_until);
      info.hold_reason = entry.extra->hold_reason;
    }
    for (const auto& [number, route] : entry.extra->routes) info.recipients[number].route = route;
  }
  return info;
}

void Index::marks(std::uint64_t id, const Entry& entry, std::vector<RecordHeader>& headers,
                  std::vector<std::string>& texts) {
  auto add = [&](Mark mark, std::uint32_t recipient, std::uint32_t count, std::int64_t time, std::string_view text) {
    headers.push_back({.id = id, .type = type_of(mark), .recipient = recipient, .time = time, .count = count});
    texts.emplace_back(text);
  };
  for (std::uint32_t i = 0; i < entry.recipients; ++i) {
    const Recipient& recipient = entry.recipient(i);
    bool waiting = recipient.state == RecipientState::kWaiting;
    if (recipient.attempts > 0)
      add(Mark::kAttempt, i, recipient.attempts, recipient.next_attempt,
          waiting ? recipient.note.view() : std::string_view());
    if (recipient.state == RecipientState::kPlaced) add(Mark::kPlaced, i, 0, 0, recipient.note.view());
    if (recipient.state == RecipientState::kDotSent) add(Mark::kDotSent, i, 0, 0, {});
    if (recipient.state == RecipientState::kDone) add(Mark::kDone, i, 0, 0, {});
  }
  if (entry.extra) {
    for (const auto& [number, route] : entry.extra->routes) add(Mark::kRoute, number, 0, 0, route);
    if (entry.extra->held_until != 0)
      add(Mark::kHold, kEveryRecipient, 0, entry.extra->held_until, entry.extra->hold_reason);
  }
  if (entry.crashes != 0) add(Mark::kHandling, kEveryRecipient, entry.crashes, 0, {});
}

}  // namespace postern::spool

#include "maildrop.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/text.h"

namespace postern::pop3 {

namespace {

// When a removal of many fails, so many are tried one by one to find the ones at fault; more than that are not worth
// the time of a disk that fails.
constexpr std::size_t kMaxSingleRemovals = 100;

}  // namespace

Maildrop::Maildrop(std::unique_ptr<Mailbox> mailbox)
    : mailbox_(std::move(mailbox)), deleted_(total()), retrieved_(total()), count_(total()) {
  for (const MailboxMessage& message : mailbox_->messages()) octets_ += message.size;
  // Numbers change from session to session, UIDs do not: the last accessed is the last one not above the kept UID.
  auto kept = to_number<std::uint32_t>(mailbox_->attribute(kLastAttribute)).value_or(0);
  for (std::size_t i = 0; i < total(); ++i)
    if (at(i).uid <= kept) last_at_login_ = i + 1;
  last_ = last_at_login_;
}

std::expected<std::size_t, std::string> Maildrop::find(std::string_view number) const {
  auto parsed = to_number<std::uint64_t>(number);
  if (!parsed) return std::unexpected("a message number is wanted, for instance 1");
  if (*parsed == 0) return std::unexpected("messages are counted from 1");
  if (*parsed > total()) {
    if (total() == 0) return std::unexpected("no such message; the maildrop is empty");
    return std::unexpected(fmt::format("no such message; the last one is {}", total()));
  }
  if (is_deleted(*parsed - 1))
    return std::unexpected(fmt::format("message {} is marked as deleted; RSET brings it back", *parsed));
  return *parsed - 1;
}

void Maildrop::touch(std::size_t index) {
  last_ = std::max(last_, index + 1);
}

void Maildrop::retrieved(std::size_t index) {
  retrieved_[index] = true;
  touch(index);
}

void Maildrop::mark(std::size_t index) {
  if (deleted_[index]) return;
  deleted_[index] = true;
  --count_;
  octets_ -= at(index).size;
}

void Maildrop::remove(std::size_t index) {
  mark(index);
  touch(index);
}

void Maildrop::reset() {
  for (std::size_t i = 0; i < total(); ++i) {
    if (!deleted_[i]) continue;
    deleted_[i] = false;
    ++count_;
    octets_ += at(i).size;
  }
  last_ = last_at_login_;
}

void Maildrop::expire(WallTime before) {
  for (std::size_t i = 0; i < total(); ++i)
    if (retrieved_[i] && at(i).received <= before) mark(i);
}

Task<Result<void>> Maildrop::remove_marked(Update& update) {
  std::vector<std::size_t> marked;
  for (std::size_t i = 0; i < total(); ++i)
    if (deleted_[i]) marked.push_back(i);
  update.wanted = marked.size();
  if (marked.empty()) co_return Result<void>();
  auto all = co_await mailbox_->remove(marked);
  if (all) co_return Result<void>();
  for (std::size_t i = 0; i < marked.size(); ++i) {
    bool removed = false;
    if (marked.size() > 1 && i < kMaxSingleRemovals)
      removed = (co_await mailbox_->remove(std::vector<std::size_t>(1, marked[i]))).has_value();
    if (!removed) update.not_removed.push_back(marked[i] + 1);
  }
  co_return update.not_removed.empty() ? Result<void>() : all;
}

Task<Update> Maildrop::commit() {
  Update update;
  std::vector<std::size_t> seen;
  for (std::size_t i = 0; i < total(); ++i)
    if (retrieved_[i] && !deleted_[i] && !at(i).seen) seen.push_back(i);
  auto removed = co_await remove_marked(update);
  if (!removed) update.fault = removed.error().code + ": " + removed.error().detail;
  // What follows is help for the next session; a failure is logged and keeps no mail from anybody.
  if (!seen.empty())
    if (auto marked = co_await mailbox_->mark_seen(std::move(seen)); !marked && update.fault.empty())
      update.fault = marked.error().code + ": " + marked.error().detail;
  if (last_ != last_at_login_)
    if (auto kept = co_await mailbox_->set_attribute(std::string(kLastAttribute), std::to_string(at(last_ - 1).uid));
        !kept && update.fault.empty())
      update.fault = kept.error().code + ": " + kept.error().detail;
  co_return update;
}

}  // namespace postern::pop3

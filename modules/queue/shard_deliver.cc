// A step into a mailbox; and of released mail, whichever way its address says.
#include <fmt/format.h>

#include <algorithm>

#include "shard.h"

namespace postern::queue {

Result<DeliveryRequest> Shard::request_for(const Item& item, const PlanStep& step, std::string account,
                                           std::uint32_t lead, const MessageReader& message) const {
  const Active& active = *item.active;
  DeliveryRequest request;
  request.account = std::move(account);
  if (!step.folder.empty()) request.folder = step.folder;
  request.flags = step.flags;
  request.prefix = fmt::format("Return-Path: {}\r\n", active.envelope.sender.path());  // RFC 5321 §4.4
  if (parts_.settings.delivered_to)
    request.prefix += fmt::format("Delivered-To: {}\r\n", active.envelope.recipients[lead].address.to_string());
  request.received = item.id.arrival();  // the same for every try, as the file's name must be
  request.unique = fmt::format("{}-{}", item.id.to_string(), lead);
  if (!step.header_edits.empty()) {
    auto edits = HeaderEdits::decode(step.header_edits);
    if (!edits) return std::unexpected(edits.error());
    request.header = edits->apply(HeaderBlock(message.header())).join();
  }
  return request;
}

/// Stages the message and makes its token durable.
Task<Result<std::string>> Shard::place(Item& item, const PlanStep& step, std::string account, std::uint32_t lead,
                                       const Recipients& who) {
  auto reader = co_await parts_.spool.open(home_, item.id);
  if (!reader) co_return std::unexpected(reader.error());
  auto request = request_for(item, step, std::move(account), lead, *reader);
  if (!request) co_return std::unexpected(request.error());
  auto token = co_await parts_.store.stage(std::move(*request), *reader);
  if (!token) co_return token;
  if (item.recalled) {  // the last moment at which it can be taken back
    co_await parts_.store.discard(*token);
    co_return fault("queue.recalled");
  }
  item.active->beyond.insert(item.active->beyond.end(), who.begin(), who.end());
  auto placed = co_await parts_.spool.placed(home_, item.id, lead, *token);
  if (!placed) {
    // After a failed sync the mark may be on the disk all the same; with its file gone it would count as delivered.
    if (placed.error().code == "spool.latched")
      stuck_.insert(item.id.value());
    else
      co_await parts_.store.discard(*token);
    co_return std::unexpected(placed.error());
  }
  item.active->recipients[lead].state = RecipientState::kPlaced;
  item.active->tokens.insert_or_assign(lead, *token);
  co_return token;
}

Task<std::optional<Fault>> Shard::deliver(Item& item, const PlanStep& step, std::string account, Recipients who) {
  Active& active = *item.active;
  const auto placed = std::ranges::find_if(who, [&](std::uint32_t one) { return active.tokens.contains(one); });
  const std::uint32_t lead = placed == who.end() ? who.front() : *placed;
  bool publish = true;
  if (placed == who.end()) {
    auto token = co_await place(item, step, account, lead, who);
    if (!token && token.error().code == "queue.recalled") co_return std::nullopt;
    if (!token && token.error().code == "spool.gone") {  // recalled meanwhile
      for (const std::uint32_t one : who) active.recipients[one].state = RecipientState::kDone;
      co_return std::nullopt;
    }
    if (!token) co_return token.error();
  } else {
    active.beyond.insert(active.beyond.end(), who.begin(), who.end());
    auto staged = co_await parts_.store.is_staged(active.tokens.at(lead));
    if (!staged) {
      stuck_.insert(item.id.value());
      co_return staged.error();
    }
    publish = *staged;
    if (!publish) log_.info("queue.was_delivered", {{"id", item.id.to_string()}, {"account", account}});
  }
  if (publish) {
    auto published = co_await parts_.store.publish(active.tokens.at(lead));
    if (!published) {
      if (published.error().code == "store.gone")
        active.tokens.erase(lead);  // neither here nor there: once more
      else
        stuck_.insert(item.id.value());
      co_return published.error();
    }
  }
  stuck_.erase(item.id.value());
  finish(item, who, lead);
  for (const std::uint32_t one : who)
    succeeded(item,
              {.recipient = one, .kind = Outcome::Kind::kDelivered, .reply = {250, "2.1.5", "Delivered"}, .host = {}});
  if (publish && log_.enabled(LogLevel::kInfo)) {
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(home_.wall() - active.accepted).count();
    const std::string id = item.id.to_string();
    for (const std::uint32_t one : who)
      log_.info("queue.delivered", {{"id", id},
                                    {"rcpt", active.envelope.recipients[one].address.to_string()},
                                    {"account", account},
                                    {"micros", micros}});
  }
  co_return std::nullopt;
}

/// Mail that was in quarantine goes where its address leads today.
Task<std::optional<Fault>> Shard::release(Item& item, const PlanStep& step, Recipients who) {
  for (const std::uint32_t one : who) {
    const Address address = item.active->envelope.recipients[one].address;
    AddressLookup lookup;
    if (parts_.directory != nullptr) lookup = co_await parts_.directory->find(address);
    const std::vector<std::uint32_t> alone(1, one);
    std::optional<Fault> failed;
    if (lookup.kind == AddressLookup::Kind::kAccount)
      failed = co_await deliver(item, step, lookup.account, alone);
    else if (lookup.kind == AddressLookup::Kind::kForeign && parts_.directory != nullptr)
      failed = co_await relay(item, step, alone, item.destination);
    else
      failed = Fault{"queue.no_mailbox", address.to_string() + " has no mailbox here"};
    if (failed) defer(item, alone, Failure::of(*failed), parts_.routes.base());
  }
  co_return std::nullopt;
}

}  // namespace postern::queue

// A step into a mailbox; and of released mail, whichever way its address says.
#include <fmt/format.h>

#include <algorithm>

#include "shard.h"

namespace postern::queue {

namespace {

constexpr unsigned kMaxAliasSteps = 16;  // from alias to alias; more is a circle

}  // namespace

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
  const Reply delivered{250, "2.1.5", "Delivered"};
  finish(item, who, lead, Outcome{.kind = Outcome::Kind::kDelivered, .reply = delivered, .host = {}});
  tell_end(Stage::kDelivered, item, who, delivered, {}, account);
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

/// Where an address leads today, through aliases that have one target each; `address` is then the last of them. What is
/// left an alias has several targets, and one recipient's marks cannot tell how far the copies for them have come.
Task<AddressLookup> Shard::look_up(Address* address) {
  AddressLookup found = co_await parts_.directory->find(*address);
  bool wild = found.wild;
  for (unsigned step = 0; step < kMaxAliasSteps; ++step) {
    if (found.kind != AddressLookup::Kind::kAlias || found.targets.size() != 1) break;
    *address = found.targets.front();
    found = {};
    if (parts_.directory->domain_kind(address->domain().ascii()) == DomainKind::kLocal)
      found = co_await parts_.directory->find(*address);
    wild = wild || found.wild;
  }
  found.wild = wild;
  co_return found;
}

/// Mail that was in quarantine goes where its address leads today. An answer that the directory cannot give, or that
/// leads nowhere by itself, is none of the sender's business: that mail waits, for its next attempt or for an
/// administrator.
Task<std::optional<Fault>> Shard::release(Item& item, const PlanStep& step, Recipients who) {
  Active& active = *item.active;
  for (const std::uint32_t one : who) {
    const std::vector<std::uint32_t> alone(1, one);
    if (parts_.directory == nullptr) {
      active.hold = "released, but there is no directory to say where to";
      continue;
    }
    const Address asked = active.envelope.recipients[one].address;
    Address address = asked;
    const AddressLookup lookup = co_await look_up(&address);
    if (active.done(one)) continue;                                                       // taken back meanwhile
    const bool open_relay = lookup.kind == AddressLookup::Kind::kForeign && lookup.wild;  // who sends chooses where to
    if (lookup.kind == AddressLookup::Kind::kAlias || open_relay) {
      active.hold = fmt::format(
          "released, but {} is an alias {}", asked.to_string(),
          open_relay ? "by which a sender chooses an address elsewhere" : "that does not lead to one address");
      continue;
    }
    if (lookup.kind == AddressLookup::Kind::kTemporary &&
        home_.wall() >= milestones(active, parts_.routes.base()).expiry) {
      active.hold = "released, but the directory does not answer for " + address.to_string();
      continue;
    }
    if (address != asked) {  // as the pipeline does it; in memory only, the next turn asks again
      Recipient& recipient = active.envelope.recipients[one];
      if (recipient.orcpt.empty()) recipient.orcpt = format_orcpt("rfc822", asked.to_string());
      recipient.address = address;
    }
    std::optional<Failure> failure;
    if (lookup.kind == AddressLookup::Kind::kTemporary) {
      failure = Failure{.reply = {451, "4.4.3", "The directory of mailboxes does not answer"},
                        .host = {},
                        .note = "queue.directory: no answer about " + address.to_string()};
    } else if (lookup.kind == AddressLookup::Kind::kNoSuchUser) {
      failure = Failure{.reply = {550, "5.1.1", "There is no such mailbox here"},
                        .host = {},
                        .note = "queue.no_mailbox: " + address.to_string() + " has no mailbox here"};
    } else {
      const bool here = lookup.kind == AddressLookup::Kind::kAccount;
      const auto failed = here ? co_await deliver(item, step, lookup.account, alone)
                               : co_await relay(item, step, alone, item.destination);
      if (failed) failure = Failure::of(*failed);
    }
    if (failure) defer(item, alone, *failure, parts_.routes.base());
  }
  co_return std::nullopt;
}

}  // namespace postern::queue

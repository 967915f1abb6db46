#include "mailboxes.h"

#include "postern/spool.h"
#include "postern/wait.h"

namespace postern::simulation {

Task<Result<std::string>> Mailboxes::stage(DeliveryRequest request, MessageReader& message) {
  if (random_.chance(full)) co_return fault("store.full", "no room");
  if (random_.chance(broken)) co_return fault("store.io", "a bad disk");
  std::string text = request.prefix;
  if (request.header) {
    text += *request.header;
    message.rewind_to_body();
  }
  while (true) {
    auto piece = co_await message.next();
    if (!piece) co_return std::unexpected(piece.error());
    if (piece->empty()) break;
    text += *piece;
  }
  co_await sleep_for(Duration(1us) * static_cast<int>(random_.below(5000)));
  if (dead_) co_return fault("store.io", "dead");
  std::string token = request.account + "/" + request.unique;
  staged_.insert_or_assign(token, Staged{request.account, std::move(text), (co_await this_executor()).wall()});
  co_await sleep_for(Duration(1us) * static_cast<int>(random_.below(5000)));
  co_return token;
}

Task<Result<void>> Mailboxes::publish(std::string token) {
  co_await sleep_for(Duration(1us) * static_cast<int>(random_.below(5000)));
  if (dead_ || random_.chance(broken)) co_return fault("store.io", "a bad disk");
  const auto found = staged_.find(token);
  if (found == staged_.end()) {
    if (published_.contains(token)) co_return Result<void>();
    co_return fault("store.gone", token);
  }
  ledger_.mailbox_took((co_await this_executor()).now(), found->second.account, found->second.text);
  published_[token] = true;
  staged_.erase(found);
  co_await sleep_for(Duration(1us) * static_cast<int>(random_.below(5000)));
  if (random_.chance(broken)) co_return fault("store.io", "the folder cannot be synced");
  co_return Result<void>();
}

Task<Result<bool>> Mailboxes::is_staged(std::string token) {
  co_await sleep_for(Duration(1us) * static_cast<int>(random_.below(5000)));
  if (dead_ || random_.chance(broken)) co_return fault("store.io", "a bad disk");
  co_return staged_.contains(token);
}

Task<void> Mailboxes::discard(std::string token) {
  if (!dead_) staged_.erase(token);
  co_return;
}

Task<std::size_t> Mailboxes::sweep(WallTime before) {
  if (dead_) co_return 0;
  co_return std::erase_if(staged_, [&](const auto& one) { return one.second.when < before; });
}

Task<Result<std::unique_ptr<Mailbox>>> Mailboxes::open(std::string, std::string) {
  co_return fault("store.no_folder");
}

}  // namespace postern::simulation

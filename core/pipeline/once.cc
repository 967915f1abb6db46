#include "core/pipeline/once.h"

#include <algorithm>

#include "postern/services.h"

namespace postern {

OnceClaim::OnceClaim(PolicyWorker& worker, const KeyValueRequest& wanted, Trail& trail)
    : worker_(worker), wanted_(wanted), trail_(trail) {
  if (worker.services && worker.epoch && !worker.epoch->kv.empty())
    store_ = worker.services->find<KeyValueStore>(worker.epoch->kv);
}

Task<Result<KeyValueReply>> OnceClaim::ask(KeyValueRequest request) {
  if (!store_) co_return fault("effects.none", "there is no kv store");
  request.key = wanted_.key;
  auto reply = co_await store_->ask(std::move(request), Deadline::after(kAsk).fixed(worker_.executor->now()));
  if (!reply) worker_.log.warn("message.once", {{"code", reply.error().code}, {"why", reply.error().detail}});
  co_return reply;
}

Task<bool> OnceClaim::take() {
  KeyValueRequest claim;
  claim.kind = KeyValueRequest::Kind::kIncrement;
  claim.expiry = std::min<Duration>(kClaim, wanted_.expiry.value_or(kClaim));
  const auto reply = co_await ask(std::move(claim));
  if (!reply)
    trail_.error(Stage::kMessage, "once", "not sent: " + reply.error().code);
  else if (reply->number != 1)
    trail_.fact(Stage::kMessage, "once", "not sent: another one went out meanwhile");
  co_return reply && reply->number == 1;
}

Task<void> OnceClaim::end(bool committed) {
  KeyValueRequest word;
  word.kind = committed ? KeyValueRequest::Kind::kSet : KeyValueRequest::Kind::kRemove;
  word.value = committed ? "1" : "";
  if (committed) word.expiry = wanted_.expiry;
  static_cast<void>(co_await ask(std::move(word)));
}

}  // namespace postern

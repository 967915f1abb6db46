#include "queue.h"

#include <algorithm>

#include "postern/envelope.h"
#include "postern/hash.h"
#include "postern/sync.h"

namespace postern::queue {

QueueService::QueueService(Runtime& runtime, Metrics& metrics) : runtime_(runtime), metrics_(metrics) {}
QueueService::~QueueService() = default;

void QueueService::make_shards(Spool& spool, MailStore& store, Transport* transport, Directory* directory,
                               Teller* teller, const QueueSettings& settings, const SubmissionSettings& submission,
                               Policy* policy) {
  spool_ = &spool;
  store_ = &store;
  transport_ = transport;
  teller_ = teller;
  routes_ = std::make_unique<Routes>(settings);
  submission_ = submission;
  if (runtime_.workers() > 1)
    collected_.release_others = [this](Shard& from, std::uint32_t hash) {
      from.begin(release_others(from.executor().index(), hash));
    };
  for (unsigned i = 0; i < runtime_.workers(); ++i)
    shards_.push_back(std::make_unique<Shard>(runtime_.worker(i), Log(),
                                              ShardParts{.spool = spool,
                                                         .store = store,
                                                         .transport = transport,
                                                         .directory = directory,
                                                         .teller = teller,
                                                         .policy = policy,
                                                         .metrics = metrics_,
                                                         .routes = *routes_,
                                                         .collected = collected_,
                                                         .settings = settings}));
}

void QueueService::set_log(unsigned worker, Log log) {
  shard(worker).set_log(std::move(log));
}

unsigned QueueService::owner_of(MessageId id) const {
  return static_cast<unsigned>(hash_number(id.value()) % shards_.size());
}

unsigned QueueService::owner_of(const Seed& seed) const {
  const auto destination = static_cast<std::uint32_t>(seed.label >> 32);
  return routes_->collects(destination) ? static_cast<unsigned>(destination % shards_.size()) : owner_of(seed.id);
}

/// The undo window (`[submission] hold`) is a time before which nothing is done, as FUTURERELEASE is: durable with the
/// message, and the same for local recipients and others.
void QueueService::before_commit(Envelope& envelope, const ClientInfo& client, WallTime now) {
  const bool submitted = client.role == SessionRole::kSubmission || client.role == SessionRole::kSubmissions;
  if (!submitted || !client.authenticated()) return;
  const auto own = submission_.hold_of.find(client.auth_user);
  const Duration hold = own == submission_.hold_of.end() ? submission_.hold : own->second;
  if (hold > 0s) envelope.hold_until = std::max(envelope.hold_until.value_or(WallTime{}), later(now, hold));
}

void QueueService::accepted(QueuedMessage message) {
  const auto local =
      std::ranges::find_if(message.plan.steps, [](const PlanStep& step) { return !step.account.empty(); });
  unsigned owner = 0;
  if (local != message.plan.steps.end())
    owner = static_cast<unsigned>(hash_bytes(local->account) % shards_.size());
  else if (routes_->any_collects() && !message.envelope.recipients.empty())
    owner = owner_of(
        Seed{.id = message.id,
             .label = std::uint64_t{destination_hash(message.envelope.recipients.front().address.domain().to_string())}
                      << 32});
  else
    owner = owner_of(message.id);
  shards_[owner]->push(std::move(message));
}

Task<void> QueueService::release_others(unsigned but, std::uint32_t hash) {
  for (unsigned i = 0; i < shards_.size(); ++i)
    if (i != but) co_await run_on(runtime_.worker(i), [this, i, hash] { shards_[i]->release_too(hash); });
}

// --- start-up -------------------------------------------------------------------------------------------------------

std::optional<Seed> QueueService::seed_of(const MessageInfo& info, WallTime now) {
  Seed seed{.id = info.id, .due = WallTime::max(), .label = info.label};
  seed.suspect = info.crashes > 0;
  bool undone = false;
  for (const RecipientInfo& one : info.recipients) {
    if (one.state == RecipientState::kDone) continue;
    undone = true;
    seed.placed = seed.placed || (one.state == RecipientState::kPlaced && !Reporter::is_owed(one));
    const bool waits = one.state == RecipientState::kWaiting && !one.note.starts_with(kWarningOwed);
    seed.due = std::min(seed.due, waits ? one.next_attempt : now);
  }
  if (!undone) return std::nullopt;
  if (info.held_until && *info.held_until > now) {
    seed.held = *info.held_until == WallTime::max();
    seed.due = *info.held_until;
  }
  return seed;
}

Task<void> QueueService::give(std::vector<std::vector<Seed>> seeds) {
  for (unsigned i = 0; i < shards_.size(); ++i)
    if (!seeds[i].empty()) co_await run_on(runtime_.worker(i), [this, i, &seeds] { shards_[i]->adopt(seeds[i]); });
}

/// Of a report that was committed before the end, the done marks of those it tells of may have been lost. They are
/// written here, while the report is still there for certain: nothing has begun, and once it is delivered it is gone.
/// A report comes after its original in the list.
Task<void> QueueService::end_told(const std::vector<MessageInfo>* page, HalfToldBy* half_told) {
  Executor& executor = co_await this_executor();
  std::vector<HalfTold> told;
  for (const MessageInfo& info : *page) {
    const auto [first, last] = half_told->equal_range(info.id);
    for (auto at = first; at != last; ++at) told.push_back(at->second);
    half_told->erase(first, last);
    if (teller_ == nullptr) continue;
    for (std::uint32_t one = 0; one < info.recipients.size(); ++one)
      if (const auto outcome = teller_->half_told(one, info.recipients[one]); outcome && outcome->earlier)
        half_told->emplace(outcome->earlier, HalfTold{info.id, one});
  }
  for (const HalfTold& one : told) {
    shard(0).log().info("queue.was_told", {{"id", one.message.to_string()}, {"recipient", one.recipient}});
    spool_->done_lazily(executor, one.message, one.recipient);
  }
  // All are there when the last one is. When it fails: a spool that takes no marks takes no second report either.
  if (!told.empty()) static_cast<void>(co_await spool_->done(executor, told.back().message, told.back().recipient));
}

/// New mail comes in meanwhile: its ids are greater than first_own_, and accepted() hands it to its shards. Two shards
/// must never hold one message.
Task<void> QueueService::recover(std::vector<Seed>* suspects) {
  Executor& executor = co_await this_executor();
  const Log& log = shard(0).log();
  std::size_t messages = 0;
  std::size_t held = 0;
  MessageId after;
  HalfToldBy half_told;
  while (true) {
    auto page = co_await spool_->list(executor, after, kPage);
    if (!page) {
      log.error("queue.recover", {{"code", page.error().code}, {"why", page.error().detail}});
      co_await end_quiet();  // new mail does not wait for that
      co_await sleep_for(1s);
      continue;
    }
    std::erase_if(*page, [this](const MessageInfo& info) { return info.id >= first_own_; });
    if (page->empty()) break;
    after = page->back().id;
    co_await end_told(&*page, &half_told);
    std::vector<std::vector<Seed>> seeds(shards_.size());
    for (const MessageInfo& info : *page) {
      const auto seed = seed_of(info, executor.wall());
      if (!seed) continue;
      ++messages;
      if (seed->held) ++held;
      if (seed->held && info.crashes > 0)
        log.warn("queue.poison", {{"id", info.id.to_string()}, {"crashes", info.crashes}, {"why", info.hold_reason}});
      if (seed->suspect && !seed->held)
        suspects->push_back(*seed);
      else
        seeds[owner_of(*seed)].push_back(*seed);
    }
    co_await give(std::move(seeds));
  }
  log.info("queue.recovered", {{"messages", messages}, {"held", held}, {"suspects", suspects->size()}});
}

Task<void> QueueService::end_quiet() {
  for (unsigned i = 0; i < shards_.size(); ++i)
    co_await run_on(runtime_.worker(i), [this, i] { shards_[i]->set_quiet(false); });
}

/// Tries one message with nothing else under way. False when it takes too long for that.
Task<bool> QueueService::try_alone(Seed seed) {
  Executor& executor = co_await this_executor();
  const unsigned owner = owner_of(seed);
  const std::vector<Seed> seeds(1, seed);
  shard(0).log().info("queue.suspect", {{"id", seed.id.to_string()}});
  co_await run_on(runtime_.worker(owner), [this, owner, &seeds] { shards_[owner]->adopt(seeds); });
  const Instant limit = executor.now() + kAloneFor;
  while (executor.now() < limit) {
    if (!co_await run_on(runtime_.worker(owner), [this, owner] { return shards_[owner]->trying(false); }))
      co_return true;
    co_await sleep_for(kAlonePoll);
  }
  co_return !co_await run_on(runtime_.worker(owner), [this, owner] { return shards_[owner]->trying(true); });
}

Task<void> QueueService::try_suspects(std::vector<Seed> suspects) {
  std::size_t next = 0;
  while (next < suspects.size())
    if (!co_await try_alone(suspects[next++])) break;
  co_await end_quiet();
  std::vector<std::vector<Seed>> rest(shards_.size());
  for (; next < suspects.size(); ++next) rest[owner_of(suspects[next])].push_back(suspects[next]);
  co_await give(std::move(rest));
}

Task<bool> QueueService::may_sweep() {
  bool may = true;
  for (unsigned i = 0; i < shards_.size(); ++i)
    may = co_await run_on(runtime_.worker(i), [this, i] { return shards_[i]->may_sweep(); }) && may;
  co_return may;
}

Task<void> QueueService::sweep_daily() {
  Executor& executor = co_await this_executor();
  co_await sleep_for(1h);  // start-up has other things to do
  while (true) {
    if (co_await may_sweep()) {
      const auto removed =
          co_await store_->sweep(executor.wall() - std::chrono::duration_cast<WallTime::duration>(kSweepAge));
      if (removed > 0) shard(0).log().info("queue.swept", {{"files", removed}});
    }
    co_await sleep_for(kSweepEvery);
  }
}

Task<void> QueueService::begin_on_worker() {
  std::vector<Seed> suspects;
  co_await recover(&suspects);
  co_await try_suspects(std::move(suspects));
  co_await sweep_daily();
}

void QueueService::begin() {
  shard(0).begin(begin_on_worker());
}

Task<void> QueueService::drain(unsigned worker, Deadline deadline) {
  return shard(worker).drain(deadline);
}

// --- for commands ---------------------------------------------------------------------------------------------------

Task<bool> QueueService::retry(MessageId id) {
  bool any = false;
  for (unsigned i = 0; i < shards_.size(); ++i)
    any = co_await run_on(runtime_.worker(i), [this, i, id] { return shards_[i]->retry(id); }) || any;
  co_return any;
}

Task<void> QueueService::retry_slices(unsigned i, std::optional<std::uint32_t> destination, std::size_t* count) {
  std::uint32_t from = 0;
  const auto slice = [&] { return shards_[i]->retry_some(&from, kSlice, destination, count); };
  while (!co_await run_on(runtime_.worker(i), slice)) {
  }
}

Task<std::size_t> QueueService::retry_all() {
  std::size_t count = 0;
  for (unsigned i = 0; i < shards_.size(); ++i) co_await retry_slices(i, std::nullopt, &count);
  co_return count;
}

Task<Shard::Known> QueueService::known(MessageId id) {
  Shard::Known known = Shard::Known::kNo;
  for (unsigned i = 0; i < shards_.size(); ++i)
    known = std::max(known, co_await run_on(runtime_.worker(i), [this, i, id] { return shards_[i]->known(id); }));
  co_return known;
}

Task<void> QueueService::drop(MessageId id) {
  for (unsigned i = 0; i < shards_.size(); ++i)
    co_await run_on(runtime_.worker(i), [this, i, id] { shards_[i]->drop(id); });
}

Task<void> QueueService::renew(Seed seed) {
  for (unsigned i = 0; i < shards_.size(); ++i)
    if (co_await run_on(runtime_.worker(i), [this, i, &seed] { return shards_[i]->renew(seed); })) co_return;
  const unsigned owner = owner_of(seed);
  const std::vector<Seed> seeds(1, seed);
  co_await run_on(runtime_.worker(owner), [this, owner, &seeds] { shards_[owner]->adopt(seeds); });
}

Task<Shard::Recall> QueueService::recall(MessageId id) {
  for (unsigned i = 0; i < shards_.size(); ++i) {
    auto answer = co_await run_on(runtime_.worker(i), [this, i, id] { return shards_[i]->recall(id); });
    if (answer.known != Shard::Known::kNo) co_return answer;
  }
  co_return Shard::Recall{};
}

/// What a domain's mail is queued for: itself, or the route that it goes by.
std::string QueueService::hop_of(const std::string& domain) const {
  const auto anybody = Address::parse("postmaster@" + domain);
  if (transport_ == nullptr || !anybody) return domain;
  Envelope envelope;
  envelope.recipients.push_back({.address = *anybody, .orcpt = {}});
  return transport_->next_hop(envelope, PlanStep{.recipients = {0}}, 0);
}

Task<std::size_t> QueueService::request(std::string destination) {
  std::vector<std::string> names{destination};
  if (std::string hop = hop_of(destination); hop != destination) names.push_back(std::move(hop));
  std::size_t count = 0;
  for (const std::string& name : names)
    for (unsigned i = 0; i < shards_.size(); ++i) {
      const auto number = co_await run_on(runtime_.worker(i), [&] { return shards_[i]->request(name, &count); });
      if (number) co_await retry_slices(i, number, &count);
    }
  co_return count;
}

}  // namespace postern::queue

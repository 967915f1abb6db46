#include "mta_sts_finder.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "postern/wait.h"

namespace postern::relay {

std::string_view to_string(StsFinding::Problem problem) {
  switch (problem) {
    case StsFinding::Problem::kFetch:
      return "sts-policy-fetch-error";
    case StsFinding::Problem::kWebpki:
      return "sts-webpki-invalid";
    case StsFinding::Problem::kInvalid:
      return "sts-policy-invalid";
    case StsFinding::Problem::kNone:
      break;
  }
  return "";
}

/// Nobody waits for a look-up that has ended, however it did.
struct StsFinder::Busy {
  std::shared_ptr<Known> known;
  explicit Busy(std::shared_ptr<Known> of) : known(std::move(of)) {
    known->busy = true;
    known->done.reset();
  }
  ~Busy() {
    known->busy = false;
    known->done.set();
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;
};

std::shared_ptr<StsFinder::Known> StsFinder::known(const std::string& domain) {
  if (auto it = known_.find(domain); it != known_.end()) return it->second;
  if (known_.size() >= kMaxKnown) {
    // Any that nobody works on: what the disk has of it is read again when it is wanted.
    const auto idle = std::ranges::find_if(known_, [](const auto& item) { return !item.second->busy; });
    if (idle != known_.end()) known_.erase(idle);
  }
  return known_.emplace(domain, std::make_shared<Known>()).first->second;
}

StsFinding StsFinder::finding(const Known& known, std::string text, bool unsure) const {
  StsFinding found;
  if (known.entry && !known.entry->expired(executor_.wall())) {
    found.entry = known.entry;
    found.text = fmt::format("mta-sts: {}{}{}", to_string(known.entry->policy.mode), text.empty() ? "" : ", ", text);
    return found;
  }
  found.problem = known.problem;
  found.unsure = unsure || known.problem != StsFinding::Problem::kNone;
  found.text = "no mta-sts: " + std::move(text);
  return found;
}

Task<bool> StsFinder::wait_for(std::shared_ptr<Known> known, Deadline deadline) {
  try {
    co_await known->done.wait(deadline);
  } catch (const TimedOut&) {
    co_return false;
  }
  co_return true;
}

Task<StsFinding> StsFinder::find(std::string domain, Deadline deadline) {
  deadline = deadline.fixed(executor_.now());
  const std::shared_ptr<Known> of = known(domain);
  of->used = executor_.wall();
  while (of->busy)
    if (!co_await wait_for(of, deadline)) co_return finding(*of, "the look-up takes too long", true);
  const Busy busy(of);
  co_return co_await look_up(of, std::move(domain), deadline);
}

Task<StsFinding> StsFinder::look_up(std::shared_ptr<Known> known, std::string domain, Deadline deadline) {
  if (!known->loaded) co_await load(known, domain);
  const DnsAnswer answer = co_await dns_.query("_mta-sts." + domain, RecordType::kTxt, deadline);
  if (answer.temporary())
    co_return finding(*known, fmt::format("the DNS does not say ({})", to_string(answer.status)), true);
  const auto id = announced_sts_id(answer);
  if (!id) {
    known->problem = StsFinding::Problem::kNone;
    co_return finding(*known, "no record announces one");
  }
  const WallTime now = executor_.wall();
  const StsEntry* entry = known->entry.get();
  const bool counts = entry && !entry->expired(now) && entry->id == *id;
  const auto life = counts ? entry->policy.max_age : std::chrono::seconds(0);
  const auto fresh = refreshing_ ? life - life / 4 : std::min(kRefresh, life / 2);
  if (counts && now < entry->fetched + fresh) co_return finding(*known, {});
  if (executor_.now() >= known->fetch_again) co_await fetch(known, std::move(domain), *id, deadline);
  co_return finding(*known, known->why);
}

bool StsFinder::due(const Known& known) const {
  if (!known.entry || known.busy) return false;
  const WallTime now = executor_.wall();
  const StsEntry& entry = *known.entry;
  return !entry.expired(now) && now < known.used + entry.policy.max_age &&
         now >= entry.fetched + std::min(kRefresh, entry.policy.max_age / 2);
}

/// Nobody waits for it meanwhile: what is known counts all the same.
Task<void> StsFinder::refresh_one(std::shared_ptr<Known> known, std::string domain) {
  co_await load(known, domain);  // another worker may have been here
  if (!due(*known) || executor_.now() < known->fetch_again) co_return;
  const Deadline deadline = Deadline::after(kFetchTimeout).fixed(executor_.now());
  const DnsAnswer answer = co_await dns_.query("_mta-sts." + domain, RecordType::kTxt, deadline);
  const auto id = announced_sts_id(answer);
  // Without a record the known policy counts until it ends, and has no successor.
  if (id) co_await fetch(known, std::move(domain), *id, deadline);
}

Task<void> StsFinder::refresh() {
  std::vector<std::pair<std::string, std::shared_ptr<Known>>> some;
  for (const auto& [domain, known] : known_)
    if (some.size() < kMaxRefreshed && due(*known)) some.emplace_back(domain, known);
  const Instant end = executor_.now() + kRoundTime;
  for (auto& [domain, known] : some) {
    if (executor_.now() >= end) co_return;  // the others' turn comes in the next round
    co_await refresh_one(known, domain);
  }
}

Task<void> StsFinder::adopt() {
  if (!store_) co_return;
  StsStore* store = store_.get();
  std::vector<std::string> domains;
  try {
    domains = co_await run_blocking(Pool::kDisk, [store] { return store->domains(kMaxAdopted); });
  } catch (const Overloaded&) {
    co_return;  // whoever is asked for is taken over then
  }
  for (std::string& domain : domains) {
    if (known_.size() >= kMaxKnown) co_return;
    if (known_.contains(domain)) continue;
    const auto fresh = known(domain);
    co_await load(fresh, std::move(domain));
    if (fresh->entry && fresh->used == WallTime{}) fresh->used = fresh->entry->fetched;
  }
}

Task<void> StsFinder::run() {
  refreshing_ = true;
  if (executor_.index() == 0) co_await adopt();
  for (;;) {
    // Apart from the other workers, so that one of them fetches and the others read what it has stored.
    const auto spread = executor_.random() % static_cast<std::uint64_t>(Duration(kRound).count() / 4);
    co_await sleep_for(kRound + Duration(static_cast<std::int64_t>(spread)));
    co_await refresh();
  }
}

Task<void> StsFinder::load(std::shared_ptr<Known> known, std::string domain) {
  if (store_) {
    StsStore* store = store_.get();
    const std::string* name = &domain;
    try {
      auto entry = co_await run_blocking(Pool::kDisk, [store, name] { return store->load(*name); });
      if (entry && (!known->entry || known->entry->fetched < entry->fetched))
        known->entry = std::make_shared<const StsEntry>(std::move(*entry));
    } catch (const Overloaded&) {
      co_return;  // the next one who asks tries again
    }
  }
  known->loaded = true;
}

Task<void> StsFinder::save(std::string domain, std::shared_ptr<const StsEntry> entry) {
  if (!store_) co_return;
  StsStore* store = store_.get();
  const std::string* name = &domain;
  const StsEntry* what = entry.get();
  try {
    // A disk that fails costs a fetch after the next restart, no more.
    co_await run_blocking(Pool::kDisk, [store, name, what] { (void)store->save(*name, *what); });
  } catch (const Overloaded&) {
  }
}

Task<void> StsFinder::fetch(std::shared_ptr<Known> known, std::string domain, std::string id, Deadline deadline) {
  const Instant now = executor_.now();
  HttpRequest request{
      .url = "https://mta-sts." + domain + "/.well-known/mta-sts.txt",
      .timeout = std::min<Duration>(kFetchTimeout, deadline.is_never() ? kFetchTimeout : deadline.resolve(now) - now),
      .max_body_octets = StsPolicy::kMaxOctets};  // §3.3: no redirects
  auto got = co_await http_.fetch(std::move(request));
  known->problem = StsFinding::Problem::kFetch;
  known->fetch_again = executor_.now() + kAfterFailure;
  if (!got) {
    if (got.error().code == "http.tls") known->problem = StsFinding::Problem::kWebpki;
    known->why = "the policy cannot be fetched: " + got.error().detail;
    co_return;
  }
  if (got->status != 200) {
    known->why = fmt::format("the policy cannot be fetched: HTTP status {}", got->status);
    co_return;
  }
  auto policy = StsPolicy::parse(got->body);
  if (got->content_type != "text/plain" || !policy) {
    known->problem = StsFinding::Problem::kInvalid;
    known->why = "the policy is not valid: " +
                 (policy ? "its type is " + got->content_type.substr(0, 100) : policy.error().detail);
    co_return;
  }
  known->problem = StsFinding::Problem::kNone;
  known->why.clear();
  known->fetch_again = executor_.now() + kAfterSuccess;
  known->entry = std::make_shared<const StsEntry>(
      StsEntry{std::move(id), executor_.wall(), std::move(got->body), std::move(*policy)});
  co_await save(std::move(domain), known->entry);
}

}  // namespace postern::relay

#include "suppress.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "dsn_text.h"
#include "postern/hash.h"
#include "postern/random.h"
#include "postern/sync.h"
#include "postern/text.h"
#include "report_class.h"
#include "schedule.h"
#include "suppress_arf.h"

namespace postern::queue {

namespace {

constexpr std::size_t kFilterCounters = 16;  // for each entry, one octet each
constexpr std::uint64_t kFilterProbes = 4;
constexpr std::uint8_t kStuck = 0xFF;          // a counter that has seen too many stays
constexpr Duration kPurgeEvery = 1h;           // entries that have ended are looked for among all
constexpr std::uint64_t kMinRewrite = 1000;    // lines below which dead ones do not matter
constexpr std::size_t kMaxFile = 1ULL << 31;   // octets of a file that is read
constexpr std::size_t kMaxAddress = kMaxPath;  // of a scope or recipient

std::string folded(const Address& address) {
  return to_lower(address.to_string());
}

std::string at_domain(const Address& address) {
  return "@" + address.domain().ascii();
}

/// "@domain" or an address, in lower case, without what would break a line of the file.
bool is_pattern(std::string_view text) {
  if (text.empty() || text.size() > kMaxAddress ||
      std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }))
    return false;
  if (text.front() == '@') return Domain::parse(text.substr(1)).has_value();
  const auto parsed = Address::parse(text);
  return parsed && !parsed->domain().empty();
}

/// An entry as the file will have it, or why it is none.
Result<void> put_right(Suppression& entry) {
  lower_in_place(entry.scope);
  lower_in_place(entry.recipient);
  entry.why = clean_text(entry.why, Suppression::kMaxWhy, true);
  if (entry.scope != "*" && !is_pattern(entry.scope))
    return fault("suppress.value", fmt::format("\"{}\" is no scope: *, @domain or an address", entry.scope));
  if (!is_pattern(entry.recipient))
    return fault("suppress.value", fmt::format("\"{}\" is no recipient: an address or @domain", entry.recipient));
  entry.since = std::chrono::floor<std::chrono::seconds>(entry.since);
  if (entry.until != WallTime::max()) entry.until = std::chrono::floor<std::chrono::seconds>(entry.until);
  return {};
}

}  // namespace

SuppressionList::SuppressionList(Env& env, std::string folder, Executor& owner, SuppressionSettings settings)
    : env_(env),
      path_(folder + "/" + std::string(kFile)),
      folder_(std::move(folder)),
      owner_(owner),
      settings_(std::move(settings)),
      seed_(random_u64()),
      filter_(std::bit_ceil<std::size_t>(settings_.max_entries * kFilterCounters + 1)) {}

// --- the filter -----------------------------------------------------------------------------------------------------

/// Counts an entry in or out. Only the owner writes, so that a load and a store are enough; an entry that comes is
/// counted before it can be found, and nobody minds one that goes a moment later.
void SuppressionList::mark(const Key& key, bool there) {
  const std::uint64_t hash = hash_bytes(key.first, hash_bytes(key.second, seed_));
  for (std::uint64_t i = 0; i < kFilterProbes; ++i) {
    std::atomic<std::uint8_t>& counter = filter_[probe(hash, i)];
    const std::uint8_t count = counter.load(std::memory_order_relaxed);
    if (count == kStuck) continue;
    counter.store(static_cast<std::uint8_t>(there ? count + 1 : count - 1), std::memory_order_relaxed);
  }
}

bool SuppressionList::marked(std::string_view recipient, std::string_view scope) const {
  const std::uint64_t hash = hash_bytes(recipient, hash_bytes(scope, seed_));
  for (std::uint64_t i = 0; i < kFilterProbes; ++i)
    if (filter_[probe(hash, i)].load(std::memory_order_relaxed) == 0) return false;
  return true;
}

/// A counter's number, one of kFilterProbes for each hash.
std::uint64_t SuppressionList::probe(std::uint64_t hash, std::uint64_t number) const {
  return (hash + number * (hash >> 32 | 1)) & (filter_.size() - 1);
}

/// From the most particular to the most general.
std::vector<SuppressionList::Key> SuppressionList::keys_of(const Address& sender, const Address& recipient) {
  std::vector<Key> keys;
  for (const std::string& to : {folded(recipient), at_domain(recipient)}) {
    if (!sender.is_null()) {
      keys.emplace_back(to, folded(sender));
      keys.emplace_back(to, at_domain(sender));
    }
    keys.emplace_back(to, "*");
  }
  return keys;
}

bool SuppressionList::may_be_listed(const Address& sender, const Address& recipient) const {
  if (!settings_.enabled) return false;
  return std::ranges::any_of(keys_of(sender, recipient), [&](const Key& key) { return marked(key.first, key.second); });
}

// --- entries, on the owner ------------------------------------------------------------------------------------------

std::optional<Suppression> SuppressionList::look(const std::vector<Key>& keys, WallTime now) const {
  for (const Key& key : keys) {
    const auto found = by_key_.find(key);
    if (found != by_key_.end() && found->second.until > now) return found->second;
  }
  return std::nullopt;
}

Task<std::optional<Suppression>> SuppressionList::find(const Address& sender, const Address& recipient) {
  if (!settings_.enabled) return Task<std::optional<Suppression>>::ready(std::nullopt);
  std::vector<Key> keys = keys_of(sender, recipient);
  std::erase_if(keys, [this](const Key& key) { return !marked(key.first, key.second); });
  if (keys.empty()) return Task<std::optional<Suppression>>::ready(std::nullopt);
  return find_marked(std::move(keys));
}

Task<std::optional<Suppression>> SuppressionList::find_marked(std::vector<Key> keys) {
  co_return co_await run_on(owner_, [this, &keys] { return look(keys, owner_.wall()); });
}

template <class Which>
void SuppressionList::erase_those(Which which) {
  std::erase_if(by_key_, [&](const auto& one) {
    const bool gone = which(one.second);
    if (gone) mark(one.first, false);
    return gone;
  });
}

/// Those that ended go first; then a sixteenth of the rest, those that end soonest.
void SuppressionList::make_room(WallTime now) {
  const bool full = by_key_.size() > settings_.max_entries;
  if (!full && now < later(purged_, kPurgeEvery)) return;
  purged_ = now;
  erase_those([now](const Suppression& one) { return one.until <= now; });
  if (by_key_.size() <= settings_.max_entries) return;
  std::vector<WallTime> ends;
  for (const auto& [key, entry] : by_key_) ends.push_back(entry.until);
  std::size_t drop = by_key_.size() - settings_.max_entries + settings_.max_entries / 16;
  const auto at = ends.begin() + static_cast<std::ptrdiff_t>(drop - 1);
  std::ranges::nth_element(ends, at);
  const WallTime limit = *at;
  erase_those([&](const Suppression& one) { return one.until <= limit && drop > 0 && drop-- > 0; });
}

void SuppressionList::apply(const SuppressionChange& change, WallTime now) {
  const Key key{change.entry.recipient, change.entry.scope};
  if (!change.add) {
    if (by_key_.erase(key) > 0) mark(key, false);
    return;
  }
  if (change.entry.until <= now) return;
  auto [at, fresh] = by_key_.try_emplace(key, change.entry);
  if (fresh) mark(key, true);
  if (!fresh && change.entry.until >= at->second.until) at->second = change.entry;
  make_room(now);
}

void SuppressionList::note(const SuppressionChange& change) {
  pending_ += suppression_line(change.entry, change.add);
  ++lines_;
}

Task<Result<void>> SuppressionList::change(SuppressionChange change, bool* found) {
  co_await run_on(owner_, [this, &change, found] {
    const bool there = by_key_.contains({change.entry.recipient, change.entry.scope});
    if (found) *found = there;
    if (!change.add && !there) return;
    apply(change, owner_.wall());
    note(change);
  });
  co_return co_await flush_all();
}

Task<Result<void>> SuppressionList::add(Suppression entry) {
  if (auto right = put_right(entry); !right) co_return right;
  co_return co_await change({true, std::move(entry)}, nullptr);
}

Task<Result<bool>> SuppressionList::remove(std::string scope, std::string recipient) {
  SuppressionChange gone;
  gone.entry.scope = to_lower(scope);
  gone.entry.recipient = to_lower(recipient);
  bool found = false;
  auto done = co_await change(std::move(gone), &found);
  if (!done) co_return std::unexpected(done.error());
  co_return found;
}

Task<std::vector<Suppression>> SuppressionList::list(std::string after_recipient, std::string after_scope,
                                                     std::size_t limit) {
  const Key after{std::move(after_recipient), std::move(after_scope)};
  co_return co_await run_on(owner_, [this, &after, limit] {
    std::vector<Suppression> out;
    for (auto at = by_key_.upper_bound(after); at != by_key_.end() && out.size() < limit; ++at)
      if (at->second.until > owner_.wall()) out.push_back(at->second);
    return out;
  });
}

// --- the file -------------------------------------------------------------------------------------------------------

std::string SuppressionList::whole_text() const {
  std::string out;
  for (const auto& [key, entry] : by_key_) out += suppression_line(entry, true);
  return out;
}

/// On the owner: what one writer shall write next; nothing when there is nothing, or another one writes.
std::optional<SuppressionList::Flush> SuppressionList::begin_flush() {
  if (flushing_ || (pending_.empty() && !broken_)) return std::nullopt;
  flushing_ = true;
  Flush out;
  out.rewrite = broken_ || (lines_ > kMinRewrite && lines_ > 2 * by_key_.size());
  if (out.rewrite) {
    out.text = whole_text();
    pending_.clear();
    lines_ = by_key_.size();
    file_size_ = out.text.size();
  } else {
    out.text = std::exchange(pending_, {});
    out.offset = file_size_;
    file_size_ += out.text.size();
  }
  return out;
}

/// On the disk pool.
Result<void> SuppressionList::write(const Flush& flush) {
  const auto failed = [&](int error) { return fault("suppress.file", path_ + ": " + std::strerror(error)); };
  if (flush.rewrite) {
    if (const int error = replace_file(env_, folder_, std::string(kFile), flush.text)) return failed(error);
    return {};
  }
  auto file = env_.open(path_, OpenMode::kCreate);
  if (!file) return failed(file.error());
  const std::string_view part = flush.text;
  if (const int error = (*file)->write({&part, 1}, flush.offset)) return failed(error);
  if (const int error = (*file)->sync()) return failed(error);
  if (flush.offset != 0) return {};
  if (const int error = env_.sync_dir(folder_)) return failed(error);  // its name is new, too
  return {};
}

/// Writes until there is nothing more: what others add meanwhile goes with the next round.
Task<Result<void>> SuppressionList::flush_all() {
  Result<void> result;
  while (true) {
    const auto next = co_await run_on(owner_, [this] { return begin_flush(); });
    if (!next) co_return result;
    try {
      result = co_await run_blocking(Pool::kDisk, [this, &next] { return write(*next); });
    } catch (const Overloaded&) {
      result = fault("suppress.file", "the disk pool is busy");
    }
    const bool good = result.has_value();
    co_await run_on(owner_, [this, good] {
      flushing_ = false;
      broken_ = !good;
    });
    if (!good) co_return result;
  }
}

/// On the disk pool, before anything is written.
Result<std::string> SuppressionList::read_whole() {
  remove_drafts(env_, folder_, kFile);
  auto text = read_file(env_, path_, kMaxFile);
  if (text) return std::move(*text);
  if (text.error() == ENOENT) return std::string();
  return fault("suppress.file", path_ + ": " + std::strerror(text.error()));
}

Task<Result<void>> SuppressionList::open() {
  if (!settings_.enabled) co_return Result<void>();
  const Result<std::string> text = co_await run_blocking(Pool::kDisk, [this] { return read_whole(); });
  if (!text) co_return std::unexpected(text.error());
  const WallTime now = owner_.wall();
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    if (end == rest.npos) break;  // a torn last line
    const auto change = parse_suppression_line(rest.substr(0, end));
    rest.remove_prefix(end + 1);
    ++lines_;
    if (!change) {
      ++damaged_;
      continue;
    }
    apply(*change, now);
  }
  file_size_ = text->size() - rest.size();
  broken_ = damaged_ > 0 || !rest.empty();  // the next write puts it right
  co_return Result<void>();
}

// --- what teaches it ------------------------------------------------------------------------------------------------

/// Nothing when the reply does not say that the address is dead.
std::optional<Suppression> SuppressionList::bounce_entry(const Address& sender, const Address& recipient,
                                                         const Reply& reply, WallTime now) const {
  if (!settings_.enabled || sender.is_null() || recipient.domain().empty() || !is_hard_bounce(reply))
    return std::nullopt;
  return Suppression{.scope = at_domain(sender),
                     .recipient = folded(recipient),
                     .reason = SuppressReason::kBounced,
                     .since = now,
                     .until = later(now, settings_.bounced),
                     .why = reply_text(reply, true)};
}

Task<Result<bool>> SuppressionList::learn(Address sender, Address recipient, Reply reply) {
  auto entry = bounce_entry(sender, recipient, reply, (co_await this_executor()).wall());
  if (!entry) co_return false;
  auto added = co_await add(std::move(*entry));
  if (!added) co_return std::unexpected(added.error());
  co_return true;
}

void SuppressionList::learn_later(const Address& sender, const Address& recipient, const Reply& reply) {
  if (!settings_.enabled || !is_hard_bounce(reply)) return;
  owner_.post_remote_fn([this, sender, recipient, reply] {
    auto entry = bounce_entry(sender, recipient, reply, owner_.wall());
    if (!entry || !put_right(*entry)) return;
    const SuppressionChange change{true, std::move(*entry)};
    apply(change, owner_.wall());
    note(change);
    if (background_ && !flushing_) background_(flush_quietly());
  });
}

/// What could not be written is written with the next change.
Task<void> SuppressionList::flush_quietly() {
  static_cast<void>(co_await flush_all());
}

bool SuppressionList::is_feedback(const Recipient& recipient) const {
  if (!settings_.enabled || settings_.feedback_address.empty()) return false;
  if (equal_folded(recipient.address.to_string(), settings_.feedback_address)) return true;
  return !recipient.orcpt.empty() && equal_folded(recipient.orcpt, format_orcpt("rfc822", settings_.feedback_address));
}

Task<Result<std::size_t>> SuppressionList::learn_complaint(std::string message, const FeedbackProof& proof) {
  if (!settings_.enabled) co_return 0;
  const auto report = parse_arf(message);
  if (!report) co_return std::unexpected(report.error());
  if (!report->is_complaint()) co_return 0;
  const WallTime now = (co_await this_executor()).wall();
  const bool left = report->feedback_type.starts_with("opt-out");
  std::size_t made = 0;
  for (const Address& sender : report->senders)
    for (const Address& one : report->recipients) {
      const bool proven = std::ranges::any_of(
          report->proofs, [&](const std::string& value) { return proof.verify(value, sender, one, now); });
      if (!proven) continue;
      auto added = co_await add(
          {.scope = folded(sender),
           .recipient = folded(one),
           .reason = left ? SuppressReason::kUnsubscribed : SuppressReason::kComplained,
           .since = now,
           .until = later(now, settings_.complained),
           .why = fmt::format("{} ({}) {}", report->feedback_type, report->user_agent, report->message_id)});
      if (!added) co_return std::unexpected(added.error());
      ++made;
    }
  co_return made;
}

}  // namespace postern::queue

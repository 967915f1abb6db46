#include "authenticator.h"

#include <algorithm>

#include "postern/random.h"
#include "postern/sync.h"
#include "postern/text.h"
#include "sasl.h"

namespace postern::auth {

namespace {

constexpr std::size_t kMaxNameBytes = 320;

// A whole /64 belongs to one customer, who could take a new address for each guess.
std::string address_key(const IpAddress& address) {
  std::size_t octets = address.is_v6() ? 8 : 4;
  return {reinterpret_cast<const char*>(address.octets()), octets};
}

bool may_send_password(const AuthFacts& facts) {
  return facts.secure || facts.allow_plaintext;
}

Counter& counter(Metrics& metrics, std::string_view result) {
  return metrics.counter("postern_auth_attempts_total", "Log-in attempts by what became of them.",
                         {{"result", std::string(result)}});
}

}  // namespace

AuthLimits limits_of(const AuthSettings& settings) {
  AuthLimits limits;
  limits.throttle = {settings.free_failures, settings.first_delay,    settings.max_delay,
                     settings.block_after,   settings.failure_window, settings.throttle_size};
  limits.cache_time = settings.cache_time;
  limits.cache_size = settings.cache_size;
  return limits;
}

// One attempt and all it needs to know. Copied out of the snapshot, since a reload may replace that while we wait.
struct PasswordAuthenticator::Attempt {
  std::string account;   // canonical, known or not
  std::string hash;      // or the dummy
  std::string secret;    // the password; for APOP the digest
  std::string expected;  // for APOP: the digest it should be
  Digest digest{};
  AuthFacts facts;
  bool exists = false;
  bool apop = false;
};

PasswordAuthenticator::PasswordAuthenticator(SnapshotDirectory& directory, Runtime& runtime, Metrics& metrics,
                                             AuthLimits limits, Verifier verifier)
    : directory_(directory),
      runtime_(runtime),
      verifier_(std::move(verifier)),
      key_(random_base62(43)),
      ok_(counter(metrics, "ok")),
      refused_(counter(metrics, "refused")),
      throttled_(counter(metrics, "throttled")),
      unavailable_(counter(metrics, "unavailable")),
      cached_(metrics.counter("postern_auth_cached_total", "Log-ins that were remembered and needed no hashing.")) {
  for (unsigned i = 0; i < runtime.workers(); ++i) {
    shards_.push_back(std::make_unique<Shard>());
    shards_.back()->limits = limits;
  }
}

void PasswordAuthenticator::set_worker(unsigned index, Log log, AuthLimits limits) {
  shards_[index]->log = std::move(log);
  shards_[index]->limits = limits;
}

unsigned PasswordAuthenticator::owner_of(std::string_view key) const {
  return runtime_.owner_of(hash_bytes(key)).index();
}

std::vector<std::string_view> PasswordAuthenticator::mechanisms(const AuthFacts& facts) const {
  if (!may_send_password(facts)) return {};
  return {"PLAIN", "LOGIN"};
}

std::unique_ptr<SaslExchange> PasswordAuthenticator::begin(std::string_view mechanism, const AuthFacts& facts) {
  std::string name = to_lower(mechanism);
  if (name == "plain") return std::make_unique<PlainExchange>(*this, facts);
  if (name == "login") return std::make_unique<LoginExchange>(*this, facts);
  return nullptr;
}

bool PasswordAuthenticator::same_account(std::string_view a, std::string_view b) const {
  const Snapshot& snapshot = directory_.current();
  return snapshot.canonical(a) == snapshot.canonical(b);
}

Task<AuthOutcome> PasswordAuthenticator::check_password(std::string name, std::string password, AuthFacts facts) {
  using Outcome = Task<AuthOutcome>;
  if (!may_send_password(facts)) return Outcome::ready({AuthOutcome::Kind::kInsecure, {}, "password without TLS"});
  if (name.empty() || name.size() > kMaxNameBytes || password.size() > kMaxPasswordBytes)
    return Outcome::ready({AuthOutcome::Kind::kRefused, {}, "name or password of a length that nobody has"});
  const Snapshot& snapshot = directory_.current();
  Attempt attempt;
  attempt.account = snapshot.canonical(name);
  const Credentials* found = snapshot.credentials(attempt.account);
  attempt.exists = found && !is_locked(found->hash);
  attempt.hash = attempt.exists ? found->hash : snapshot.dummy_hash();
  std::string text = attempt.account;  // the hash belongs to it: a changed password is forgotten at once
  text.append(1, '\0').append(attempt.hash).append(1, '\0').append(password);
  attempt.digest = hmac_sha256(key_, text);
  attempt.secret = std::move(password);
  attempt.facts = std::move(facts);
  return run(std::move(attempt));
}

Task<AuthOutcome> PasswordAuthenticator::check_apop(std::string name, std::string timestamp, std::string digest,
                                                    AuthFacts facts) {
  if (name.empty() || name.size() > kMaxNameBytes || digest.size() != 32)
    return Task<AuthOutcome>::ready({AuthOutcome::Kind::kRefused, {}, "not an APOP name and digest"});
  const Snapshot& snapshot = directory_.current();
  Attempt attempt;
  attempt.account = snapshot.canonical(name);
  const Credentials* found = snapshot.credentials(attempt.account);
  attempt.exists = found && !found->apop_secret.empty() && !is_locked(found->hash);
  attempt.expected = md5_hex(timestamp + (attempt.exists ? found->apop_secret : key_));
  attempt.secret = to_lower(digest);
  attempt.facts = std::move(facts);
  attempt.apop = true;
  return run(std::move(attempt));
}

Task<AuthOutcome> PasswordAuthenticator::run(Attempt attempt) {
  Turn turn = co_await take_turn(attempt);
  if (turn.wait > Duration{}) co_await sleep_for(turn.wait);
  if (turn.refused) co_return co_await finish(attempt, AuthOutcome::Kind::kTooMany, "too many failures");
  if (turn.known) co_return co_await finish(attempt, AuthOutcome::Kind::kOk, "remembered");
  bool right = false;
  bool checked = true;
  try {
    right = co_await verify(attempt);
  } catch (const Overloaded&) {
    checked = false;
  }
  if (!checked) co_return co_await finish(attempt, AuthOutcome::Kind::kUnavailable, "the cpu pool is full");
  co_await note(attempt, right);
  if (right) co_return co_await finish(attempt, AuthOutcome::Kind::kOk, attempt.apop ? "apop" : "password");
  co_return co_await finish(attempt, AuthOutcome::Kind::kRefused,
                            attempt.exists ? "wrong password" : "no such account");
}

// The references below live in run()'s frame, which awaits each of these.
Task<PasswordAuthenticator::Turn> PasswordAuthenticator::take_turn(const Attempt& attempt) {
  std::string client = address_key(attempt.facts.client);
  unsigned client_owner = owner_of(client);
  unsigned owner = owner_of(attempt.account);
  // A remembered password is right whoever else behind the same address is guessing: it stands in no queue.
  const bool known =
      !attempt.apop && attempt.exists && co_await run_on(runtime_.worker(owner), [this, owner, &attempt] {
        return shards_[owner]->logins.matches(attempt.account, attempt.digest, runtime_.worker(owner).now());
      });
  if (known) co_return Turn{{}, false, true};
  Turn turn = co_await run_on(runtime_.worker(client_owner), [this, client_owner, &client] {
    Shard& shard = *shards_[client_owner];
    auto decision = shard.addresses.admit(client, shard.limits.throttle, runtime_.worker(client_owner).now());
    return Turn{decision.wait, decision.refused, false};
  });
  if (turn.refused) co_return turn;
  Turn second = co_await run_on(runtime_.worker(owner), [this, owner, &attempt] {
    Shard& shard = *shards_[owner];
    Instant now = runtime_.worker(owner).now();
    if (shard.logins.is_familiar(attempt.account, attempt.facts.client)) return Turn{};
    ThrottlePolicy policy = shard.limits.throttle;
    policy.block_after = 0;  // or strangers could lock somebody out
    auto decision = shard.accounts.admit(attempt.account, policy, now);
    return Turn{decision.wait, decision.refused, false};
  });
  second.wait = std::max(second.wait, turn.wait);
  co_return second;
}

Task<bool> PasswordAuthenticator::verify(const Attempt& attempt) {
  if (attempt.apop) co_return attempt.exists&& equal_in_constant_time(attempt.expected, attempt.secret);
  bool same = co_await run_blocking(Pool::kCpu, [this, &attempt] { return verifier_(attempt.hash, attempt.secret); });
  co_return same&& attempt.exists;
}

Task<void> PasswordAuthenticator::note(const Attempt& attempt, bool right) {
  std::string client = address_key(attempt.facts.client);
  unsigned client_owner = owner_of(client);
  // A right password does not clear an address: or one account of his own would let a guesser go on for ever.
  if (!right)
    co_await run_on(runtime_.worker(client_owner), [this, client_owner, &client] {
      Shard& shard = *shards_[client_owner];
      shard.addresses.failed(client, shard.limits.throttle, runtime_.worker(client_owner).now());
    });
  unsigned owner = owner_of(attempt.account);
  co_await run_on(runtime_.worker(owner), [this, owner, &attempt, right] {
    Shard& shard = *shards_[owner];
    Instant now = runtime_.worker(owner).now();
    if (!right) return shard.accounts.failed(attempt.account, shard.limits.throttle, now);
    shard.accounts.succeeded(attempt.account);
    Duration keep = attempt.apop ? Duration{} : shard.limits.cache_time;
    shard.logins.remember(attempt.account, attempt.digest, attempt.facts.client, now, keep, shard.limits.cache_size);
  });
}

Task<AuthOutcome> PasswordAuthenticator::finish(const Attempt& attempt, AuthOutcome::Kind kind,
                                                std::string_view reason) {
  unsigned worker = (co_await this_executor()).index();
  Shard& shard = *shards_[worker];
  bool ok = kind == AuthOutcome::Kind::kOk;
  if (ok && reason == "remembered") cached_.add(worker);
  Counter& counted = ok                                        ? ok_
                     : kind == AuthOutcome::Kind::kTooMany     ? throttled_
                     : kind == AuthOutcome::Kind::kUnavailable ? unavailable_
                                                               : refused_;
  counted.add(worker);
  shard.log.at(ok ? LogLevel::kInfo : LogLevel::kWarn, ok ? "auth.ok" : "auth.refused",
               {{"service", attempt.facts.service},
                {"account", attempt.account},
                {"ip", attempt.facts.client.to_string()},
                {"session", attempt.facts.session},
                {"secure", attempt.facts.secure},
                {"reason", reason}});
  AuthOutcome outcome;
  outcome.kind = kind;
  if (ok) outcome.account = attempt.account;
  outcome.reason = std::string(reason);
  co_return outcome;
}

}  // namespace postern::auth

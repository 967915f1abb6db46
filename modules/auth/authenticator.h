// The service "auth": checks names and passwords against the snapshot in force.
//
// Every attempt takes the same way, whether its name exists or not: the client's address is asked for its turn, then
// the account, then the password is hashed on the cpu pool (an unknown name's against a dummy of the usual cost), then
// both learn how it went. A password that was right a short while ago skips the hashing, not the address's turn.
//
// Owner:  AuthModule. Thread: any worker; the state of an address or account lives with its owner worker (Shard).
// Errors: none thrown but Cancelled; a full cpu pool is kUnavailable.
// RFC:    4616 (PLAIN), 1939 §7 (APOP), 4422; LOGIN as its expired draft and all clients have it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "directory.h"
#include "login_cache.h"
#include "password.h"
#include "postern/auth.h"
#include "postern/log.h"
#include "postern/metrics.h"
#include "throttle.h"

namespace postern::auth {

/// The [auth] settings that an attempt needs; replaced whole by a reload, on each worker.
struct AuthLimits {
  ThrottlePolicy throttle;
  Duration cache_time = 5min;
  std::size_t cache_size = 20'000;
};
AuthLimits limits_of(const AuthSettings& settings);

class PasswordAuthenticator final : public Authenticator {
 public:
  using Verifier = std::function<bool(const std::string& hash, const std::string& password)>;

  PasswordAuthenticator(SnapshotDirectory& directory, Runtime& runtime, Metrics& metrics, AuthLimits limits,
                        Verifier verifier = verify_password);

  std::vector<std::string_view> mechanisms(const AuthFacts& facts) const override;
  std::unique_ptr<SaslExchange> begin(std::string_view mechanism, const AuthFacts& facts) override;
  Task<AuthOutcome> check_password(std::string name, std::string password, AuthFacts facts) override;
  Task<AuthOutcome> check_apop(std::string name, std::string timestamp, std::string digest, AuthFacts facts) override;

  /// On each worker, before it takes work, and again after a reload.
  void set_worker(unsigned index, Log log, AuthLimits limits);
  void set_limits(unsigned index, AuthLimits limits) { shards_[index]->limits = std::move(limits); }
  /// Whether two typed names are the same account: PLAIN's authzid and authcid.
  bool same_account(std::string_view a, std::string_view b) const;

 private:
  struct Shard {  // of one worker, touched on its thread only
    Throttle addresses, accounts;
    LoginCache logins;
    AuthLimits limits;
    Log log;
  };
  struct Attempt;  // authenticator.cc
  struct Turn {
    Duration wait{};
    bool refused = false;
    bool known = false;  // a remembered log-in
  };
  Task<AuthOutcome> run(Attempt attempt);
  Task<Turn> take_turn(const Attempt& attempt);
  Task<bool> verify(const Attempt& attempt);
  Task<void> note(const Attempt& attempt, bool right);
  Task<AuthOutcome> finish(const Attempt& attempt, AuthOutcome::Kind kind, std::string_view reason);
  unsigned owner_of(std::string_view key) const;

  SnapshotDirectory& directory_;
  Runtime& runtime_;
  Verifier verifier_;
  std::string key_;  // of the digests in LoginCache; dies with the process
  std::vector<std::unique_ptr<Shard>> shards_;
  Counter& ok_;
  Counter& refused_;
  Counter& throttled_;
  Counter& unavailable_;
  Counter& cached_;
};

}  // namespace postern::auth

// Accounts and authentication, as protocols and the relay gate ask for them.
//
// modules/auth provides both services (from TOML and a passwd-style file; later issues add directories). A look-up that
// has its answer in memory returns Task::ready and costs no frame.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "postern/address.h"
#include "postern/endpoint.h"
#include "postern/error.h"
#include "postern/task.h"

namespace postern {

/// What we know of a recipient or sender address.
struct AddressLookup {
  enum class Kind {
    kAccount,     ///< a local mailbox; `account` names it
    kAlias,       ///< rewritten to `targets`
    kNoSuchUser,  ///< our domain, nobody by that name
    kForeign,     ///< not our domain
    kTemporary,   ///< the directory did not answer: 451, never "no such user"
  };
  Kind kind = Kind::kForeign;
  std::string account;
  std::vector<Address> targets;
  /// kAlias: a local part of the targets comes from the address asked for (a domain or pattern map), so that whoever
  /// sends chooses it. The gate then treats foreign targets as relaying.
  bool wild = false;
};

/// How a domain is ours, as TOML declares it.
enum class DomainKind {
  kLocal,    ///< mailboxes here
  kRelay,    ///< accepted and handed to another server (a gateway's protected domain)
  kForeign,  ///< not ours
};

/// What the proof of the relay gate knows of the directory.
struct DirectoryFacts {
  struct Domain {
    std::string name;
    DomainKind kind = DomainKind::kLocal;
  };
  std::vector<Domain> domains;
  std::size_t foreign_aliases = 0;  ///< aliases with a target elsewhere
  std::size_t wild_aliases = 0;     ///< of those: the sender chooses the local part
};

/// Service "directory". One instance, asked by all workers; its answers are snapshots that a reload replaces.
class Directory {
 public:
  static constexpr std::string_view kService = "directory";
  virtual ~Directory();
  virtual DomainKind domain_kind(std::string_view ascii_domain) const = 0;
  /// The local domain that unqualified names (postmaster) belong to; empty when there is none.
  virtual std::string default_domain() const = 0;
  virtual Task<AddressLookup> find(Address address) = 0;
  /// For the proof that no stranger relays. What a directory cannot tell it must count as open.
  virtual DirectoryFacts facts() const = 0;
  /// For checks of rules before they are in force: the answer of what a check has just read, without waiting. Nothing
  /// when that cannot be told. Thread: the one that checks.
  virtual std::optional<AddressLookup> look_ahead(const Address& address) const;
};

struct AuthFacts {
  std::string service;  ///< "smtp", "pop3", "imap"
  IpAddress client;
  bool secure = false;           ///< TLS, or a Unix socket
  bool allow_plaintext = false;  ///< the listener's lesson setting: passwords without TLS
  std::string session;           ///< id for the log
};

struct AuthOutcome {
  enum class Kind {
    kOk,
    kRefused,      ///< wrong name or password: 535, -ERR [AUTH]
    kUnavailable,  ///< could not be checked now: 454, -ERR [SYS/TEMP]
    kInsecure,     ///< needs TLS first: 538, -ERR
    kMalformed,    ///< the exchange was not what the mechanism wants: 501
    kAborted,      ///< the client sent "*"
    kTooMany,      ///< throttled, nothing was checked, the account may exist or not: 454 4.7.0, -ERR [SYS/TEMP]
  };
  Kind kind = Kind::kRefused;
  std::string account;  ///< authorised account, as in Directory, when kOk
  std::string reason;   ///< for the log only
};

/// One SASL exchange (RFC 4422). step() is called with each client response (decoded from base64; nothing at first when
/// the client sent no initial response) until it returns an outcome.
class SaslExchange {
 public:
  virtual ~SaslExchange();
  struct Step {
    std::optional<AuthOutcome> outcome;
    std::string challenge;  ///< to send (not yet base64) when there is no outcome
  };
  virtual Task<Step> step(std::optional<std::string> response) = 0;
};

/// Service "auth".
class Authenticator {
 public:
  static constexpr std::string_view kService = "auth";
  virtual ~Authenticator();
  /// Mechanisms to announce, strongest first; none when `facts` forbid passwords.
  virtual std::vector<std::string_view> mechanisms(const AuthFacts& facts) const = 0;
  /// Nothing when the mechanism is unknown (504); mechanism names are matched without case.
  virtual std::unique_ptr<SaslExchange> begin(std::string_view mechanism, const AuthFacts& facts) = 0;
  /// Name and password, as POP3's USER and PASS give them. Hashing runs on the cpu pool.
  virtual Task<AuthOutcome> check_password(std::string name, std::string password, AuthFacts facts) = 0;
  /// The shared secret of APOP (RFC 1939 §7), where an account keeps one; nothing else can use it.
  virtual Task<AuthOutcome> check_apop(std::string name, std::string timestamp, std::string digest,
                                       AuthFacts facts) = 0;
};

}  // namespace postern

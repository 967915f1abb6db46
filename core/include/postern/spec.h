// Specs: `*_spec.lua` beside scripts, which say what the scripts are to do with mail. `postern test` runs them, and a
// reload is refused when one fails.
//
// A spec works on a world of its own: answers of DNS, directory, HTTP and SQL that it states, kv stores of its own, a
// clock and a chance that it sets, and a policy with the scripts under test. Nothing in it reaches a network or a disk.
//
// Thread: one, off the workers. What is asked of the world and was not stated is a fault of the spec
// ("spec.unanswered").
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "postern/auth.h"
#include "postern/diagnostics.h"
#include "postern/dns.h"
#include "postern/error.h"
#include "postern/pipeline.h"

namespace postern {

/// A mail as a spec or `explain` describes it: a whole session with one transaction.
struct SpecMail {
  ClientInfo client;  ///< role, ip, ehlo, auth_user …
  std::string sender;
  std::vector<std::string> recipients;
  std::string text;  ///< header and body; LF or CRLF
};

/// What became of one recipient.
struct SpecOutcome {
  std::string recipient;
  Stage stage = Stage::kMessage;  ///< at which it was settled
  Reply reply;                    ///< what the client was told
  std::string rule;               ///< that decided; "gate" for the gate
  std::string action;             ///< "deliver", "relay", "discard", "quarantine", "bounce", "reject", "defer"
  std::string account, folder;    ///< deliver
  std::map<std::string, std::string> options;  ///< relay, bounce
  std::string reason;
  std::string header;  ///< as this recipient gets it
  std::string body;
};

/// All that came of one mail.
struct SpecResult {
  std::vector<SpecOutcome> outcomes;  ///< in the order of SpecMail::recipients, then those of aliases
  std::vector<SpecResult> brought;    ///< mails that rules brought in
  std::string sender;
  std::vector<TrailEntry> trail;
  std::string story;  ///< the trail as `postern why` tells it
};

/// What the queue tells or asks its hooks (postern/queue_event.h), as a spec describes it.
struct SpecEvent {
  Stage stage = Stage::kQueued;  ///< kQueued to kBounced
  std::string sender;
  std::vector<std::string> recipients;  ///< that it is about
  std::uint64_t size = 1000;
  std::uint32_t attempts = 0;
  std::optional<WallTime> accepted;            ///< nothing: now
  std::map<std::string, std::string> options;  ///< kRoute: "gateway", "tls", "source", as the plan has them
  std::string destination, host;
  Reply reply;
  WallTime next{};
};

/// What the hooks made of it.
struct SpecEventResult {
  Verdict verdict;                             ///< kContinue: nothing
  std::map<std::string, std::string> options;  ///< as they are now
  std::vector<std::string> failures;           ///< of hooks: code, place, detail
  std::string story;
};

/// The world of one spec. Faults say what the spec did wrong.
class SpecWorld {
 public:
  virtual ~SpecWorld();
  virtual void set_clock(WallTime now) = 0;
  virtual Result<void> answer_dns(std::string_view name, RecordType type, DnsAnswer answer) = 0;
  virtual Result<void> set_domain(std::string_view domain, DomainKind kind) = 0;
  virtual Result<void> set_address(std::string_view address, AddressLookup lookup) = 0;
  /// Any other effect: its name and question as trails have them, the answer in the same form.
  virtual Result<void> answer(std::string_view effect, std::string_view question, std::string_view answer) = 0;
  /// The scripts under test, in place of those of the configuration. Before the first mail. Faults: what is wrong with
  /// them, as the load checks say it.
  virtual Result<void> use_scripts(const std::vector<std::string>& files) = 0;
  /// A network whose clients may relay without logging in, beside those of the configuration.
  virtual Result<void> set_relay_network(std::string_view network) = 0;
  /// A value in a kv store (its name empty: the one of [pipeline] kv), or none. Each case begins with empty stores.
  virtual Result<void> set_key(std::string_view store, std::string_view key, std::optional<std::string> value) = 0;
  virtual Result<std::optional<std::string>> key(std::string_view store, std::string_view key) = 0;
  /// Random numbers follow from it; each case begins with the same one.
  virtual void set_seed(std::uint64_t seed) = 0;
  /// Runs the hooks of the queue for an event.
  virtual Result<SpecEventResult> event(const SpecEvent& event) = 0;
  /// Runs one mail through hooks, gate and pipelines until it is settled.
  virtual Result<SpecResult> mail(const SpecMail& mail) = 0;
};

/// What running specs gave, and how they are to be run.
struct SpecReport {
  struct Case {
    std::string file, name;
    bool passed = false;
    std::string failure;  ///< with file and line
    std::uint64_t micros = 0;
  };
  std::string only;                          ///< asked for: cases whose name has this in it; empty: all
  Duration limit{};                          ///< asked for: of all cases together; none: what is over it was not run
  std::function<void(const Case&)> on_case;  ///< asked for: told of each case as it ends
  std::vector<Case> cases;
  std::size_t failed() const;
};

}  // namespace postern

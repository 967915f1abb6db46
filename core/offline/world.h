// The world of one spec: what it states is all there is.
//
// Scripts are loaded with the first mail, from what the spec or else the configuration names, into a policy of their
// own. The directory is closed: a domain that was not stated is foreign, an address of a local domain that was not
// stated is nobody; this holds for the addresses of the mail and of stated aliases. It looks at no case, as the
// directory of users does. kv stores are the spec's own (SpecStore), unless the answer to a question was stated, and
// chance follows from a seed. Whatever else the rules ask (DNS, HTTP, SQL, limits that count, other addresses) must
// have been stated, else mail() is a fault that names the question. The clock stands still.
//
// Owner:  the script engine, for one case. Thread: one, no worker's.
// Errors: "spec.scripts" (with what the load checks say), "spec.unanswered", "spec.value", those of run_offline().
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/offline/machine.h"
#include "core/offline/spec_store.h"
#include "core/pipeline/settings.h"
#include "postern/spec.h"

namespace postern {

/// What all worlds of a run have in common. All outlive them.
struct OfflineSetup {
  const RuleRegistry& registry;
  ScriptEngine* engine = nullptr;
  PipelineSettings settings;  ///< of the configuration
  GateConfig gate;            ///< likewise
};

class OfflineWorld final : public SpecWorld {
 public:
  explicit OfflineWorld(const OfflineSetup& setup);
  ~OfflineWorld() override;

  void set_clock(WallTime now) override;
  Result<void> answer_dns(std::string_view name, RecordType type, DnsAnswer answer) override;
  Result<void> set_domain(std::string_view domain, DomainKind kind) override;
  Result<void> set_address(std::string_view address, AddressLookup lookup) override;
  Result<void> answer(std::string_view effect, std::string_view question, std::string_view answer) override;
  Result<void> use_scripts(const std::vector<std::string>& files) override;
  Result<void> set_relay_network(std::string_view network) override;
  Result<void> set_key(std::string_view store, std::string_view key, std::optional<std::string> value) override;
  Result<std::optional<std::string>> key(std::string_view store, std::string_view key) override;
  void set_seed(std::uint64_t seed) override { store_.set_seed(seed); }
  Result<SpecEventResult> event(const SpecEvent& event) override;
  Result<SpecResult> mail(const SpecMail& mail) override;

 private:
  class NoDirectory;
  using Key = std::pair<std::string, std::string>;  // effect, question
  void state(std::string_view effect, std::string_view question, std::string answer);
  void answer_anew();
  void state_default(std::string_view effect, std::string_view question, std::string_view answer);
  std::string store_name(std::string_view name) const;
  void close_directory(const Address& sender, const std::vector<Recipient>& recipients);
  void close_over(const Address& address);
  Result<void> load();
  Result<void> prepare();
  Result<void> check_answered() const;

  const OfflineSetup& setup_;
  std::vector<std::filesystem::path> scripts_;
  GateConfig gate_;
  WallTime clock_ = SimOptions{}.start;
  std::map<Key, std::vector<std::string>> stated_;
  std::vector<Address> targets_;  // of stated aliases
  std::unique_ptr<NoDirectory> directory_;
  std::unique_ptr<OfflineMachine> machine_;
  std::unique_ptr<PreparedRules> rules_;
  SpecStore store_;
  RecordedAnswers answers_;
};

}  // namespace postern

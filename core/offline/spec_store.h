// The kv stores and the chance of one spec: in memory, empty at first, the same in each run.
//
// A key's expiry goes by the spec's clock: it ends when the spec has put the clock past it. Every store that rules name
// is there. Random numbers follow from a seed.
//
// Owner:  OfflineWorld, for one case. Thread: one, no worker's.
// Errors: "kv.type" (increment of what is no whole number), "kv.limit" (more than kMaxKeys).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "core/pipeline/recorded_answers.h"
#include "postern/random.h"

namespace postern {

class SpecStore final : public RecordedAnswers::Fallback {
 public:
  static constexpr std::size_t kMaxKeys = 100'000;  ///< of all stores together
  static constexpr std::uint64_t kDefaultSeed = 1;

  void set_clock(WallTime now) { now_ = now; }
  void set_seed(std::uint64_t seed) { chance_ = Prng(seed); }

  Result<KeyValueReply> kv(std::string_view store, const KeyValueRequest& request) override;
  double random() override { return chance_.unit(); }

 private:
  struct Entry {
    std::string value;
    std::optional<WallTime> end;
  };
  using Key = std::pair<std::string, std::string>;  // store, key
  Entry* find(const Key& key);
  Result<void> put(const Key& key, std::string value, std::optional<Duration> expiry);

  std::map<Key, Entry> entries_;
  WallTime now_{};
  Prng chance_{kDefaultSeed};
};

}  // namespace postern

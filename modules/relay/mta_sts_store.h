// MTA-STS policies on disk, so that a restart does not forget what a domain has promised: a policy is worth most when
// an attacker hides the record that announces it (RFC 8461 §5.1, §10.2).
//
// A file per domain in one folder (replace_file). Bounded: beyond `max_files` the stalest of a few picked at random
// makes room for a new one.
//
// Owner: the module; shared by all workers. Thread: any but a worker's loop: every call reads or writes the disk.
// Errors: what cannot be read is as if it were not there; save() says what failed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mta_sts.h"
#include "postern/env.h"
#include "postern/time.h"

namespace postern::relay {

/// A policy as it was fetched.
struct StsEntry {
  std::string id;  ///< of the record that announced it
  WallTime fetched{};
  std::string body;  ///< the policy's text
  StsPolicy policy;

  bool expired(WallTime now) const { return now >= fetched + policy.max_age; }
  std::string to_text() const;
  static std::optional<StsEntry> parse(std::string_view text);
};

class StsStore {
 public:
  static constexpr std::size_t kMaxFiles = 10'000;
  static constexpr std::size_t kSample = 16;  ///< files looked at for the stalest

  /// `env` outlives it. prepare() makes the folder, and is called before anybody saves.
  StsStore(Env& env, std::string folder, std::size_t max_files = kMaxFiles)
      : env_(env), folder_(std::move(folder)), max_files_(max_files) {}
  Result<void> prepare();
  std::optional<StsEntry> load(const std::string& domain);
  Result<void> save(const std::string& domain, const StsEntry& entry);
  /// Whose policies there are, in no order; at most `most`.
  std::vector<std::string> domains(std::size_t most);

 private:
  std::optional<StsEntry> read(const std::string& name);
  void make_room();

  Env& env_;
  std::string folder_;
  std::size_t max_files_;
};

}  // namespace postern::relay

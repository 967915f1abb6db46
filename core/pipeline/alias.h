// Following aliases to the addresses that they stand for.
//
// An alias may lead to further aliases. What is left at the end are accounts, addresses of relay domains and foreign
// ones, each once. A loop is an error, as are too many targets (kMaxAliasTargets) and too long a chain
// (kMaxAliasDepth): the recipient is deferred and the log names the alias.
//
// Each address that is looked at is written to the trail, as by any rule.
//
// Thread: a worker's coroutine.
#pragma once

#include <string>
#include <vector>

#include "core/pipeline/recorded_directory.h"
#include "postern/auth.h"
#include "postern/error.h"
#include "postern/task.h"

namespace postern {

inline constexpr std::size_t kMaxAliasTargets = 1000;
inline constexpr std::size_t kMaxAliasDepth = 16;

struct AliasTarget {
  Address address;
  AddressLookup lookup;  ///< kAccount, kForeign (of a relay domain, too) or kNoSuchUser
};
struct AliasTargets {
  std::vector<AliasTarget> targets;
  bool foreign = false;  ///< one of them is neither ours nor of a relay domain
  bool wild = false;     ///< a foreign one whose local part the sender chose
};

/// Errors: "alias.loop", "alias.limit", "alias.empty", "alias.nobody" (a target of ours does not exist),
/// "alias.temporary".
Task<Result<AliasTargets>> resolve_alias(RecordedDirectory& directory, Address alias, AddressLookup lookup);

}  // namespace postern

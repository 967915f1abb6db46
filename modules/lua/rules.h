// Matchers and mailets as values of scripts: what `match.x` and `act.y` give.
//
// Thread: that of the state; made while scripts are loaded.
#pragma once

#include <memory>
#include <string>

#include "postern/pipeline.h"

namespace postern::lua {

inline constexpr int kMaxArgumentDepth = 8;            ///< tables in tables
inline constexpr std::size_t kMaxArguments = 100'000;  ///< values of one matcher or mailet

/// A matcher or mailet that was named, and made once its arguments are known. A broken one stands for what has been
/// reported already, so that loading can go on and find more.
struct RuleRef {
  static constexpr const char* kName = "rule";
  enum class Kind : std::uint8_t { kMatcher, kAction };
  Kind kind = Kind::kMatcher;
  std::string name;
  Origin origin;
  const MatcherDeclaration* matcher_declaration = nullptr;
  const ActionDeclaration* action_declaration = nullptr;
  std::shared_ptr<Matcher> matcher;
  std::shared_ptr<Action> action;
  bool broken = false;

  bool made() const { return matcher || action; }
};

/// `match` or `act`.
struct RuleTable {
  static constexpr const char* kName = "rules";
  RuleRef::Kind kind = RuleRef::Kind::kMatcher;
};

}  // namespace postern::lua

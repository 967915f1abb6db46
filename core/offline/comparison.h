// What two runs of one mail decided, and in what they differ: verdicts, routes and edits.
//
// Compared are what was answered, what the verdicts say, where recipients go and what changed in the header; not which
// rule did it, nor where it stands, nor how long it took.
//
// Thread: any; values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "postern/trail.h"

namespace postern {

struct DecisionLine {
  enum class What : std::uint8_t { kVerdict, kRoute, kEdit };
  Stage stage{};
  What what{};
  std::string text;
  bool operator==(const DecisionLine&) const = default;
};
std::string_view to_string(DecisionLine::What what);

/// What a trail's entries decided, up to and with the stage `last`.
std::vector<DecisionLine> decisions_in(const std::vector<TrailEntry>& entries, Stage last);

struct DecisionChange {
  bool added = false;  ///< of the new run; else of the recorded one
  DecisionLine line;
};
/// Lines that only one of them has, in their order; the recorded ones of each kind first.
std::vector<DecisionChange> changes_between(const std::vector<DecisionLine>& before,
                                            const std::vector<DecisionLine>& after);

}  // namespace postern

#include "core/offline/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <tuple>

namespace postern {
namespace {

using What = DecisionLine::What;

/// "sender -> new sender [0-3]" without the new sender, which differs from day to day.
std::string without_made_sender(const std::string& text) {
  const std::size_t arrow = text.find(" -> ");
  const std::size_t set = text.rfind(" [");
  if (arrow == std::string::npos || set == std::string::npos || set < arrow) return text;
  return text.substr(0, arrow) + " is rewritten" + text.substr(set);
}

/// What stands behind the first ": ": before it is a name that each run makes anew.
std::string behind_name(const std::string& text) {
  const std::size_t colon = text.find(": ");
  return colon == std::string::npos ? text : text.substr(colon + 2);
}

std::optional<std::pair<What, std::string>> of_fact(const TrailEntry& entry) {
  if (entry.stage == Stage::kRcpt && entry.name == "return-path") return std::pair(What::kRoute, entry.answer);
  if (entry.stage != Stage::kMessage) return std::nullopt;
  if (entry.name == "plan" || entry.name == "alias") return std::pair(What::kRoute, entry.name + " " + entry.answer);
  if (entry.name == "return-path") return std::pair(What::kRoute, "sender " + without_made_sender(entry.answer));
  if (entry.name == "brought") return std::pair(What::kRoute, "a mail brought in: " + behind_name(entry.answer));
  if (entry.name == "body") return std::pair(What::kEdit, "body: " + behind_name(entry.answer));
  if (entry.name == "priority") return std::pair(What::kRoute, "priority " + entry.answer);
  return std::nullopt;
}

std::optional<std::pair<What, std::string>> of_entry(const TrailEntry& entry) {
  switch (entry.kind) {
    case TrailEntry::Kind::kGate:
      return std::pair(What::kVerdict, fmt::format("gate: {} -> {}", entry.question, entry.answer));
    case TrailEntry::Kind::kVerdict:
      return std::pair(What::kVerdict, entry.answer);
    case TrailEntry::Kind::kEdit:
      return std::pair(What::kEdit, entry.answer);
    case TrailEntry::Kind::kFact:
      return of_fact(entry);
    case TrailEntry::Kind::kError:
      // The spool is no part of a decision; of the others the code stands first, then the place.
      if (entry.name == "spool") return std::nullopt;
      return std::pair(What::kVerdict, "failed: " + entry.answer.substr(0, entry.answer.find(" at ")));
    case TrailEntry::Kind::kReply:
      // Written by the commit, to which no replay comes.
      if (entry.stage == Stage::kMessage && entry.name == "250") return std::nullopt;
      return std::pair(What::kVerdict, fmt::format("answer {} {}", entry.name, entry.answer));
    default:
      return std::nullopt;
  }
}

}  // namespace

std::string_view to_string(What what) {
  switch (what) {
    case What::kVerdict:
      return "verdict";
    case What::kRoute:
      return "route";
    case What::kEdit:
      return "edit";
  }
  return "unknown";
}

std::vector<DecisionLine> decisions_in(const std::vector<TrailEntry>& entries, Stage last) {
  std::vector<DecisionLine> out;
  for (const TrailEntry& entry : entries) {
    if (entry.stage > last) continue;
    if (auto line = of_entry(entry)) out.push_back({entry.stage, line->first, std::move(line->second)});
  }
  return out;
}

std::vector<DecisionChange> changes_between(const std::vector<DecisionLine>& before,
                                            const std::vector<DecisionLine>& after) {
  if (before == after) return {};
  std::vector<DecisionChange> out;
  std::vector<bool> used(after.size(), false);
  for (const DecisionLine& line : before) {
    bool found = false;
    for (std::size_t i = 0; i < after.size() && !found; ++i) found = !used[i] && after[i] == line && (used[i] = true);
    if (!found) out.push_back({false, line});
  }
  for (std::size_t i = 0; i < after.size(); ++i)
    if (!used[i]) out.push_back({true, after[i]});
  // By stage and kind, else as they came: the library's stable sort is deprecated under its own warnings.
  std::vector<std::size_t> order(out.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::tuple(out[i].line.stage, out[i].line.what, i); });
  std::vector<DecisionChange> sorted;
  for (const std::size_t i : order) sorted.push_back(std::move(out[i]));
  return sorted;
}

}  // namespace postern

// One seed: a few lives of the server, letters and commands at random moments, weather that changes, a disk that fails;
// then fair weather until everything has drained, and the ledger's judgement.
//
// Everything random comes from the seed, in the order in which things happen, so a seed is one history.
// Owner: main. Thread: one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ledger.h"
#include "plants.h"

namespace postern::simulation {

struct ScenarioOptions {
  std::uint64_t seed = 1;
  Plant plant = Plant::kNone;
  bool verbose = false;  ///< every virtual event to stdout
};

struct Outcome {
  std::vector<std::string> wrong;
  Ledger::Counts counts;
  std::uint64_t events = 0;
  std::uint64_t digest = 0;  ///< of all that was logged: two runs of a seed have the same
  unsigned crashes = 0;
};

Outcome run_scenario(const ScenarioOptions& options);

}  // namespace postern::simulation

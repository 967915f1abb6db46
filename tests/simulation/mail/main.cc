// mail_simulation: runs seeds, one after the other.
//
//   mail_simulation --seeds 300 --first 1          ends with 1 at the first seed at which something is wrong
//   mail_simulation --first 77 --seeds 1 --verbose  the whole history of one seed
//   mail_simulation --plant lost-is-forgotten       with a bug on purpose: ends with 0 when it was found
//   mail_simulation --twice                         runs each seed twice and compares: a seed is one history
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "postern/text.h"
#include "scenario.h"

using namespace postern;
using namespace postern::simulation;

namespace {

struct Arguments {
  std::uint64_t first = 1, seeds = 100;
  double seconds = 1e9;  ///< no seed is begun after that
  bool verbose = false, twice = false, all = false;
  const PlantInfo* plant = nullptr;
};

int usage(const std::string& why) {
  fmt::print(stderr,
             "{}\nmail_simulation [--first S] [--seeds N] [--seconds T] [--verbose] [--twice] [--all] [--plant NAME]\n",
             why);
  for (const PlantInfo& one : plants()) fmt::print(stderr, "  {:<20} {}\n", one.name, one.what);
  return 2;
}

std::string take_argument(Arguments& out, std::string_view name, const char* value) {
  if (name == "--verbose")
    out.verbose = true;
  else if (name == "--twice")
    out.twice = true;
  else if (name == "--all")
    out.all = true;
  else if (value == nullptr)
    return "unknown, or without its value: " + std::string(name);
  const auto number = value ? to_number<std::uint64_t>(value) : std::nullopt;
  if (name == "--first" && number)
    out.first = *number;
  else if (name == "--seeds" && number)
    out.seeds = *number;
  else if (name == "--seconds" && number)
    out.seconds = static_cast<double>(*number);
  else if (name == "--plant" && plant_named(value)) {
    for (const PlantInfo& one : plants())
      if (one.name == value) out.plant = &one;
  } else if (value) {
    return fmt::format("what is {} {}?", name, value);
  }
  return {};
}

bool takes_value(std::string_view name) {
  return name != "--verbose" && name != "--twice" && name != "--all";
}

void print_wrong(const Arguments& arguments, std::uint64_t seed, const std::vector<std::string>& wrong) {
  fmt::print("seed {}:\n", seed);
  for (const std::string& one : wrong) fmt::print("  {}\n", one);
  fmt::print("again: mail_simulation --first {} --seeds 1 --verbose{}{}\n", seed, arguments.plant ? " --plant " : "",
             arguments.plant ? arguments.plant->name : "");
}

/// One seed. False when something is wrong.
bool run_one(const Arguments& arguments, std::uint64_t seed, Outcome& total) {
  const ScenarioOptions options{seed, arguments.plant ? arguments.plant->plant : Plant::kNone, arguments.verbose};
  Outcome outcome = run_scenario(options);
  if (arguments.twice) {
    const Outcome again = run_scenario(options);
    if (again.digest != outcome.digest || again.events != outcome.events)
      outcome.wrong.push_back("the second run of this seed went another way");
  }
  total.events += outcome.events;
  total.crashes += outcome.crashes;
  total.counts.accepted += outcome.counts.accepted;
  total.counts.recipients += outcome.counts.recipients;
  total.counts.delivered += outcome.counts.delivered;
  total.counts.bounced += outcome.counts.bounced;
  total.counts.recalled += outcome.counts.recalled;
  total.counts.repeated += outcome.counts.repeated;
  total.counts.maybe += outcome.counts.maybe;
  if (outcome.wrong.empty()) return true;
  if (!arguments.plant || arguments.verbose) print_wrong(arguments, seed, outcome.wrong);
  if (arguments.plant && !arguments.verbose)
    fmt::print("{}: found by seed {}: {}\n", arguments.plant->name, seed, outcome.wrong.front());
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  for (int at = 1; at < argc; ++at) {
    const std::string_view name = argv[at];
    const char* value = takes_value(name) && at + 1 < argc ? argv[++at] : nullptr;
    if (const std::string why = take_argument(arguments, name, value); !why.empty()) return usage(why);
  }
  Outcome total;
  std::uint64_t failed = 0, done = 0;
  const auto began = std::chrono::steady_clock::now();
  const auto took = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(); };
  for (; done < arguments.seeds && took() < arguments.seconds; ++done) {
    if (run_one(arguments, arguments.first + done, total)) continue;
    if (arguments.plant) return 0;
    ++failed;
    if (!arguments.all) return 1;
  }
  if (arguments.plant) {
    fmt::print("{}: not found in {} seeds\n", arguments.plant->name, done);
    return 1;
  }
  const auto& counts = total.counts;
  fmt::print(
      "{} seeds in {:.1f} s, {} wrong: {} messages, {} recipients, {} delivered, {} bounced ({} of them perhaps "
      "delivered), {} messages recalled, {} recipients served twice, {} crashes, {} events\n",
      done, took(), failed, counts.accepted, counts.recipients, counts.delivered, counts.bounced, counts.maybe,
      counts.recalled, counts.repeated, total.crashes, total.events);
  return failed ? 1 : 0;
}

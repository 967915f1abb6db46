// Bugs on purpose: wrappers around parts of the server that do one thing wrong, to show that the simulation would find
// it. `--plant NAME` puts one in.
//
// Owner: the Server of a life. Thread: the simulation's.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "modules/queue/teller.h"
#include "postern/random.h"
#include "postern/spool.h"
#include "postern/transport.h"

namespace postern::simulation {

enum class Plant : std::uint8_t {
  kNone,
  kLostIsDelivered,    ///< a reply that did not come counts as a delivery
  kLostIsForgotten,    ///< a reply that did not come is deferred as any other failure
  kDotIsDone,          ///< the mark before the final dot ends the recipient
  kFailureForgotten,   ///< who failed is done before its sender has been told
  kSuccessForgotten,   ///< who was served is done before its sender has been told
  kNoDotMark,          ///< nothing is noted before the final dot
  kDoneIsDropped,      ///< now and then a recipient's end is not written
  kPlacedIsDropped,    ///< now and then the token of a delivery is not written
  kReportForgotten,    ///< now and then nobody is told
  kIntentForgotten,    ///< after a crash what was half told is tried again
  kNotifyIgnored,      ///< reports go out whatever NOTIFY says
  kRefusedIsDeferred,  ///< a refusal counts as "try again", a delivery as a refusal
  kDiskLies,           ///< syncs do nothing
};

struct PlantInfo {
  Plant plant;
  std::string_view name;
  std::string_view what;
};
std::span<const PlantInfo> plants();
std::optional<Plant> plant_named(std::string_view name);

std::unique_ptr<Transport> planted_transport(Plant plant, Transport& real);
std::unique_ptr<Spool> planted_spool(Plant plant, Spool& real, std::uint64_t seed);
std::unique_ptr<queue::Teller> planted_teller(Plant plant, queue::Teller& real, std::uint64_t seed);

}  // namespace postern::simulation

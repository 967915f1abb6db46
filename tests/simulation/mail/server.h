// Postern in one life: the spool on the simulated disk, the queue and the relay client, from a start to a crash or
// stop.
//
// What the module files do in the real server (services, reports, a courier per worker) is done here, over fewer
// workers than the simulation has: the last one belongs to the Internet.
//
// Death: nothing can be torn out of a process in the middle, so a crash first makes the world deaf (disk, mailboxes,
// network, ledger: World::dead), then lets the remains run out, and then tells the disk what it lost.
//
// Owner: the scenario. Thread: the simulation's. Errors: what must never fail goes to the ledger.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "internet.h"
#include "ledger.h"
#include "mailboxes.h"
#include "modules/queue/queue.h"
#include "modules/queue/reporter.h"
#include "modules/relay/courier.h"
#include "plants.h"
#include "postern/control.h"
#include "postern/nursery.h"

namespace postern::simulation {

/// What outlives the server.
struct World {
  SimRuntime& sim;
  FaultEnv& env;
  Internet& internet;
  Mailboxes& mailboxes;
  Ledger& ledger;
  LogTarget& log;
  Plant plant = Plant::kNone;
  bool& dead;
  double no_reports = 0;  ///< chance that the spool has no room when a report is to be made
};

struct ServerSettings {
  unsigned workers = 1;
  SpoolSettings spool;
  queue::QueueSettings queue;
  std::uint32_t report_recipients = 100;  ///< in one report
  relay::DeliverySettings delivery;
};

enum class End : std::uint8_t { kPowerLoss, kCrash, kStop };

class Server {
 public:
  Server(World& world, const ServerSettings& settings, std::uint64_t seed);
  ~Server();

  bool running() const { return queue_ != nullptr; }
  /// A client brings a message; its answer goes to the ledger.
  void submit(Letter& letter);
  /// An administrator's command about a message, or about all (empty id).
  void command(std::string name, MessageId id);
  std::vector<MessageInfo> list();
  /// How it ends. Nothing may be asked of it afterwards.
  void end(End how, std::uint64_t seed, Duration linger);

 private:
  class Desk;
  struct Parts;
  void start_relay();
  void start_queue();
  Task<void> take_in(Letter* letter, unsigned worker);
  Task<void> carry_out(std::string name, MessageId id);
  Task<void> drain_queue(unsigned worker, Deadline deadline);
  Task<void> drain_courier(unsigned worker, Deadline deadline);
  void drain(Deadline deadline);
  std::vector<std::uint64_t> handled();
  void restore_handled(const std::vector<std::uint64_t>& words);

  World& world_;
  const ServerSettings& settings_;
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<queue::QueueService> queue_;
};

/// The plan that the pipeline would make of a letter, and its envelope.
Envelope envelope_of(const Letter& letter);
Plan plan_of(const Letter& letter);

}  // namespace postern::simulation

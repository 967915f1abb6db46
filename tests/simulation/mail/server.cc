#include "server.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/spool/format.h"
#include "core/spool/id_source.h"
#include "core/spool/segment_spool.h"
#include "modules/queue/commands.h"
#include "modules/queue/control_for_tests.h"
#include "modules/queue/teller.h"
#include "postern/auth.h"
#include "postern/text.h"

namespace postern::simulation {

namespace {

/// The runtime without the Internet's worker.
class Machine final : public Runtime {
 public:
  Machine(SimRuntime& sim, unsigned workers) : sim_(sim), workers_(workers) {}
  unsigned workers() const override { return workers_; }
  Executor& worker(unsigned index) override { return sim_.worker(index); }
  Result<std::unique_ptr<BoundEndpoint>> bind(const Endpoint& endpoint, unsigned mode) override {
    return sim_.bind(endpoint, mode);
  }
  std::unique_ptr<Lane> make_lane(std::string name) override { return sim_.make_lane(std::move(name)); }
  void run() override { sim_.run(); }
  void stop() override { sim_.stop(); }

 private:
  SimRuntime& sim_;
  unsigned workers_;
};

class People final : public Directory {
 public:
  DomainKind domain_kind(std::string_view domain) const override {
    return domain == kLocalDomain ? DomainKind::kLocal : DomainKind::kForeign;
  }
  std::string default_domain() const override { return std::string(kLocalDomain); }
  DirectoryFacts facts() const override { return {}; }
  Task<AddressLookup> find(Address asked) override {
    AddressLookup out;
    if (asked.domain().ascii() == kLocalDomain) out.kind = AddressLookup::Kind::kAccount;
    if (asked.local() == kPostmaster)
      out.account = kPostmaster;
    else if (asked.local().starts_with("nobody"))
      out.kind = AddressLookup::Kind::kNoSuchUser;
    else
      out.account = kSenders;
    return Task<AddressLookup>::ready(std::move(out));
  }
};

class Telling final : public queue::Teller {
 public:
  Telling(World& world, std::uint64_t seed, queue::ReporterParts parts)
      : world_(world), random_(seed), reporter_(std::move(parts)) {}
  Task<Result<std::size_t>> report(MessageId id, const Envelope& envelope, std::vector<queue::Outcome> outcomes,
                                   Log log) override {
    if (random_.chance(world_.no_reports)) co_return fault("spool.full", "no room for a report");
    co_return co_await reporter_.report(id, envelope, std::move(outcomes), std::move(log));
  }
  bool wanted(const Envelope& envelope, const queue::Outcome& outcome) const override {
    return reporter_.wanted(envelope, outcome);
  }
  std::optional<queue::Outcome> half_told(std::uint32_t recipient, const RecipientInfo& info) const override {
    return queue::Reporter::from_note(recipient, info);
  }

 private:
  World& world_;
  Prng random_;
  queue::Reporter reporter_;
};

class Plaintext final : public relay::TlsPolicies {
 public:
  Task<relay::TlsDecision> decide(relay::TlsQuestion, Deadline) override {
    relay::TlsDecision decision;
    decision.level = relay::TlsLevel::kNone;
    decision.key = "none";
    return Task<relay::TlsDecision>::ready(std::move(decision));
  }
  void report(const relay::TlsOutcome&) override {}
};

class Couriers final : public Transport {
 public:
  std::vector<std::unique_ptr<relay::Courier>> all;
  Task<std::vector<AttemptResult>> attempt(AttemptRequest request) override {
    Executor& here = co_await this_executor();
    co_return co_await all.at(here.index())->attempt(std::move(request));
  }
};

std::unique_ptr<Spool> open(World& world, const ServerSettings& settings) {
  SpoolHost host{
      .env = world.env,
      .journal = world.sim.make_lane("journal"),
      .keeper = world.sim.make_lane("keeper"),
      .report = [log = Log(world.log)](const SpoolReport& what) { log.warn("spool.report", {{"what", what.detail}}); }};
  auto opened = open_spool(settings.spool, std::move(host));
  if (!opened) {
    world.ledger.fail("the spool cannot be opened: " + opened.error().detail);
    return nullptr;
  }
  for (const SpoolReport& report : opened->reports)
    if (report.kind == SpoolReport::Kind::kDamage || report.kind == SpoolReport::Kind::kMissingBody)
      world.ledger.fail("the spool reports " + report.detail);
  return std::move(opened->spool);
}

}  // namespace

class Server::Desk final : public Control {
 public:
  void add(std::string name, std::string, Handler handler) override { handlers[std::move(name)] = std::move(handler); }
  std::vector<CommandInfo> commands() const override { return {}; }
  std::map<std::string, Handler> handlers;
};

struct Server::Parts {
  Parts(World& world, const ServerSettings& settings, std::uint64_t seed)
      : machine(world.sim, settings.workers), metrics(settings.workers), relay_metrics(metrics), random(seed) {}
  Machine machine;
  Metrics metrics;
  relay::RelayMetrics relay_metrics;
  Prng random;
  std::unique_ptr<Spool> real;
  std::unique_ptr<Spool> spool;  ///< as the server sees it
  People people;
  Plaintext policies;
  relay::WarmUp warm_up{{}};
  std::vector<std::unique_ptr<FakeResolver>> resolvers;
  Couriers couriers;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<queue::Teller> told, teller;
  Desk desk;
  std::vector<std::unique_ptr<Nursery>> clients;  ///< by worker
};

Server::Server(World& world, const ServerSettings& settings, std::uint64_t seed)
    : world_(world), settings_(settings), parts_(std::make_unique<Parts>(world, settings, seed)) {
  parts_->real = open(world, settings);
  if (!parts_->real) return;
  parts_->spool = planted_spool(world.plant, *parts_->real, parts_->random.next());
  start_relay();
  start_queue();
}

Server::~Server() = default;

void Server::start_relay() {
  auto outbound = relay::Outbound::make(settings_.delivery, "mail.local.example", settings_.workers, {});
  if (!outbound) throw Error(outbound.error().detail);
  for (unsigned i = 0; i < settings_.workers; ++i) {
    Executor& executor = world_.sim.worker(i);
    parts_->clients.push_back(std::make_unique<Nursery>(executor));
    parts_->clients.back()->on_error = [](std::exception_ptr) {};
    parts_->resolvers.push_back(std::make_unique<FakeResolver>(executor));
    world_.internet.fill(*parts_->resolvers.back());
    parts_->couriers.all.push_back(
        std::make_unique<relay::Courier>(executor, Log(world_.log),
                                         relay::CourierParts{.outbound = *outbound,
                                                             .spool = *parts_->spool,
                                                             .dns = *parts_->resolvers.back(),
                                                             .policies = parts_->policies,
                                                             .metrics = parts_->relay_metrics,
                                                             .warm_up = parts_->warm_up}));
  }
  parts_->transport = planted_transport(world_.plant, parts_->couriers);
}

void Server::start_queue() {
  queue_ = std::make_unique<queue::QueueService>(parts_->machine, parts_->metrics);
  queue::ReportSettings reports;
  reports.postmaster = fmt::format("{}@{}", kPostmaster, kLocalDomain);
  reports.max_recipients = settings_.report_recipients;
  const std::uint64_t seed = parts_->random.next();
  parts_->told = std::make_unique<Telling>(world_, seed,
                                           queue::ReporterParts{.spool = *parts_->spool,
                                                                .policy = nullptr,
                                                                .queue = queue_.get(),
                                                                .directory = &parts_->people,
                                                                .hostname = "mail.local.example",
                                                                .settings = reports});
  parts_->teller = planted_teller(world_.plant, *parts_->told, parts_->random.next());
  queue_->make_shards(*parts_->spool, world_.mailboxes, parts_->transport.get(), &parts_->people, parts_->teller.get(),
                      settings_.queue);
  queue_->mark_own(world_.sim.worker(0));
  for (unsigned i = 0; i < settings_.workers; ++i) queue_->set_log(i, Log(world_.log));
  queue::add_commands(parts_->desk, *queue_);
  queue_->begin();
}

// --- clients --------------------------------------------------------------------------------------------------------

Envelope envelope_of(const Letter& letter) {
  Envelope out;
  if (!letter.sender.empty()) out.sender = *Address::parse(letter.sender);
  if (letter.eight_bit) out.body = BodyType::k8BitMime;
  for (const LetterRecipient& one : letter.recipients)
    out.recipients.push_back({.address = *Address::parse(one.address), .orcpt = {}, .notify = one.notify});
  return out;
}

Plan plan_of(const Letter& letter) {
  Plan plan;
  std::map<std::string, std::size_t> steps;
  for (std::uint32_t at = 0; at < letter.recipients.size(); ++at) {
    const LetterRecipient& one = letter.recipients[at];
    const std::string key = fmt::format("{}{}", static_cast<int>(one.fate), one.account);
    const auto [found, fresh] = steps.try_emplace(key, plan.steps.size());
    if (fresh) {
      PlanStep& step = plan.steps.emplace_back();
      step.kind = one.fate == Fate::kRemote    ? PlanStep::Kind::kRelay
                  : one.fate == Fate::kMailbox ? PlanStep::Kind::kDeliver
                  : one.fate == Fate::kDiscard ? PlanStep::Kind::kDiscard
                                               : PlanStep::Kind::kBounce;
      step.account = one.account;
    }
    plan.steps[found->second].recipients.push_back(at);
  }
  return plan;
}

Task<void> Server::take_in(Letter* letter, unsigned worker) {
  Executor& executor = world_.sim.worker(worker);
  Draft draft = parts_->spool->begin(executor);
  letter->id = draft.id();
  world_.ledger.known_as(*letter, letter->id);
  for (std::string_view rest = letter->text; !rest.empty();) {
    const std::string_view piece = rest.substr(0, 1 + parts_->random.below(4000));
    rest.remove_prefix(piece.size());
    if (auto ok = co_await draft.append(piece); !ok) co_return;
  }
  draft.prepend(fmt::format("Received: by mail.local.example id {}\r\n", letter->id.to_string()));
  QueuedMessage message{.id = letter->id, .envelope = envelope_of(*letter), .plan = plan_of(*letter)};
  AcceptMeta meta;
  message.envelope.encode(meta.envelope);
  message.plan.encode(meta.plan);
  meta.recipients = static_cast<std::uint32_t>(letter->recipients.size());
  message.size = draft.size();
  const auto id = co_await draft.commit(std::move(meta));
  if (!id || world_.dead) co_return;
  letter->state = Letter::State::kAccepted;
  message.accepted = executor.wall();
  queue_->accepted(std::move(message));
}

void Server::submit(Letter& letter) {
  const auto worker = static_cast<unsigned>(parts_->random.below(settings_.workers));
  parts_->clients[worker]->spawn(take_in(&letter, worker));
}

// --- the administrator ----------------------------------------------------------------------------------------------

Task<void> Server::carry_out(std::string name, MessageId id) {
  ControlRequest request{.command = name, .args = {}};
  if (id)
    request.args["id"] = id.to_string();
  else
    request.args = {{"all", "yes"}, {"confirm", "yes"}};
  Letter* letter = world_.ledger.find(id);
  const bool recall = name == "queue.recall" && letter != nullptr;
  // Also when it is too late: what is under way then is not tried a second time.
  if (recall) letter->maybe_recalled = true;
  queue::Rows rows;
  const auto answer = co_await parts_->desk.handlers.at(name)(std::move(request), rows);
  if (!recall || world_.dead) co_return;
  if (answer && !rows.all.empty() && rows.all[0].find("\"too_late\":0") != std::string::npos)
    letter->recalled = world_.sim.now();
}

void Server::command(std::string name, MessageId id) {
  parts_->clients[0]->spawn(carry_out(std::move(name), id));
}

std::vector<MessageInfo> Server::list() {
  std::vector<MessageInfo> out;
  bool answered = false;
  parts_->spool->list(world_.sim.worker(0), MessageId(), 100'000).then([&](auto page) {
    answered = true;
    if (page) out = std::move(*page);
  });
  world_.sim.run_until([&] { return answered; }, 1min);
  return out;
}

// --- the end --------------------------------------------------------------------------------------------------------

Task<void> Server::drain_queue(unsigned worker, Deadline deadline) {
  return queue_->drain(worker, deadline);
}
Task<void> Server::drain_courier(unsigned worker, Deadline deadline) {
  return parts_->couriers.all[worker]->drain(deadline);
}

void Server::drain(Deadline deadline) {
  for (const auto& nursery : parts_->clients) nursery->cancel();
  const auto idle = [](const auto& nurseries) {
    return std::ranges::all_of(nurseries, [](const auto& one) { return one->size() == 0; });
  };
  const auto run = [&](Task<void> (Server::*what)(unsigned, Deadline)) {
    std::vector<std::unique_ptr<Nursery>> nurseries;
    for (unsigned i = 0; i < settings_.workers; ++i) {
      nurseries.push_back(std::make_unique<Nursery>(world_.sim.worker(i)));
      nurseries.back()->spawn((this->*what)(i, deadline));
    }
    if (!world_.sim.run_until([&] { return idle(nurseries); }, 2h)) throw Error("the server does not end");
  };
  run(&Server::drain_queue);
  run(&Server::drain_courier);
  if (!world_.sim.run_until([&] { return idle(parts_->clients); }, 2h)) throw Error("a client does not end");
}

/// Which messages are under way, as the memory says that processes share (a crash leaves it as it is).
std::vector<std::uint64_t> Server::handled() {
  auto memory = world_.env.map(settings_.spool.dir + "/handling", spool::kMaxWorkers * spool::kHandlingSlots);
  const auto words = (*memory)->words();
  return {words.begin(), words.end()};
}
void Server::restore_handled(const std::vector<std::uint64_t>& words) {
  auto memory = world_.env.map(settings_.spool.dir + "/handling", spool::kMaxWorkers * spool::kHandlingSlots);
  std::ranges::copy(words, (*memory)->words().begin());
}

void Server::end(End how, std::uint64_t seed, Duration linger) {
  std::vector<std::uint64_t> words;
  if (how != End::kStop && queue_) {
    // What is on its way already arrives, although the disk keeps nothing any more.
    world_.env.stop_after(0);
    words = handled();
    world_.sim.run_for(linger);
    world_.dead = true;
    world_.internet.cut(true);
  }
  if (queue_) drain(how == End::kStop ? Deadline::after(10s) : Deadline::after(0s));
  world_.sim.run_for(50ms);  // what was posted to workers comes to nothing, but it comes
  world_.internet.cut(true);
  world_.dead = true;
  queue_.reset();
  parts_.reset();
  world_.sim.run_until_idle();
  if (how == End::kPowerLoss) world_.env.power_loss(seed);
  if (how != End::kPowerLoss) world_.env.process_crash();
  if (how == End::kCrash && !words.empty()) restore_handled(words);
  world_.internet.cut(false);
  world_.dead = false;
}

}  // namespace postern::simulation

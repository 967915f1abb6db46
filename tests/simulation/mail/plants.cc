#include "plants.h"

#include <array>

namespace postern::simulation {

namespace {

constexpr std::array kPlants = {
    PlantInfo{Plant::kLostIsDelivered, "lost-is-delivered", "a reply that did not come counts as a delivery"},
    PlantInfo{Plant::kLostIsForgotten, "lost-is-forgotten", "that a reply did not come is not remembered"},
    PlantInfo{Plant::kDotIsDone, "dot-is-done", "the mark before the final dot ends the recipient"},
    PlantInfo{Plant::kSuccessForgotten, "success-forgotten", "who was served is done before its sender is told"},
    PlantInfo{Plant::kFailureForgotten, "failure-forgotten", "who failed is done before its sender is told"},
    PlantInfo{Plant::kNoDotMark, "no-dot-mark", "nothing is noted before the final dot"},
    PlantInfo{Plant::kDoneIsDropped, "done-is-dropped", "now and then a recipient's end is not written"},
    PlantInfo{Plant::kPlacedIsDropped, "placed-is-dropped", "now and then a delivery's token is not written"},
    PlantInfo{Plant::kReportForgotten, "report-forgotten", "now and then nobody is told of a failure"},
    PlantInfo{Plant::kIntentForgotten, "intent-forgotten", "after a crash what was half told is tried again"},
    PlantInfo{Plant::kNotifyIgnored, "notify-ignored", "reports go out whatever NOTIFY says"},
    PlantInfo{Plant::kRefusedIsDeferred, "classes-swapped", "a refusal is deferred, a delivery counts as a refusal"},
    PlantInfo{Plant::kDiskLies, "disk-lies", "syncs do nothing"},
};

constexpr double kNowAndThen = 0.1;

class PlantedTransport final : public Transport {
 public:
  PlantedTransport(Plant plant, Transport& real) : plant_(plant), real_(real) {}
  Task<std::vector<AttemptResult>> attempt(AttemptRequest request) override {
    auto results = co_await real_.attempt(std::move(request));
    for (AttemptResult& one : results) {
      if (plant_ == Plant::kLostIsDelivered && one.reply_lost) one.kind = AttemptResult::Kind::kDelivered;
      if (plant_ == Plant::kLostIsForgotten) one.reply_lost = false;
      if (plant_ != Plant::kRefusedIsDeferred || !one.attempted || one.reply_lost) continue;
      if (one.kind == AttemptResult::Kind::kRefused)
        one.kind = AttemptResult::Kind::kDeferred;
      else if (one.kind == AttemptResult::Kind::kDelivered)
        one.kind = AttemptResult::Kind::kRefused;
    }
    co_return results;
  }
  std::string next_hop(const Envelope& envelope, const PlanStep& step, std::uint32_t recipient) const override {
    return real_.next_hop(envelope, step, recipient);
  }

 private:
  Plant plant_;
  Transport& real_;
};

class Yes final : public SpoolOp<void> {
 public:
  bool ready() override {
    result = Result<void>();
    return true;
  }
  void start() override {}
  void run() override {}
};

class PlantedSpool final : public Spool {
 public:
  PlantedSpool(Plant plant, Spool& real, std::uint64_t seed) : plant_(plant), real_(real), random_(seed) {}
  Draft begin(Executor& home, std::uint64_t hint) override { return real_.begin(home, hint); }
  SpoolWait<MessageReader> open(Executor& home, MessageId id) override { return real_.open(home, id); }
  SpoolWait<void> change(Executor& home, Change change) override {
    if (drops(change)) return SpoolWait<void>(new Yes);
    return real_.change(home, std::move(change));
  }
  void change_lazily(Executor& home, Change change) override {
    if (!drops(change)) real_.change_lazily(home, std::move(change));
  }
  SpoolWait<std::vector<MessageInfo>> list(Executor& home, MessageId after, std::size_t limit) override {
    return real_.list(home, after, limit);
  }
  SpoolWait<SpoolStats> stats(Executor& home) override { return real_.stats(home); }
  Handling handling(Executor& home, MessageId id, bool alone) override { return real_.handling(home, id, alone); }

 private:
  bool drops(Change& change) {
    if (plant_ == Plant::kDotIsDone && change.mark == Mark::kDotSent) change.mark = Mark::kDone;
    const bool owed = change.mark == Mark::kPlaced && change.text.starts_with("owed:");
    if (plant_ == Plant::kSuccessForgotten && owed && !change.text.starts_with("owed:f")) change.mark = Mark::kDone;
    if (plant_ == Plant::kFailureForgotten && owed && change.text.starts_with("owed:f")) change.mark = Mark::kDone;
    if (plant_ == Plant::kNoDotMark) return change.mark == Mark::kDotSent;
    if (plant_ == Plant::kDoneIsDropped) return change.mark == Mark::kDone && random_.chance(kNowAndThen);
    if (plant_ == Plant::kPlacedIsDropped)
      return change.mark == Mark::kPlaced && !owed && random_.chance(kNowAndThen * 5);
    return false;
  }
  Plant plant_;
  Spool& real_;
  Prng random_;
};

class PlantedTeller final : public queue::Teller {
 public:
  PlantedTeller(Plant plant, queue::Teller& real, std::uint64_t seed) : plant_(plant), real_(real), random_(seed) {}
  Task<Result<std::size_t>> report(MessageId id, const Envelope& envelope, std::vector<queue::Outcome> outcomes,
                                   Log log) override {
    if (plant_ == Plant::kReportForgotten && random_.chance(kNowAndThen)) co_return 1;
    if (plant_ != Plant::kNotifyIgnored) co_return co_await real_.report(id, envelope, std::move(outcomes), log);
    auto deaf = std::make_unique<Envelope>(envelope);
    for (Recipient& one : deaf->recipients) one.notify = kNotifyUnset;
    co_return co_await real_.report(id, *deaf, std::move(outcomes), log);
  }
  bool wanted(const Envelope& envelope, const queue::Outcome& outcome) const override {
    return real_.wanted(envelope, outcome);
  }
  std::optional<queue::Outcome> half_told(std::uint32_t recipient, const RecipientInfo& info) const override {
    if (plant_ == Plant::kIntentForgotten) return std::nullopt;
    return real_.half_told(recipient, info);
  }

 private:
  Plant plant_;
  queue::Teller& real_;
  Prng random_;
};

}  // namespace

std::span<const PlantInfo> plants() {
  return kPlants;
}

std::optional<Plant> plant_named(std::string_view name) {
  for (const PlantInfo& one : kPlants)
    if (one.name == name) return one.plant;
  return std::nullopt;
}

std::unique_ptr<Transport> planted_transport(Plant plant, Transport& real) {
  return std::make_unique<PlantedTransport>(plant, real);
}
std::unique_ptr<Spool> planted_spool(Plant plant, Spool& real, std::uint64_t seed) {
  return std::make_unique<PlantedSpool>(plant, real, seed);
}
std::unique_ptr<queue::Teller> planted_teller(Plant plant, queue::Teller& real, std::uint64_t seed) {
  return std::make_unique<PlantedTeller>(plant, real, seed);
}

}  // namespace postern::simulation

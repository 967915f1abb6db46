// The trails and the archive of the running server: made, kept within their limits, and changed on request
// (trail.stats, trail.erase, trail.reindex; core/cli/trail_command.cc asks).
#include <nlohmann/json.hpp>

#include "core/control/json_text.h"
#include "core/loader/server.h"
#include "core/pipeline/trail_person.h"
#include "postern/sync.h"

namespace postern {

using nlohmann::ordered_json;

namespace {

constexpr Duration kTidyEvery = 10min;  // looks for what is too old, since no new mail may come that would do it
constexpr int kFlushTries = 50;         // for a worker's records to get to the lane before an erasure
constexpr Duration kFlushPause = 100ms;

/// Counts while it lives.
class Counted {
 public:
  explicit Counted(unsigned& count) : count_(count) { ++count_; }
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  unsigned& count_;
};

}  // namespace

void Server::make_trails() {
  const Config& config = *assembly_->config;
  const auto& state = config.get<ServerSettings>().state;
  TrailLog::Options options{.indexed = true, .report = [this](std::string_view event, const std::string& detail) {
                              log_.at(event == "trail.index_rebuilt" ? LogLevel::kInfo : LogLevel::kWarn, event,
                                      {{"detail", detail}});
                            }};
  trails_ = std::make_unique<TrailLog>(config.get<TrailSettings>(), state / "trail", env_, runtime_->make_lane("trail"),
                                       runtime_->workers(), *metrics_, std::move(options));
  archive_ = std::make_unique<Archive>(config.get<ArchiveSettings>(), state / "archive", env_,
                                       runtime_->make_lane("archive"), *metrics_);
}

Task<void> Server::tidy_trails() {
  Executor& executor = co_await this_executor();
  for (;;) {
    if (trails_) trails_->tidy(executor.wall());
    if (archive_) archive_->tidy(executor.wall());
    co_await sleep_for(kTidyEvery);
  }
}

void Server::add_trail_commands() {
  control_->add("trail.stats", "What trails were written and dropped",
                [this](ControlRequest r, ControlRows& rows) { return trail_stats(std::move(r), rows); });
  control_->add("trail.erase", "Take a person out of trails and archive",
                [this](ControlRequest r, ControlRows& rows) { return trail_erase(std::move(r), rows); });
  control_->add("trail.reindex", "Make the index of trails anew",
                [this](ControlRequest r, ControlRows& rows) { return trail_reindex(std::move(r), rows); });
}

Task<Result<void>> Server::trail_stats(ControlRequest, ControlRows& rows) {
  co_await rows.row(json_text(ordered_json{{"written", trails_->written()},
                                           {"dropped", trails_->dropped()},
                                           {"dropped_of_source", trails_->dropped_of_source()},
                                           {"archived", archive_->kept()},
                                           {"archive_dropped", archive_->dropped()}}));
  co_return Result<void>();
}

/// Any worker, from worker 0.
Task<bool> Server::flush_trails(Executor& worker) {
  Executor& here = co_await this_executor();
  TrailLog* trails = trails_.get();
  if (&worker == &here) co_return trails->flush(worker);
  co_return co_await run_on(worker, [trails, &worker] { return trails->flush(worker); });
}

Task<Result<void>> Server::trail_erase(ControlRequest request, ControlRows& rows) {
  const std::string address = request.arg("address");
  if (address.find('@') == std::string::npos) co_return fault("trail.address", "whom? a mail address");
  const bool pretend = request.arg("confirm") != "yes";
  // What workers have gathered goes to the lane first, and is then among what is looked at.
  for (unsigned i = 0; i < runtime_->workers(); ++i)
    for (int tries = 0; !co_await flush_trails(runtime_->worker(i)); ++tries) {
      if (tries == kFlushTries) co_return fault("trail.busy", "the disk is behind with trails: try again later");
      co_await sleep_for(kFlushPause);
    }
  const Counted counted(lane_work_);
  const TrailErased trails = co_await trails_->erase(Person(address), pretend);
  const ArchiveErased archive = co_await archive_->erase(Person(address), pretend);
  if (!pretend)
    log_.info("trail.erased", {{"removed", trails.removed},
                               {"redacted", trails.redacted},
                               {"archived", archive.messages},
                               {"failed", trails.failed + archive.failed}});
  co_await rows.row(json_text(ordered_json{{"removed", trails.removed},
                                           {"redacted", trails.redacted},
                                           {"lost_octets", trails.lost},
                                           {"files", trails.files},
                                           {"failed", trails.failed},
                                           {"archived", archive.messages},
                                           {"archive_failed", archive.failed}}));
  co_return Result<void>();
}

Task<Result<void>> Server::trail_reindex(ControlRequest, ControlRows& rows) {
  const Counted counted(lane_work_);
  const std::size_t files = co_await trails_->reindex();
  co_await rows.row(json_text(ordered_json{{"files", files}}));
  co_return Result<void>();
}

}  // namespace postern

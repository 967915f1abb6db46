// What the server itself answers on the control socket; modules add their own.
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/control/json_text.h"
#include "core/loader/server.h"

namespace postern {

using nlohmann::ordered_json;

void Server::add_commands() {
  control_->add("status", "How the server does",
                [this](ControlRequest r, ControlRows& rows) { return status(std::move(r), rows); });
  control_->add("spool.stats", "What the spool holds",
                [this](ControlRequest r, ControlRows& rows) { return spool_stats(std::move(r), rows); });
  control_->add("metrics", "Metrics as Prometheus text",
                [this](ControlRequest r, ControlRows& rows) { return metrics_text(std::move(r), rows); });
  control_->add("reload", "Read everything again",
                [this](ControlRequest r, ControlRows& rows) { return reload_command(std::move(r), rows); });
  add_trail_commands();
}

Task<Result<void>> Server::status(ControlRequest, ControlRows& rows) {
  static constexpr const char* kLevels[] = {"normal", "slow", "refuse"};
  Executor& executor = co_await this_executor();
  auto stats = co_await spool_->stats(executor);
  if (!stats) co_return std::unexpected(stats.error());
  const auto uptime = std::chrono::duration_cast<std::chrono::seconds>(executor.now() - started_at_).count();
  ordered_json row{{"state", stopping_ ? "draining" : "running"},
                   {"pid", ::getpid()},
                   {"uptime", static_cast<std::uint64_t>(uptime)},
                   {"workers", runtime_->workers()},
                   {"hostname", core_->hostname},
                   {"queued", stats->messages},
                   {"recipients", stats->recipients},
                   {"accepting", stats->latched.empty() ? "yes" : "no: " + stats->latched},
                   {"overload", kLevels[static_cast<int>(overload_->level())]},
                   {"memory", overload_->memory()},
                   {"descriptors", overload_->descriptors()},
                   {"config", config_file_.string()}};
  co_await rows.row(json_text(row));
  co_return Result<void>();
}

Task<Result<void>> Server::spool_stats(ControlRequest, ControlRows& rows) {
  Executor& executor = co_await this_executor();
  auto stats = co_await spool_->stats(executor);
  if (!stats) co_return std::unexpected(stats.error());
  ordered_json row{{"messages", stats->messages},
                   {"recipients", stats->recipients},
                   {"message_bytes", stats->message_bytes},
                   {"segments", stats->segments},
                   {"spare_segments", stats->spare_segments},
                   {"body_files", stats->body_files},
                   {"blank_body_files", stats->blank_body_files},
                   {"hot_body_bytes", stats->hot_body_bytes},
                   {"disk_bytes", stats->disk_bytes},
                   {"commits", stats->commits},
                   {"marks", stats->marks},
                   {"batches", stats->batches},
                   {"moved", stats->moved},
                   {"full_refusals", stats->full_refusals},
                   {"latched", stats->latched}};
  co_await rows.row(json_text(row));
  co_return Result<void>();
}

Task<Result<void>> Server::metrics_text(ControlRequest, ControlRows& rows) {
  co_await rows.row(json_text(ordered_json{{"text", metrics_->render()}}));
  co_return Result<void>();
}

Task<Result<void>> Server::reload_command(ControlRequest, ControlRows& rows) {
  auto done = co_await reload();
  if (done) co_await rows.row(json_text(ordered_json{{"text", ""}}));
  co_return done;
}

}  // namespace postern

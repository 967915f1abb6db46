#include "core/offline/machine.h"

#include <chrono>
#include <optional>

#include "postern/nursery.h"

namespace postern {
namespace {

constexpr Duration kLongestMail = std::chrono::hours(1);  // of virtual time

}  // namespace

OfflineMachine::OfflineMachine(Options options)
    : sim_({.start = options.start}),
      dns_(sim_.worker(0)),
      spool_(make_memory_spool()),
      policy_(PipelinePolicy::Options{.workers = 1, .metrics = metrics_}) {
  policy_.attach(options.directory, nullptr, options.return_paths);
  policy_.attach_spool(*spool_, options.hostname);
  policy_.start(sim_.worker(0), dns_, std::move(options.log));
}

OfflineMachine::~OfflineMachine() = default;

void OfflineMachine::advance_to(WallTime when) {
  if (const auto ahead = when - sim_.worker(0).wall(); ahead.count() > 0) sim_.run_for(ahead);
}

Result<SpecResult> OfflineMachine::run(const OfflineMail& mail, RecordedAnswers& answers) {
  policy_.answer_from(sim_.worker(0), &answers);
  std::optional<Result<SpecResult>> out;
  Nursery nursery(sim_.worker(0));
  nursery.spawn(detail::store(run_offline({policy_, *spool_}, &mail), &out));
  const auto ended = [&] { return nursery.size() == 0; };
  if (!sim_.run_until(ended, kLongestMail)) {
    nursery.cancel();
    sim_.run_until(ended, kLongestMail);
  }
  policy_.answer_from(sim_.worker(0), nullptr);
  if (!out) return fault("offline.stuck", "the mail did not come to an end in an hour");
  return std::move(*out);
}

}  // namespace postern

#include "core/offline/machine.h"

#include <chrono>
#include <optional>

#include "core/pipeline/root_run.h"
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

template <class T>
Result<T> OfflineMachine::finish(Task<Result<T>> task, RecordedAnswers& answers) {
  policy_.answer_from(sim_.worker(0), &answers);
  std::optional<Result<T>> out;
  Nursery nursery(sim_.worker(0));
  nursery.spawn(detail::store(std::move(task), &out));
  const auto ended = [&] { return nursery.size() == 0; };
  if (!sim_.run_until(ended, kLongestMail)) {
    nursery.cancel();
    sim_.run_until(ended, kLongestMail);
  }
  policy_.answer_from(sim_.worker(0), nullptr);
  if (!out) return fault("offline.stuck", "the mail did not come to an end in an hour");
  return std::move(*out);
}

Result<SpecResult> OfflineMachine::run(const OfflineMail& mail, RecordedAnswers& answers) {
  return finish(run_offline({policy_, *spool_}, &mail), answers);
}

Result<Verdict> OfflineMachine::run(QueueEvent& event, RecordedAnswers& answers, Trail& trail) {
  struct Asking {
    static Task<Result<Verdict>> ask(Policy* policy, QueueEvent* asked) {
      std::string threw;
      try {
        co_return co_await policy->queue_event(*asked);
      } catch (...) {
        threw = fault_of_current_exception().detail;
      }
      co_return fault("offline.threw", std::move(threw));
    }
  };
  policy_.watch_events(sim_.worker(0), &trail);
  auto verdict = finish(Asking::ask(&policy_, &event), answers);
  policy_.watch_events(sim_.worker(0), nullptr);
  return verdict;
}

}  // namespace postern

// The hooks of the queue: queued, route, attempt, delivered, deferred, bounced (postern/queue_event.h), and what the
// trails keep of mail under way: each end and each delay of a recipient, and what hooks made of the rest.
#include <fmt/format.h>

#include <algorithm>

#include "core/pipeline/described.h"
#include "core/pipeline/policy.h"
#include "postern/mail_date.h"
#include "postern/queue_event.h"

namespace postern {
namespace {

/// By this name those who replay and tell stories know them (is_of_queue).
std::string session_of(const QueueEvent& event) {
  return fmt::format("queue-{}", event.id.to_string());
}

bool is_end(Stage stage) {
  return (PipelinePolicy::kQueueEnds >> static_cast<unsigned>(stage)) & 1;
}

/// Whether hooks did more than look.
bool says_something(const Trail& trail) {
  const auto entries = Trail::decode(trail.bytes());
  return !entries || std::ranges::any_of(*entries, [](const TrailEntry& entry) {
    return entry.kind == TrailEntry::Kind::kEffect || entry.kind == TrailEntry::Kind::kVerdict ||
           entry.kind == TrailEntry::Kind::kError || entry.name == "route";
  });
}

void note_event(Trail& trail, const QueueEvent& event) {
  if (!event.destination.empty()) trail.fact(event.stage, "destination", event.destination);
  if (!event.host.empty()) trail.fact(event.stage, "host", event.host);
  if (event.next != WallTime{}) trail.fact(event.stage, "next", format_rfc3339(event.next));
  if (is_end(event.stage)) trail.reply(event.stage, event.reply.code, said(event.reply));
}

}  // namespace

Task<Verdict> PipelinePolicy::queue_event(QueueEvent& event) {
  if ((hooked_.load(std::memory_order_relaxed) >> static_cast<unsigned>(event.stage)) & 1)
    return run_queue_hooks(event);
  struct Noting {
    static Task<Verdict> run(PipelinePolicy* policy, QueueEvent* event) {
      Executor& executor = co_await this_executor();
      PolicyWorker& worker = policy->here(executor);
      Trail trail;
      trail.start(executor.wall(), session_of(*event), worker.epoch->rules->hash);
      note_event(trail, *event);
      policy->keep_event(executor, *event, trail);
      co_return Verdict{};
    }
  };
  if (!is_end(event.stage)) return Task<Verdict>::ready({});
  return Noting::run(this, &event);
}

/// Nobody is connected: the session has no client. The mail is the envelope of the event, without its text.
Task<Verdict> PipelinePolicy::run_queue_hooks(QueueEvent& event) {
  Executor& executor = co_await this_executor();
  PolicyWorker& worker = here(executor);
  const auto epoch = worker.epoch;
  SessionState session(session_of(event));
  session.client.role = SessionRole::kLocal;
  session.made_here = true;
  session.executor = &executor;
  Transaction mail(session);
  mail.envelope = event.envelope;
  mail.lookups.resize(mail.envelope.recipients.size());
  mail.relay.resize(mail.envelope.recipients.size());
  mail.size = event.size;
  mail.started = executor.now();
  mail.trail.start(executor.wall(), session.id, epoch->rules->hash);
  note_event(mail.trail, event);
  const auto asked = event.options;
  Verdict verdict;
  if (epoch->hooked(event.stage))
    verdict = co_await run_hooks(worker, epoch, event.stage, session, &mail, nullptr, &event);
  for (const auto& [option, value] : event.options)
    if (const auto before = asked.find(option); before == asked.end() || before->second != value)
      mail.trail.fact(event.stage, "route", fmt::format("{} = {}", option, value));
  if (worker.event_trail) *worker.event_trail = mail.trail;
  if (is_end(event.stage) || says_something(mail.trail)) keep_event(executor, event, mail.trail);
  co_return verdict;
}

void PipelinePolicy::keep_event(Executor& executor, const QueueEvent& event, const Trail& trail) {
  if (!options_.trails || !options_.keep_accepted) return;
  TrailRecord record;
  record.when = executor.wall();
  record.accepted = true;
  record.message = event.id.to_string();
  record.session = session_of(event);
  name_envelope(record, event.envelope);
  record.outcome = to_string(event.stage);
  record.trail = trail.bytes();
  options_.trails->append(executor, record);
}

}  // namespace postern

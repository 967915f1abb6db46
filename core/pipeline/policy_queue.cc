// The hooks of the queue: queued, route, attempt, delivered, deferred, bounced (postern/queue_event.h).
#include <fmt/format.h>

#include "core/pipeline/policy.h"
#include "postern/queue_event.h"

namespace postern {

Task<Verdict> PipelinePolicy::queue_event(QueueEvent& event) {
  if (!has_hooks(event.stage)) return Task<Verdict>::ready({});
  return run_queue_hooks(event);
}

/// Nobody is connected: the session has no client. The mail is the envelope of the event, without its text.
Task<Verdict> PipelinePolicy::run_queue_hooks(QueueEvent& event) {
  Executor& executor = co_await this_executor();
  PolicyWorker& worker = here(executor);
  const auto epoch = worker.epoch;
  if (!epoch->hooked(event.stage)) co_return Verdict{};
  SessionState session(fmt::format("queue-{}", event.id.to_string()));
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
  mail.trail.fact(event.stage, "message", event.id.to_string());
  if (!event.destination.empty()) mail.trail.fact(event.stage, "destination", event.destination);
  if (event.reply.code != 0) mail.trail.reply(event.stage, event.reply.code, said(event.reply));
  const auto asked = event.options;
  Verdict verdict = co_await run_hooks(worker, epoch, event.stage, session, &mail, nullptr, &event);
  for (const auto& [option, value] : event.options)
    if (const auto before = asked.find(option); before == asked.end() || before->second != value)
      mail.trail.fact(event.stage, "route", fmt::format("{} = {}", option, value));
  if (options_.trails && options_.keep_accepted) {
    TrailRecord record;
    record.when = executor.wall();
    record.accepted = true;
    record.message = event.id.to_string();
    record.session = session.id;
    record.sender = mail.envelope.sender.to_string();
    for (const Recipient& recipient : mail.envelope.recipients) {
      if (record.recipients.size() >= TrailLog::kMaxRecipients) break;
      record.recipients.push_back(recipient.address.to_string());
    }
    record.outcome = to_string(event.stage);
    record.trail = mail.trail.bytes();
    options_.trails->append(executor, record);
  }
  co_return verdict;
}

}  // namespace postern

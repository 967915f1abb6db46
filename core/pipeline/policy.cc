#include "core/pipeline/policy.h"

#include <fmt/format.h>

#include <array>
#include <mutex>

#include "core/pipeline/described.h"
#include "core/pipeline/root_run.h"

namespace postern {
namespace {

/// What a hook decided about the whole mail while the session still talks: carried out at the end of "root".
bool is_fate(const Verdict& verdict) {
  return verdict.kind == Verdict::Kind::kDiscard || verdict.kind == Verdict::Kind::kQuarantine ||
         verdict.kind == Verdict::Kind::kHold;
}

/// The name of a client that was asked for, as an answered question: a replay needs no DNS for it.
void note_reverse(Trail& trail, const SessionState& session, Stage stage) {
  const ClientInfo& client = session.client;
  std::string answer(to_string(session.reverse->status));
  if (!client.reverse_name.empty()) answer.append(1, ' ').append(client.reverse_name);
  trail.effect(stage, "dns.reverse", client.ip.to_string(), answer, trail_micros(session.reverse->took));
}

/// What else a rule may ask of the connection, for a replay. Roles other than mx; ports are the rare ones.
void note_connection(Trail& trail, const ClientInfo& client) {
  if (client.role != SessionRole::kMx) trail.fact(Stage::kConnect, "role", to_string(client.role));
  // XCLIENT may declare a login; a local user's is noted by who knows it.
  if (client.authenticated() && client.role != SessionRole::kLocal)
    trail.fact(Stage::kConnect, "user", client.auth_user);
  if (client.port == 0 && client.local_port == 0) return;
  std::array<char, 64> room;
  const auto end = fmt::format_to_n(room.data(), room.size(), "{} {} {}", client.port, client.local_port,
                                    client.local_ip.to_string());
  trail.fact(Stage::kConnect, "ports", {room.data(), static_cast<std::size_t>(end.out - room.data())});
}

/// TLS stands before each EHLO under it, since a handshake forgets what was said before (RFC 3207 §4.2).
void note_tls(Trail& trail, const ClientInfo& client) {
  if (!client.secure()) return;
  trail.fact(Stage::kEhlo, "tls", client.tls_version);
  if (!client.tls_cipher.empty()) trail.fact(Stage::kEhlo, "cipher", client.tls_cipher);
  if (!client.tls_sni.empty()) trail.fact(Stage::kEhlo, "sni", client.tls_sni);
  if (!client.tls_peer.empty()) trail.fact(Stage::kEhlo, "certificate", client.tls_peer);
}

}  // namespace

struct PipelinePolicy::GateList {
  std::mutex mutex;  // a reload's, once per worker; never taken on a mail's way
  std::vector<std::shared_ptr<const GateConfig>> all;
};

PipelinePolicy::PipelinePolicy(Options options)
    : options_(options),
      gates_(std::make_unique<GateList>()),
      accepted_(options.metrics.counter("postern_pipeline_accepted_total", "Messages committed.")),
      brought_(options.metrics.counter("postern_pipeline_brought_total",
                                       "Mails that rules brought in and that were committed, and other bodies.")),
      accepted_recipients_(
          options.metrics.counter("postern_pipeline_accepted_recipients_total", "Recipients of committed messages.")),
      refused_recipients_(
          options.metrics.counter("postern_pipeline_refused_recipients_total", "Recipients refused at RCPT.")),
      refused_messages_(options.metrics.counter("postern_pipeline_refused_messages_total",
                                                "Messages refused as a whole after DATA.")),
      commit_faults_(
          options.metrics.counter("postern_pipeline_commit_faults_total", "Messages that the spool did not take.")),
      root_seconds_(options.metrics.histogram("postern_pipeline_root_seconds",
                                              "Time of the message hook and root, with their waits.",
                                              HistogramScale::kSeconds)) {
  for (unsigned i = 0; i < options.workers; ++i) {
    workers_.push_back(std::make_unique<PolicyWorker>());
    workers_.back()->metrics = &options_.metrics;
    workers_.back()->services = options_.services;
    workers_.back()->precise_clock = options_.precise_clock;
  }
}

PipelinePolicy::~PipelinePolicy() = default;

void PipelinePolicy::attach(Directory& directory, Queue* queue, const ReturnPaths* return_paths) {
  directory_ = &directory;
  queue_ = queue;
  return_paths_ = return_paths;
  for (const auto& worker : workers_) worker->directory = &directory;
}

void PipelinePolicy::attach_spool(Spool& spool, std::string hostname) {
  spool_ = &spool;
  hostname_ = std::move(hostname);
  for (const auto& worker : workers_) worker->spool = &spool;
}

void PipelinePolicy::start(Executor& executor, Resolver& resolver, Log log, HttpClient* http) {
  PolicyWorker& worker = here(executor);
  worker.executor = &executor;
  worker.resolver = &resolver;
  worker.http = http;
  worker.log = std::move(log);
}

void PipelinePolicy::answer_from(Executor& executor, RecordedAnswers* recorded) {
  here(executor).recorded = recorded;
}

void PipelinePolicy::pretend(Executor& executor, Pretence* pretence) {
  here(executor).pretence = pretence;
}

void PipelinePolicy::watch_events(Executor& executor, Trail* trail) {
  here(executor).event_trail = trail;
}

void PipelinePolicy::install(Executor& executor, const PreparedRules& prepared) {
  here(executor).epoch = prepared.workers.at(executor.index());
  {
    const std::lock_guard lock(gates_->mutex);
    if (gates_->all.empty() || gates_->all.back() != prepared.gate) gates_->all.push_back(prepared.gate);
  }
  gate_.store(prepared.gate.get(), std::memory_order_release);
  // While workers change over one after the other, a stage counts as hooked if it is in either epoch.
  hooked_.fetch_or(here(executor).epoch->hooked_stages, std::memory_order_relaxed);
}

bool PipelinePolicy::trusts_proxy(const IpAddress& peer) const {
  const GateConfig* gate = gate_.load(std::memory_order_acquire);
  if (!gate) return false;
  for (const NamedNetwork& one : gate->proxies)
    if (one.network.contains(peer)) return true;
  return false;
}

void PipelinePolicy::begin_trail(SessionState& session) {
  Executor& executor = *session.executor;
  session.trail.start(executor.wall(), session.id, here(executor).epoch->rules->hash);
  session.trail.fact(Stage::kConnect, "client", session.client.ip.to_string());
  if (session.proxy) session.trail.fact(Stage::kConnect, "proxy", session.proxy->to_string());
  if (!session.client.listener.empty()) session.trail.fact(Stage::kConnect, "listener", session.client.listener);
  note_connection(session.trail, session.client);
  if (session.reverse)
    note_reverse(session.trail, session, Stage::kConnect);
  else if (!session.client.reverse_name.empty())
    session.trail.fact(Stage::kConnect, session.client.reverse_verified ? "name" : "claimed name",
                       session.client.reverse_name);
}

Task<Verdict> PipelinePolicy::connect(SessionState& session) {
  Executor& executor = co_await this_executor();
  PolicyWorker& worker = here(executor);
  session.executor = &executor;
  const auto epoch = worker.epoch;
  begin_trail(session);
  if (!epoch->hooked(Stage::kConnect)) co_return Verdict{};
  co_return co_await run_hooks(worker, epoch, Stage::kConnect, session, nullptr, nullptr);
}

Task<Verdict> PipelinePolicy::ehlo(SessionState& session) {
  note_tls(session.trail, session.client);
  session.trail.fact(Stage::kEhlo, session.client.esmtp ? "ehlo" : "helo", session.client.ehlo);
  return session_stage(session, Stage::kEhlo);
}

Task<Verdict> PipelinePolicy::starttls(SessionState& session) {
  session.trail.fact(Stage::kStarttls, "tls", session.client.tls_version);
  return session_stage(session, Stage::kStarttls);
}

Task<Verdict> PipelinePolicy::auth(SessionState& session) {
  session.trail.fact(Stage::kAuth, "user", session.client.auth_user);
  if (!session.client.auth_mechanism.empty())
    session.trail.fact(Stage::kAuth, "mechanism", session.client.auth_mechanism);
  return session_stage(session, Stage::kAuth);
}

Task<Verdict> PipelinePolicy::session_stage(SessionState& session, Stage stage) {
  if (!has_hooks(stage)) return Task<Verdict>::ready({});
  struct Stages {
    static Task<Verdict> run(PipelinePolicy* policy, SessionState* state, Stage at) {
      Executor& executor = co_await this_executor();
      PolicyWorker& worker = policy->here(executor);
      co_return co_await policy->run_hooks(worker, worker.epoch, at, *state, nullptr, nullptr);
    }
  };
  return Stages::run(this, &session, stage);
}

Task<Verdict> PipelinePolicy::mail(Transaction& transaction) {
  Executor& executor = co_await this_executor();
  PolicyWorker& worker = here(executor);
  const auto epoch = worker.epoch;
  SessionState& session = transaction.session;
  session.executor = &executor;
  session.told = true;  // the mail's trail tells of it, whatever it comes to
  session.relay_network =
      classify(*epoch->gate, {session.client.ip, session.client.role, session.client.authenticated(), session.proxy}) ==
      ClientClass::kNetwork;
  transaction.started = executor.now();
  transaction.trail = session.trail;
  transaction.trail.start(executor.wall(), session.id, epoch->rules->hash);
  transaction.trail.fact(Stage::kMail, "sender", transaction.envelope.sender.path());
  note_mail(transaction);
  // RFC 6409 §4.3: a submission port serves those who have logged in.
  if (wants_login(session.client.role) && !session.client.authenticated()) {
    transaction.trail.gate(Stage::kMail, transaction.envelope.sender.path(), to_string(session.client.role),
                           "530 log in first");
    co_return refusal(GateAnswer::kNeedAuth);
  }
  if (!epoch->hooked(Stage::kMail)) co_return Verdict{};
  Verdict verdict = co_await run_hooks(worker, epoch, Stage::kMail, session, &transaction, nullptr);
  if (!is_fate(verdict)) co_return verdict;
  transaction.fate = std::move(verdict);
  co_return Verdict{};
}

Task<Verdict> PipelinePolicy::data(Transaction& transaction) {
  if (!has_hooks(Stage::kData)) return Task<Verdict>::ready({});
  struct Data {
    static Task<Verdict> run(PipelinePolicy* policy, Transaction* mail) {
      Executor& executor = co_await this_executor();
      PolicyWorker& worker = policy->here(executor);
      Verdict verdict = co_await policy->run_hooks(worker, worker.epoch, Stage::kData, mail->session, mail, nullptr);
      if (!is_fate(verdict)) co_return verdict;
      mail->fate = std::move(verdict);
      co_return Verdict{};
    }
  };
  return Data::run(this, &transaction);
}

Task<Verdict> PipelinePolicy::run_hooks(PolicyWorker& worker, std::shared_ptr<const RuleEpoch> epoch, Stage stage,
                                        SessionState& session, Transaction* transaction, const Recipient* recipient,
                                        QueueEvent* event, std::optional<Instant> until) {
  Trail& trail = transaction ? transaction->trail : session.trail;
  LiveEffects effects(worker, *epoch, trail, session.id, stage,
                      until.value_or(worker.executor->now() + epoch->time_limit));
  for (const CompiledHook& one : epoch->hooks) {
    const Hook& hook = *one.hook;
    if (hook.stage != stage || (hook.role && *hook.role != session.client.role)) continue;
    const Instant before = worker.tick();
    Result<Verdict> said(std::unexpect);
    try {
      said = co_await hook.handler->handle({stage, session, transaction, recipient, effects, event});
    } catch (...) {
      said = std::unexpected(fault_of_current_exception());
    }
    trail.rule(stage, hook.name, one.place, {}, {}, trail_micros(worker.tick() - before));
    if (!said) {
      hook_failed(worker, one, stage, session, trail, said.error());
      said = failure_verdict(hook.on_error, hook.name, stage);
    }
    if (!said->decided() || stage == Stage::kDisconnect) continue;  // nobody is left to hear a verdict
    said->rule = hook.name;
    trail.verdict(stage, hook.name, trail_text(*said));
    if (said->kind == Verdict::Kind::kAccept) break;
    if (said->refuses()) one.refusals->add(worker.executor->index());
    co_return std::move(*said);
  }
  co_return Verdict{};
}

void PipelinePolicy::hook_failed(PolicyWorker& worker, const CompiledHook& hook, Stage stage, SessionState& session,
                                 Trail& trail, const Fault& fault) {
  trail.error(stage, hook.hook->name, fmt::format("{} at {}: {}", fault.code, hook.place, fault.detail));
  worker.log.error("hook.failed", {{"session", session.id},
                                   {"stage", to_string(stage)},
                                   {"hook", hook.hook->name},
                                   {"place", hook.place},
                                   {"code", fault.code},
                                   {"why", fault.detail}});
  worker.metrics
      ->counter("postern_pipeline_rule_failures_total", "Rules and hooks that failed.", {{"rule", hook.hook->name}})
      .add(worker.executor->index());
}

void PipelinePolicy::reverse_answered(SessionState& session, Transaction* transaction) {
  if (!session.reverse) return;
  note_reverse(session.trail, session, Stage::kConnect);
  if (transaction) note_reverse(transaction->trail, session, Stage::kConnect);
}

Task<void> PipelinePolicy::disconnect(SessionState& session) {
  if (!has_hooks(Stage::kDisconnect)) return Task<void>::ready();
  struct Disconnect {
    static Task<void> run(PipelinePolicy* policy, SessionState* state) {
      Executor& executor = co_await this_executor();
      PolicyWorker& worker = policy->here(executor);
      if (worker.epoch->hooked(Stage::kDisconnect))
        static_cast<void>(
            co_await policy->run_hooks(worker, worker.epoch, Stage::kDisconnect, *state, nullptr, nullptr));
      if (!state->told && policy->options_.keep_silent) policy->refused(*state, nullptr, "left before MAIL");
    }
  };
  return Disconnect::run(this, &session);
}

void PipelinePolicy::refused(SessionState& session, Transaction* transaction, std::string_view why) {
  session.told = true;
  if (!options_.trails || !session.executor) return;
  Trail& trail = transaction ? transaction->trail : session.trail;
  if (trail.empty()) begin_trail(session);  // it was refused before anybody was asked
  TrailRecord record;
  record.when = session.executor->wall();
  record.session = session.id;
  record.client = session.client.ip.to_string();
  record.outcome = why;
  if (transaction) {
    name_envelope(record, transaction->envelope);
  }
  record.trail = trail.bytes();
  options_.trails->append(*session.executor, record);
}

}  // namespace postern

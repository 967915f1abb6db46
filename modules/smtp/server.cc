#include "server.h"

#include <fmt/format.h>

#include <algorithm>

#include "postern/random.h"
#include "replies.h"
#include "session.h"

namespace postern::smtp {

namespace {
Counter* by_digit(Metrics& metrics, const char* digit) {
  return &metrics.counter("postern_smtp_replies_total", "Replies, by their first digit.", {{"class", digit}});
}
}  // namespace

SmtpMetrics::SmtpMetrics(Metrics& m)
    : connections(m.counter("postern_smtp_connections_total", "Connections that were accepted.")),
      refused_connections(m.counter("postern_smtp_connections_refused_total", "Connections turned away by a limit.")),
      sessions(m.gauge("postern_smtp_sessions", "Sessions now.")),
      commands(m.counter("postern_smtp_commands_total", "Commands that were read.")),
      accepted(m.counter("postern_smtp_accepted_total", "Messages answered with 250.")),
      accepted_bytes(m.counter("postern_smtp_accepted_bytes_total", "Octets of these messages.")),
      replies{nullptr, nullptr, by_digit(m, "2"), by_digit(m, "3"), by_digit(m, "4"), by_digit(m, "5")},
      refused_temporary(m.counter("postern_smtp_messages_refused_total", "Messages refused after their text.",
                                  {{"kind", "temporary"}})),
      refused_permanent(m.counter("postern_smtp_messages_refused_total", "Messages refused after their text.",
                                  {{"kind", "permanent"}})),
      tls_sessions(m.counter("postern_smtp_tls_sessions_total", "Sessions that agreed on TLS.")),
      tls_failures(m.counter("postern_smtp_tls_failures_total", "TLS handshakes that failed.")),
      auth_ok(m.counter("postern_smtp_auth_total", "Logins, by result.", {{"result", "ok"}})),
      auth_failed(m.counter("postern_smtp_auth_total", "Logins, by result.", {{"result", "failed"}})),
      latency(m.histogram("postern_smtp_message_seconds", "From MAIL to the answer after the text.",
                          HistogramScale::kSeconds)) {}

Duration Listening::greet_pause() const {
  if (listener->greet_pause) return *listener->greet_pause;
  return listener->role == SessionRole::kMx ? settings->greet_pause : Duration::zero();
}

Server::Server(Executor& executor, Log log, ServerParts its_parts)
    : parts(its_parts),
      executor_(executor),
      log_(std::move(log)),
      session_prefix_(random_u64() & 0xFFFFF),
      nursery_(executor),
      lookups_(executor) {
  nursery_.on_error = lookups_.on_error = [this](std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& bug) {
      log_.error("smtp.internal", {{"what", bug.what()}});
    }
  };
}

Server::~Server() = default;

void Server::configure(std::shared_ptr<const Config> config, const std::string& hostname) {
  const Settings& settings = config->get<Settings>();
  std::vector<std::shared_ptr<const Listening>> fresh;
  for (const ListenerSettings& listener : settings.listeners) {
    auto listening = std::make_shared<Listening>();
    listening->config = config;
    listening->settings = &settings;
    listening->listener = &listener;
    listening->hostname = hostname;
    if (parts.tls && listener.tls_mode() != TlsMode::kNone) listening->tls = parts.tls->server(listener.certificate);
    fresh.push_back(std::move(listening));
  }
  // A listener that vanished from the file still has its socket until the restart: it keeps what it had.
  for (auto& old : listening_) {
    const auto same =
        std::ranges::find_if(fresh, [&](const auto& one) { return one->listener->name == old->listener->name; });
    if (same != fresh.end()) old = *same;
  }
  if (listening_.empty()) listening_ = std::move(fresh);
}

void Server::listen(const std::string& name, BoundEndpoint& bound) {
  for (std::size_t at = 0; at < listening_.size(); ++at)
    if (listening_[at]->listener->name == name)
      listeners_.push_back(std::make_unique<Listener>(
          executor_, bound, [this, at](std::unique_ptr<Socket> socket) { connected(at, std::move(socket)); }));
}

std::uint32_t Server::session_limit(const Settings& settings) const {
  return std::max(1U, settings.max_connections / parts.workers);
}

void Server::connected(std::size_t listener, std::unique_ptr<Socket> socket) {
  const auto& on = listening_[listener];
  parts.metrics.connections.add(executor_.index());
  if (draining_ || nursery_.size() >= session_limit(*on->settings)) return turn_away(*on, std::move(socket));
  nursery_.spawn(Session::run(std::make_unique<Session>(*this, on, std::move(socket), nursery_.token())));
}

namespace {

constexpr Duration kTurnAwayTime = 1s;
constexpr std::size_t kMaxTurnedAway = 1000;  // at a time; beyond, a connection is closed without a word

Task<void> say_and_close(Executor* executor, std::unique_ptr<Socket> socket, std::string_view words) {
  try {
    Stream stream(*executor, std::move(socket));
    co_await stream.write(words, Deadline::after(kTurnAwayTime));
    stream.close();
  } catch (const Error&) {
    // It was on its way out in any case.
  }
}

}  // namespace

void Server::turn_away(const Listening& on, std::unique_ptr<Socket> socket) {
  parts.metrics.refused_connections.add(executor_.index());
  if (on.listener->tls_mode() == TlsMode::kImplicit) return;  // no handshake only to say no
  if (nursery_.size() >= session_limit(*on.settings) + kMaxTurnedAway) return;
  nursery_.spawn(say_and_close(&executor_, std::move(socket), draining_ ? replies::kDraining : replies::kServerBusy));
}

void Server::joined(Session& session) {
  session.next_ = first_;
  if (first_) first_->prev_ = &session;
  first_ = &session;
  parts.metrics.sessions.add(executor_.index());
}

void Server::left(Session& session) {
  (session.prev_ ? session.prev_->next_ : first_) = session.next_;
  if (session.next_) session.next_->prev_ = session.prev_;
  parts.metrics.sessions.sub(executor_.index());
}

/// Short enough to need no memory of its own: start of the process, worker, number.
std::string Server::next_session_id() {
  return fmt::format("{:x}-{:x}-{:x}", session_prefix_, executor_.index(), ++session_count_ & 0xFFFFFF);
}

namespace {

/// At a time; beyond, a client has no name. Few sessions end before their answer is here, so this is never met but by
/// a flood of connections.
constexpr std::size_t kMaxLookups = 10'000;

Task<void> look_up(Resolver* resolver, Executor* executor, std::shared_ptr<ReverseLookup> lookup, IpAddress ip) {
  lookup->found = co_await resolver->reverse_name(ip, Deadline::at(lookup->until));
  lookup->took = executor->now() - lookup->asked;
  lookup->answered.set();
}

}  // namespace

std::shared_ptr<ReverseLookup> Server::ask_name(const IpAddress& ip, Duration patience) {
  if (!parts.dns) return nullptr;
  auto lookup = std::make_shared<ReverseLookup>();
  lookup->asked = executor_.now();
  lookup->until = lookup->asked + patience;
  if (lookups_.size() < kMaxLookups)
    lookups_.spawn(look_up(&parts.dns->of(executor_), &executor_, lookup, ip));
  else
    lookup->answered.set();
  return lookup;
}

Task<void> Server::drain(Deadline deadline) {
  draining_ = true;
  listeners_.clear();
  for (Session* session = first_; session; session = session->next_) session->drain();
  if (!co_await nursery_.join_until(deadline)) {
    nursery_.cancel();
    co_await nursery_.join();
  }
  lookups_.cancel();  // the answers are for nobody
  co_await lookups_.join();
}

}  // namespace postern::smtp

// The SMTP server on one worker: its listeners, its sessions, and what they share.
//
// Owner:  the module, one per worker; made in start(), gone after stop().
// Thread: that worker.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "connection_limiter.h"
#include "postern/auth.h"
#include "postern/dns.h"
#include "postern/log.h"
#include "postern/metrics.h"
#include "postern/nursery.h"
#include "postern/overload.h"
#include "postern/pipeline.h"
#include "postern/spool.h"
#include "postern/stream.h"
#include "postern/tls.h"
#include "reverse_lookup.h"
#include "settings.h"

namespace postern::smtp {

class Session;

/// What is counted, declared once for all workers.
struct SmtpMetrics {
  explicit SmtpMetrics(Metrics& metrics);
  Counter& connections;
  Counter& refused_connections;
  Gauge& sessions;
  Counter& commands;
  Counter& accepted;
  Counter& accepted_bytes;
  Counter* replies[6];         ///< by first digit; 0 and 1 are null
  Counter& refused_temporary;  ///< messages
  Counter& refused_permanent;
  Counter& tls_sessions;
  Counter& tls_failures;
  Counter& auth_ok;
  Counter& auth_failed;
  Histogram& latency;  ///< from MAIL to the answer after the text
};

/// One listener as a session sees it; a reload makes new ones, and sessions keep the one they began with.
struct Listening {
  std::shared_ptr<const Config> config;  ///< keeps the settings alive
  const Settings* settings = nullptr;
  const ListenerSettings* listener = nullptr;
  std::shared_ptr<TlsContext> tls;  ///< null: no certificate
  std::string hostname;

  std::uint64_t max_message_size() const {
    return listener->max_message_size.value_or(settings->max_message_size).bytes;
  }
  Duration greet_pause() const;
};

/// What the module hands to each worker's server; all of it outlives the servers.
struct ServerParts {
  Policy& policy;
  Spool& spool;
  Authenticator* auth = nullptr;  ///< null: no module provides it
  TlsService* tls = nullptr;
  Resolvers* dns = nullptr;      ///< null: no names are asked for
  Overload* overload = nullptr;  ///< null: nobody measures
  Queue* queue = nullptr;        ///< null: nothing waits that could be asked for (ETRN)
  ConnectionLimiter& limiter;
  SmtpMetrics& metrics;
  unsigned workers = 1;
};

class Server {
 public:
  Server(Executor& executor, Log log, ServerParts parts);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Takes the settings of `config`; sessions that run keep theirs. Listeners are matched by name.
  void configure(std::shared_ptr<const Config> config, const std::string& hostname);
  /// Accepts on an address for the listener of that name.
  void listen(const std::string& name, BoundEndpoint& bound);
  /// Ends idle sessions with 421, lets transactions finish until the deadline, then ends them too.
  Task<void> drain(Deadline deadline);

  bool draining() const { return draining_; }
  std::size_t sessions() const { return nursery_.size(); }

  // For sessions.
  void joined(Session& session);
  void left(Session& session);
  std::string next_session_id();
  /// Asks for the name of an address; null when nobody can be asked.
  std::shared_ptr<ReverseLookup> ask_name(const IpAddress& ip, Duration patience);
  Executor& executor() { return executor_; }
  const Log& log() const { return log_; }
  unsigned worker() const { return executor_.index(); }

  const ServerParts parts;

 private:
  void connected(std::size_t listener, std::unique_ptr<Socket> socket);
  void turn_away(const Listening& on, std::unique_ptr<Socket> socket);
  std::uint32_t session_limit(const Settings& settings) const;

  Executor& executor_;
  Log log_;
  Session* first_ = nullptr;  // of all that run
  std::vector<std::shared_ptr<const Listening>> listening_;
  bool draining_ = false;
  std::uint64_t session_prefix_;
  std::uint32_t session_count_ = 0;
  Nursery nursery_;
  Nursery lookups_;  // of names; apart, since nursery_'s size is the number of sessions
  std::vector<std::unique_ptr<Listener>> listeners_;  // end first
};

}  // namespace postern::smtp

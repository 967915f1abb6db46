// The settings of an administrator: [queue], [queue.routes], [submission] and [srs].
//
// Owner: the Config of an epoch. Thread: any, immutable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "postern/config.h"

namespace postern::queue {

/// [queue.routes."example.org"]: what is different for one destination. What is not given is as in [queue].
struct RouteSettings : Located {
  std::optional<std::string> retry;
  std::optional<Duration> give_up_after;
  std::optional<Duration> warn_after;
  std::optional<std::uint32_t> concurrency;
  std::optional<std::string> release;
};
void describe(Schema<RouteSettings>& s);

struct QueueSettings : Located {
  std::string retry = "1m, 5m*2, 15m, 1h*3, 4h";
  Duration give_up_after = 24h * 5;
  Duration warn_after = 4h;
  std::uint32_t jitter = 10;
  std::uint32_t local_concurrency = 512;
  std::uint32_t remote_concurrency = 5000;
  std::uint32_t destination_concurrency = 100;
  std::uint32_t hook_concurrency = 256;
  std::uint32_t hot_messages = 8192;
  bool delivered_to = true;
  std::map<std::string, RouteSettings> routes;
};
void describe(Schema<QueueSettings>& s);

struct SubmissionSettings : Located {
  Duration hold{};
  std::map<std::string, Duration> hold_of;
};
void describe(Schema<SubmissionSettings>& s);

/// Whose mail is taken back by a rewritten sender.
enum class SrsSenders : std::uint8_t {
  kNull,     ///< the null sender alone, as RFC 5321 has it for reports
  kReports,  ///< also MAILER-DAEMON and postmaster: servers that report under a name
  kAny,
};

struct SrsSettings : Located {
  std::string domain;  ///< empty: off
  std::filesystem::path secret_file;
  Duration max_age = 24h * 21;
  SrsSenders accept = SrsSenders::kNull;
  bool enabled() const { return !domain.empty(); }
};
void describe(Schema<SrsSettings>& s);

}  // namespace postern::queue

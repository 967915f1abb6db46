// The settings of the pipeline: [pipeline], [relay] (the gate), [trail] and [archive]. The manual is generated from
// these.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/pipeline/gate.h"
#include "postern/config.h"
#include "postern/return_path.h"

namespace postern {

struct PipelineSettings : Located {
  std::vector<std::filesystem::path> scripts;
  Duration time_limit = 30s;
  std::string postmaster;
  bool specs = true;
  Duration specs_time_limit = 1min;
  std::string kv = "memory";
};
void describe(Schema<PipelineSettings>& schema);

struct NamedNetworkSettings : Located {
  IpNetwork network;
  std::string reason;
};
void describe(Schema<NamedNetworkSettings>& schema);

struct RelaySettings : Located {
  bool authenticated = true;
  bool forward_aliases = false;
  std::vector<NamedNetworkSettings> networks;
  std::vector<NamedNetworkSettings> proxies;
};
void describe(Schema<RelaySettings>& schema);

struct TrailSettings : Located {
  bool accepted = true;
  bool silent = false;
  Size keep_bytes = 256_MiB;
  Duration keep_for = 24h * 14;
  Size segment = 8_MiB;
  Size rate = 1_MiB;
  Size source_rate = 128_KiB;
  Size source_day = 32_MiB;
  unsigned sources = 4096;
  std::vector<IpNetwork> trusted_sources;
};
void describe(Schema<TrailSettings>& schema);

enum class ArchiveKeep : std::uint8_t { kNone, kSample, kAll };
struct ArchiveSettings : Located {
  ArchiveKeep keep = ArchiveKeep::kNone;
  double sample = 0.01;
  Duration keep_for = 24h * 7;
  Size keep_bytes = 1_GiB;
  Size largest = 1_MiB;
  std::vector<std::string> except;
};
void describe(Schema<ArchiveSettings>& schema);

/// Declares all of the above.
void describe_pipeline(ConfigSchemas& schemas);

/// `return_paths`: the service, if there is one.
GateConfig make_gate(const RelaySettings& settings, const ReturnPaths* return_paths = nullptr);

}  // namespace postern

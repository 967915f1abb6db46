// The settings of the pipeline: [pipeline], [relay] (the gate) and [trail]. The manual is generated from these.
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
  Size keep_bytes = 256_MiB;
  Duration keep_for = 24h * 14;
  Size segment = 8_MiB;
  Size rate = 1_MiB;
};
void describe(Schema<TrailSettings>& schema);

/// Declares all of the above.
void describe_pipeline(ConfigSchemas& schemas);

/// `return_paths`: the service, if there is one.
GateConfig make_gate(const RelaySettings& settings, const ReturnPaths* return_paths = nullptr);

}  // namespace postern

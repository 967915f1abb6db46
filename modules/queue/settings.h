// The settings of an administrator: [queue].
//
// Owner: the Config of an epoch. Thread: any, immutable.
#pragma once

#include <cstdint>
#include <vector>

#include "postern/config.h"

namespace postern::queue {

struct QueueSettings : Located {
  std::vector<Duration> retry = {1min, 5min, 15min, 1h, 4h};
  Duration give_up_after = 24h * 5;
  std::uint32_t local_concurrency = 512;
  std::uint32_t remote_concurrency = 200;
  std::uint32_t hot_messages = 8192;
  bool delivered_to = true;
};
void describe(Schema<QueueSettings>& s);

}  // namespace postern::queue

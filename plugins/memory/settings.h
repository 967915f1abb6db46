// The settings of an administrator: [memory].
//
// Owner: the Config of an epoch. Thread: any, immutable.
#pragma once

#include "postern/config.h"

namespace postern::memory {

struct MemorySettings : Located {
  std::uint64_t keys = 1'000'000;
  Size size = 64_MiB;
};
void describe(Schema<MemorySettings>& s);

}  // namespace postern::memory

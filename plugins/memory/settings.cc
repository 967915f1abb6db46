#include "settings.h"

#include "shard.h"

namespace postern::memory {

void describe(Schema<MemorySettings>& s) {
  s.table("memory",
          "The store \"memory\", in which rules keep values between mails (postern.kv); empty after a restart.");
  s.applies(Apply::kRestart);
  s.field("keys", &MemorySettings::keys,
          "Keys that are kept. When there is no room for another one, the longest unused go.")
      .range(1'000, 100'000'000);
  s.field("size", &MemorySettings::size, "Memory that keys and values may take.").range(1_MiB, 64_GiB);
}

}  // namespace postern::memory

// Any octets as a segment of the spool: the start must neither crash nor read beyond them, and the spool must work
// afterwards. The first octet chooses whether the input is the only segment or is followed by a good one.
#include <cstdint>
#include <string>

#include "core/spool/testing.h"

using namespace postern;
using namespace postern::spool;

namespace {

const SpoolSettings kSettings{.dir = "/spool",
                              .segment_size = 16 * 1024,
                              .large_body_threshold = 4 * 1024,
                              .max_blank_body_bytes = 64 * 1024,
                              .header_limit = 2048,
                              .min_free = 0};

void recover_and_use(FaultEnv& env) {
  ManualWorld world;
  auto opened = open_spool(kSettings, world.host(env));
  if (!opened) {
    if (opened.error().code != "spool.version") __builtin_trap();  // damage is never fatal
    return;
  }
  Spool& spool = *opened->spool;
  auto listed = world.wait(spool.list(world, MessageId(), 1000));
  for (const MessageInfo& info : *listed) static_cast<void>(get(world, spool, info.id));
  auto id = put(world, spool, "Subject: x\r\n\r\nafter\r\n");
  if (!id || *get(world, spool, *id) != "Subject: x\r\n\r\nafter\r\n") __builtin_trap();
  world.run_until_idle();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  FaultEnv env;
  env.set_content("/spool/segments/00000002.seg", std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  if (data[0] & 1) {
    ManualWorld world;
    if (auto good = open_spool(kSettings, world.host(env))) static_cast<void>(put(world, *good->spool, "a\r\n"));
  }
  recover_and_use(env);
  recover_and_use(env);
  return 0;
}

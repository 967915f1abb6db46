// [lua]: how much one call of a script may use, and where `require` looks.
//
// Owner: the Config of an epoch. Thread: any, immutable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "postern/config.h"

namespace postern::lua {

struct LuaSettings : Located {
  std::int64_t instructions = 1'000'000;
  Size memory = 32_MiB;
  Duration wall_clock = 30s;
  std::vector<std::filesystem::path> script_folders;
};
void describe(Schema<LuaSettings>& s);

}  // namespace postern::lua

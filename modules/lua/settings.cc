#include "settings.h"

namespace postern::lua {

void describe(Schema<LuaSettings>& s) {
  s.table("lua",
          "Limits of scripts. They count for each call of a hook, matcher or action on its own: what passes one "
          "fails that rule, and with it at most its own mail.");
  s.applies(Apply::kLive);
  s.field("instructions", &LuaSettings::instructions,
          "Instructions of the Lua machine in one call; steps of pattern matching, sorting and the like count as well.")
      .range(10'000, 1'000'000'000)
      .example("1000000");
  s.field("memory", &LuaSettings::memory, "All that one call may allocate, what it has dropped again included.")
      .range(256_KiB, 1_GiB)
      .example("32 MiB");
  s.field("wall_clock", &LuaSettings::wall_clock,
          "How long one call may take with its waits for the DNS. [pipeline] time_limit bounds all rules together.")
      .range(1s, 10min)
      .example("30s");
  s.field("script_folders", &LuaSettings::script_folders,
          "Folders below which `require` finds files, beside those in which the scripts of [pipeline] lie.")
      .items(0, 32)
      .example("/etc/postern/scripts");
}

}  // namespace postern::lua

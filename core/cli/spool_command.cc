// `postern spool`: what the spool holds, asked of the running server.
#include <fmt/format.h>

#include "core/cli/command.h"
#include "core/control/json_text.h"

namespace postern {

void add_spool(CLI::App& app, CommandContext& context) {
  auto* spool = add_command(app, "spool", "Look at the spool", "postern spool stats --json");
  spool->require_subcommand(1);
  add_command(*spool, "stats", "Messages, segments, syncs, and whether it accepts", "postern spool stats")
      ->callback([&context] {
        context.ask("spool.stats", {}, [&](const std::string& text) {
          if (context.json) {
            fmt::print("{}\n", text);
            return;
          }
          const auto row = nlohmann::ordered_json::parse(text);
          for (const auto& [key, value] : row.items())
            fmt::print("{:<18} {}\n", key,
                       value.is_string()        ? value.get<std::string>()
                       : key.ends_with("bytes") ? human_size(value.get<std::uint64_t>())
                                                : json_text(value));
        });
      });
}

}  // namespace postern

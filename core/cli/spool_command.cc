// `postern spool`: what the spool holds, asked of the running server.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/cli/command.h"

namespace postern {

void add_spool(CLI::App& app, CommandContext& context) {
  auto* spool = app.add_subcommand("spool", "Look at the spool.\n\nExample:\n  postern spool stats --json");
  spool->require_subcommand(1);
  spool->add_subcommand("stats", "Messages, segments, syncs, and whether it accepts")->callback([&context] {
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
                                            : value.dump());
    });
  });
}

}  // namespace postern

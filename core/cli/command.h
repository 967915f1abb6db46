// What every command of `postern` shares: where the configuration is, how to print, and what exit codes mean.
//
// Exit codes: 0 done; 1 it found something wrong, or could not do it; 2 it was called wrongly; 3 no server answers.
// Colours only when standard output is a terminal and NO_COLOR is not set. With --json each line is one JSON object,
// errors included: {"error": ..., "code": ...} on standard error, with "errors" when a configuration is wrong.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "postern/diagnostics.h"
#include "postern/error.h"

namespace postern {

class Assembly;

inline constexpr int kExitOk = 0;
inline constexpr int kExitFound = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitNoServer = 3;

struct CommandContext {
  std::filesystem::path config = "/etc/postern/postern.toml";
  std::vector<std::filesystem::path> module_folders;  ///< beside the default ones
  std::string socket;                                 ///< control socket; empty: as the configuration says
  bool json = false;
  int exit_code = kExitOk;

  std::vector<std::filesystem::path> folders() const;
  /// Modules and schemas; prints the fault and sets exit_code when they cannot be had.
  std::unique_ptr<Assembly> assemble();
  /// The same with the configuration read; prints what is wrong with it.
  std::unique_ptr<Assembly> assemble_and_read();
  /// Asks the running server; prints a fault and sets exit_code. False when it failed.
  bool ask(const std::string& command, const std::map<std::string, std::string>& args,
           const std::function<void(const std::string& row)>& on_row);
  void fail(const Fault& fault, int code = kExitFound);
  /// Prints what is wrong with the configuration on standard error; with errors among it sets exit_code.
  void report(const Diagnostics& diagnostics);
};

/// ANSI colours, or nothing.
std::string_view bold();
std::string_view red();
std::string_view green();
std::string_view dim();
std::string_view plain();

/// Columns as wide as their widest cell; the last one runs free. Numbers (all digits and units) stand to the right.
std::string format_table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows);
/// "1.5 MiB"
std::string human_size(std::uint64_t bytes);
/// "3d 4h", "12m 5s"
std::string human_time(std::uint64_t seconds);

/// Declares a command: what it does, and an example that works, with which its help ends.
CLI::App* add_command(CLI::App& parent, const std::string& name, const std::string& purpose,
                      const std::string& example);
/// All commands. `context` must outlive them.
std::unique_ptr<CLI::App> make_app(CommandContext& context);

void add_run(CLI::App& app, CommandContext& context);
void add_check(CLI::App& app, CommandContext& context);
void add_show(CLI::App& app, CommandContext& context);
void add_list(CLI::App& app, CommandContext& context);
void add_server_commands(CLI::App& app, CommandContext& context);
void add_queue(CLI::App& app, CommandContext& context);
void add_suppress(CLI::App& app, CommandContext& context);
void add_spool(CLI::App& app, CommandContext& context);
void add_user(CLI::App& app, CommandContext& context);
void add_certificate(CLI::App& app, CommandContext& context);
void add_why(CLI::App& app, CommandContext& context);
void add_trail(CLI::App& app, CommandContext& context);
void add_test(CLI::App& app, CommandContext& context);
void add_replay(CLI::App& app, CommandContext& context);
void add_explain(CLI::App& app, CommandContext& context);
void add_lua(CLI::App& app, CommandContext& context);

}  // namespace postern

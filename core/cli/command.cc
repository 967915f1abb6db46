#include "core/cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "core/cli/diagnostics_json.h"
#include "core/control/client.h"
#include "core/control/json_text.h"
#include "core/loader/assembly.h"

namespace postern {

std::vector<std::filesystem::path> CommandContext::folders() const {
  auto all = default_module_folders();
  all.push_back(config.parent_path() / "plugins");  // where an administrator drops his own
  all.insert(all.end(), module_folders.begin(), module_folders.end());
  return all;
}

void CommandContext::fail(const Fault& fault, int code) {
  exit_code = code;
  if (json) {
    fmt::print(stderr, "{}\n", json_text(nlohmann::ordered_json{{"error", fault.detail}, {"code", fault.code}}));
  } else {
    fmt::print(stderr, "postern: {}\n", fault.detail.empty() ? fault.code : fault.detail);
  }
}

std::unique_ptr<Assembly> CommandContext::assemble() {
  auto assembly = Assembly::make(folders());
  if (!assembly) {
    fail(assembly.error());
    return nullptr;
  }
  return std::move(*assembly);
}

std::unique_ptr<Assembly> CommandContext::assemble_and_read() {
  auto assembly = assemble();
  if (!assembly) return nullptr;
  Diagnostics diagnostics;
  if (assembly->read(config, diagnostics)) return assembly;
  report(diagnostics);
  return nullptr;
}

void CommandContext::report(const Diagnostics& diagnostics) {
  const std::size_t errors = diagnostics.errors();
  if (errors != 0) exit_code = kExitFound;
  const std::string summary =
      errors == 0 ? "" : fmt::format("{}: {} error{}", config.string(), errors, errors == 1 ? "" : "s");
  if (!json) {
    fmt::print(stderr, "{}", diagnostics.render());
    if (errors != 0) fmt::print(stderr, "{}\n", summary);
    return;
  }
  if (diagnostics.items().empty()) return;
  nlohmann::ordered_json out;
  if (errors != 0) out = {{"error", summary}, {"code", "config.refused"}};
  out["config"] = config.string();
  out["errors"] = diagnostics_json(diagnostics, Diagnostic::Severity::kError);
  out["warnings"] = diagnostics_json(diagnostics, Diagnostic::Severity::kWarning);
  fmt::print(stderr, "{}\n", json_text(out));
}

bool CommandContext::ask(const std::string& command, const std::map<std::string, std::string>& args,
                         const std::function<void(const std::string&)>& on_row) {
  std::string path = socket;
  if (path.empty()) {
    auto assembly = assemble_and_read();
    if (!assembly) return false;
    path = control_socket(assembly->config->get<ServerSettings>());
  }
  auto done = ask_server(path, command, args, on_row);
  if (!done) fail(done.error(), done.error().code == "control.unreachable" ? kExitNoServer : kExitFound);
  return done.has_value();
}

namespace {

bool coloured() {
  static const bool on = ::isatty(STDOUT_FILENO) && !std::getenv("NO_COLOR");
  return on;
}

bool is_number(const std::string& text) {
  return !text.empty() && text[0] >= '0' && text[0] <= '9' && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || c == '.' || c == ' ' || c == 'B' || c == 'K' || c == 'M' || c == 'G' || c == 'i';
  });
}

}  // namespace

std::string_view bold() {
  return coloured() ? "\033[1m" : "";
}
std::string_view red() {
  return coloured() ? "\033[31m" : "";
}
std::string_view green() {
  return coloured() ? "\033[32m" : "";
}
std::string_view dim() {
  return coloured() ? "\033[2m" : "";
}
std::string_view plain() {
  return coloured() ? "\033[0m" : "";
}

std::string format_table(const std::vector<std::string>& head, const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> width(head.size());
  for (std::size_t i = 0; i < head.size(); ++i) {
    width[i] = head[i].size();
    for (const auto& row : rows) width[i] = std::max(width[i], row[i].size());
  }
  std::string out(bold());
  for (std::size_t i = 0; i < head.size(); ++i)
    out += i + 1 == head.size() ? head[i] : fmt::format("{:<{}}  ", head[i], width[i]);
  out += fmt::format("{}\n", plain());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < head.size(); ++i) {
      if (i + 1 == head.size())
        out += row[i];
      else if (is_number(row[i]))
        out += fmt::format("{:>{}}  ", row[i], width[i]);
      else
        out += fmt::format("{:<{}}  ", row[i], width[i]);
    }
    out += '\n';
  }
  return out;
}

std::string human_size(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes);
  for (const char* unit : {"KiB", "MiB", "GiB", "TiB"}) {
    value /= 1024;
    if (value < 1024) return fmt::format("{:.1f} {}", value, unit);
  }
  return fmt::format("{:.1f} PiB", value / 1024);
}

std::string human_time(std::uint64_t seconds) {
  if (seconds >= 86400) return fmt::format("{}d {}h", seconds / 86400, seconds % 86400 / 3600);
  if (seconds >= 3600) return fmt::format("{}h {}m", seconds / 3600, seconds % 3600 / 60);
  if (seconds >= 60) return fmt::format("{}m {}s", seconds / 60, seconds % 60);
  return fmt::format("{}s", seconds);
}

}  // namespace postern

#include "core/loader/module_set.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "core/loader/module_stamp.h"
#include "postern/fingerprint.h"

namespace postern {

Module::~Module() = default;
void Module::provide(Core&) {}
void Module::check(Core&, Diagnostics&) {}
Result<void> Module::prepare(Core&, Log&) {
  return {};
}
void Module::start(Worker&) {}
Task<void> Module::drain(Worker&, Deadline) {
  return Task<void>::ready();
}
void Module::stop() {}
Result<void> Module::prepare_reload(Core&, Log&) {
  return {};
}
void Module::apply_reload(Worker&) {}

bool is_core_service(std::string_view name) {
  static constexpr std::array<std::string_view, 7> kCore = {"spool", "policy",  "rules",   "dns",
                                                            "tls",   "control", "overload"};
  return std::ranges::find(kCore, name) != kCore.end();
}

std::vector<std::filesystem::path> default_module_folders() {
  std::vector<std::filesystem::path> folders;
  std::error_code ignored;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  if (!ignored) {
    const auto folder = program.parent_path().parent_path() / "lib" / "postern";
    folders.insert(folders.end(), {folder, folder / "modules", folder / "plugins"});
  }
  if (const char* more = std::getenv("POSTERN_MODULES")) {
    std::string_view rest = more;
    while (!rest.empty()) {
      const auto colon = rest.find(':');
      if (const auto one = rest.substr(0, colon); !one.empty()) folders.emplace_back(one);
      rest = colon == std::string_view::npos ? std::string_view{} : rest.substr(colon + 1);
    }
  }
  return folders;
}

namespace {

std::unexpected<Fault> other_build(const std::filesystem::path& file) {
  return fault(
      "module.fingerprint",
      fmt::format("{} was built for another build of Postern (its headers, compiler or flags differ); build it "
                  "again with this one",
                  file.string()));
}

}  // namespace

Result<LoadedModule> ModuleSet::open(const std::filesystem::path& file) {
  const auto stamp = read_module_stamp(file);
  if (!stamp) return std::unexpected(stamp.error());
  if (*stamp != POSTERN_FINGERPRINT) return other_build(file);
  void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return fault("module.open", fmt::format("{}: {}", file.string(), ::dlerror()));
  auto* entry = reinterpret_cast<const ModuleInfo* (*)()>(::dlsym(handle, "postern_module"));
  if (!entry)
    return fault("module.entry", fmt::format("{} is no Postern module: it has no postern_module()", file.string()));
  LoadedModule loaded{.info = entry(), .file = file, .module = nullptr};
  if (loaded.info->fingerprint != POSTERN_FINGERPRINT) return other_build(file);
  loaded.module = loaded.info->create();
  return loaded;
}

LoadedModule* ModuleSet::find(std::string_view name) {
  auto it = std::ranges::find_if(modules_, [&](const LoadedModule& m) { return m.info->name == name; });
  return it == modules_.end() ? nullptr : &*it;
}

Result<ModuleSet> ModuleSet::load(const std::vector<std::filesystem::path>& folders) {
  ModuleSet set;
  std::vector<std::filesystem::path> files;
  for (const auto& folder : folders) {
    std::error_code missing;
    for (const auto& entry : std::filesystem::directory_iterator(folder, missing))
      if (entry.path().extension() == ".so") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  for (const auto& file : files) {
    auto loaded = open(file);
    if (!loaded) return std::unexpected(loaded.error());
    if (auto* twin = set.find(loaded->info->name))
      return fault("module.twice", fmt::format("module \"{}\" is in {} and in {}; remove one", loaded->info->name,
                                               twin->file.string(), file.string()));
    set.modules_.push_back(std::move(*loaded));
  }
  if (auto ordered = set.order(); !ordered) return std::unexpected(ordered.error());
  return set;
}

namespace {

std::string known_providers(const std::vector<LoadedModule>& modules, std::string_view service) {
  std::string all;
  for (const auto& module : modules) all += fmt::format("{}{}", all.empty() ? "" : ", ", module.info->name);
  return fmt::format("nothing provides the service \"{}\" (modules found: {})", service, all.empty() ? "none" : all);
}

}  // namespace

Result<void> ModuleSet::order() {
  // Repeatedly takes the first module whose needs are met; names were sorted, so the order is the same everywhere.
  std::vector<LoadedModule> ordered;
  auto provided_by = [](const std::vector<LoadedModule>& in, std::string_view service) {
    return std::ranges::any_of(in, [&](const LoadedModule& m) {
      return std::ranges::find(m.info->provides, service) != m.info->provides.end();
    });
  };
  auto met = [&](const LoadedModule& module) {
    auto waits_for = [&](std::string_view service) {
      return !is_core_service(service) && !provided_by(ordered, service) && provided_by(modules_, service);
    };
    return std::ranges::none_of(module.info->needs, waits_for) && std::ranges::none_of(module.info->uses, waits_for);
  };
  for (const auto& module : modules_)
    for (const auto service : module.info->needs)
      if (!is_core_service(service) && !provided_by(modules_, service))
        return fault("module.needs", fmt::format("module \"{}\" cannot start: {}", module.info->name,
                                                 known_providers(modules_, service)));
  while (!modules_.empty()) {
    auto next = std::ranges::find_if(modules_, met);
    if (next == modules_.end())
      return fault("module.cycle",
                   fmt::format("modules need each other in a circle, among them \"{}\"", modules_.front().info->name));
    ordered.push_back(std::move(*next));
    modules_.erase(next);
  }
  modules_ = std::move(ordered);
  return {};
}

}  // namespace postern

// `require "postern.spec"`: scripts, case, before, equal; and the running of cases.
#include <fmt/format.h>

#include "bind.h"
#include "libraries.h"
#include "spec.h"

namespace postern::lua {
namespace {

const void* spec_key() {
  static constexpr char kTag = 0;
  return &kTag;
}

SpecFile& declaring(lua_State* L, const char* what) {
  SpecFile& file = SpecFile::of(L);
  if (!file.declaring) luaL_error(L, "%s: at the top of the file, not inside of a case", what);
  return file;
}

/// spec.scripts(file, ...): by paths relative to the spec's own folder.
int scripts(lua_State* L) {
  SpecFile& file = declaring(L, "spec.scripts");
  const int count = lua_gettop(L);
  luaL_argcheck(L, count >= 1, 1, "the name of a script");
  for (int i = 1; i <= count; ++i)
    file.scripts.push_back((file.path.parent_path() / std::string(check_text(L, i))).lexically_normal().string());
  return 0;
}

/// spec.case(name, function(t) ... end)
int add_case(lua_State* L) {
  SpecFile& file = declaring(L, "spec.case");
  const std::string name(check_text(L, 1));
  luaL_argcheck(L, !name.empty() && name.size() <= 500, 1, "a name of 1 to 500 octets");
  luaL_checktype(L, 2, LUA_TFUNCTION);
  if (file.cases.size() >= kMaxSpecCases) return luaL_error(L, "too many cases in one file");
  for (const SpecFile::Case& one : file.cases)
    if (one.name == name) return luaL_error(L, "there is a case \"%s\" already", name.c_str());
  lua_pushvalue(L, 2);
  file.cases.push_back({name, luaL_ref(L, LUA_REGISTRYINDEX)});
  return 0;
}

/// spec.before(function(t) ... end): what all cases have in common.
int add_before(lua_State* L) {
  SpecFile& file = declaring(L, "spec.before");
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_pushvalue(L, 1);
  file.before.push_back(luaL_ref(L, LUA_REGISTRYINDEX));
  return 0;
}

/// spec.equal(seen, expected [, what])
int equal(lua_State* L) {
  luaL_checkany(L, 2);
  if (lua_compare(L, 1, 2, LUA_OPEQ)) return 0;
  const std::string seen(push_text(L, 1));
  const std::string expected(push_text(L, 2));
  const std::string what = lua_isnoneornil(L, 3) ? "" : std::string(check_text(L, 3)) + ": ";
  return luaL_error(L, "%sexpected %s, saw %s", what.c_str(), expected.c_str(), seen.c_str());
}

int require_in_spec(lua_State* L) {
  if (lua_type(L, 1) != LUA_TSTRING || raw_text(L, 1) != "postern.spec") return require_script(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, box_key<SpecFile>());
  return 1;
}

/// The message of an error with the place where it was raised.
int with_place(lua_State* L) {
  const bool text = lua_type(L, 1) == LUA_TSTRING;
  if (!text) push_text(L, 1);
  const std::string message(raw_text(L, -1));
  if (text && message.find(':') != message.npos) return lua_settop(L, 1), 1;
  for (int level = 1; level < 20; ++level) {
    luaL_where(L, level);
    if (lua_rawlen(L, -1) != 0) {
      push(L, message);
      lua_concat(L, 2);
      return 1;
    }
    lua_pop(L, 1);
  }
  return push(L, message), 1;
}

std::string doom_of_case(Doom doom) {
  switch (doom) {
    case Doom::kInstructions:
      return fmt::format("the case ran for more than {} instructions", kLoadLimits.instructions);
    case Doom::kMemory:
      return fmt::format("the case used more than {} MiB", kLoadLimits.memory >> 20);
    default:
      return fmt::format("the case took more than {} s",
                         std::chrono::duration_cast<std::chrono::seconds>(kLoadLimits.wall_clock).count());
  }
}

/// A file loaded into a state of its own.
class LoadedSpec {
 public:
  LoadedSpec(const std::filesystem::path& path, const Limits& limits, const std::vector<std::filesystem::path>& folders)
      : state_(std::make_shared<ScriptState>(limits)),
        registry_(make_rule_registry()),
        loader_(*state_, *registry_, rules_, diagnostics_, folders) {
    file_.path = path;
    open_spec(state_->main(), file_);
    loader_.run(path);
    file_.declaring = false;
  }
  const SpecFile& file() const { return file_; }
  const Diagnostics& diagnostics() const { return diagnostics_; }

  /// Runs one case; what failed, or nothing.
  std::string run(std::size_t number, SpecWorld& world) {
    file_.world = &world;
    if (!file_.scripts.empty())
      if (const auto used = world.use_scripts(file_.scripts); !used) return used.error().detail;
    state_->begin_freeze();  // the budget of a load, anew
    for (const int before : file_.before)
      if (std::string failed = call(before); !failed.empty()) return failed;
    return call(file_.cases.at(number).function);
  }

 private:
  std::string call(int function) {
    lua_State* L = state_->main();
    lua_settop(L, 0);
    lua_pushcfunction(L, bound<with_place>);
    lua_rawgeti(L, LUA_REGISTRYINDEX, function);
    push_spec_world(L);
    if (lua_pcall(L, 1, 0, 1) == LUA_OK) return {};
    if (state_->load_doom() != Doom::kNone) return doom_of_case(state_->load_doom());
    return lua_type(L, -1) == LUA_TSTRING ? std::string(raw_text(L, -1)) : std::string("failed");
  }

  std::shared_ptr<ScriptState> state_;
  std::unique_ptr<RuleRegistry> registry_;
  RuleSet rules_;
  Diagnostics diagnostics_;
  SpecFile file_;
  Loader loader_;
};

}  // namespace

SpecFile& SpecFile::of(lua_State* L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, spec_key());
  auto* file = static_cast<SpecFile*>(lua_touserdata(L, -1));
  lua_pop(L, 1);
  return *file;
}

void open_spec(lua_State* L, SpecFile& file) {
  constexpr luaL_Reg kFunctions[] = {{"scripts", bound<scripts>},
                                     {"case", bound<add_case>},
                                     {"before", bound<add_before>},
                                     {"equal", bound<equal>},
                                     {nullptr, nullptr}};
  lua_pushlightuserdata(L, &file);
  lua_rawsetp(L, LUA_REGISTRYINDEX, spec_key());
  lua_newtable(L);
  luaL_setfuncs(L, kFunctions, 0);
  lua_rawsetp(L, LUA_REGISTRYINDEX, box_key<SpecFile>());
  lua_pushcfunction(L, bound<require_in_spec>);
  lua_setglobal(L, "require");
  open_spec_world(L);
  open_spec_result(L);
  open_spec_event(L);
}

bool run_spec_file(const std::filesystem::path& path, const Limits& limits,
                   const std::vector<std::filesystem::path>& folders,
                   const std::function<std::unique_ptr<SpecWorld>()>& make_world,
                   std::chrono::steady_clock::time_point until, SpecReport& report, Diagnostics& diagnostics) {
  std::vector<std::string> names;
  {
    const LoadedSpec first(path, limits, folders);
    for (const Diagnostic& one : first.diagnostics().items()) diagnostics.error(one.origin, one.text, one.hint);
    if (first.diagnostics().has_errors()) return false;
    for (const SpecFile::Case& one : first.file().cases) names.push_back(one.name);
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].find(report.only) == std::string::npos) continue;
    SpecReport::Case& done = report.cases.emplace_back();
    done.file = path.string();
    done.name = names[i];
    const auto before = std::chrono::steady_clock::now();
    if (before > until) {
      done.failure = "it was not run: the time for all specs is over";
    } else {
      const std::unique_ptr<SpecWorld> world = make_world();
      LoadedSpec loaded(path, limits, folders);
      done.failure = loaded.run(i, *world);
    }
    done.passed = done.failure.empty();
    done.micros = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - before).count());
    if (report.on_case) report.on_case(done);
  }
  return true;
}

}  // namespace postern::lua

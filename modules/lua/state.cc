#include "state.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <new>

#include "bind.h"
#include "libraries.h"
#include "loader.h"
#include "postern/config.h"

namespace postern::lua {

std::string doom_text(Doom doom, const Limits& limits) {
  switch (doom) {
    case Doom::kInstructions:
      return fmt::format("ran for more than {} instructions", limits.instructions);
    case Doom::kMemory:
      return fmt::format("allocated more than {}", to_text(Size{limits.memory}));
    case Doom::kTime:
      return fmt::format("took longer than {}", to_text(limits.wall_clock));
    case Doom::kNone:
      break;
  }
  return {};
}

std::string load_doom_text(Doom doom) {
  return doom_text(doom, kLoadLimits) + " while scripts were loaded";
}

std::string_view doom_code(Doom doom) {
  switch (doom) {
    case Doom::kInstructions:
      return "script.instructions";
    case Doom::kMemory:
      return "script.memory";
    case Doom::kTime:
      return "script.time";
    case Doom::kNone:
      break;
  }
  return "script.error";
}

void Errand::check_answered(lua_State* L) const {
  if (!answered) luaL_error(L, "this coroutine waits for an answer that has not come");
}

ScriptState::ScriptState(Limits limits) : limits_(limits) {
  main_ = lua_newstate(allocate, this);
  if (!main_) throw std::bad_alloc();
  lua_atpanic(main_, panic);
  *static_cast<ScriptState**>(lua_getextraspace(main_)) = this;
  open();
}

ScriptState::~ScriptState() {
  current_ = nullptr;
  lua_close(main_);
}

void ScriptState::open() {
  // Texts of limits are made now: there may be no memory for them when they are needed.
  for (const Doom doom : {Doom::kInstructions, Doom::kMemory, Doom::kTime}) {
    push(main_, doom_text(doom, limits_));
    doom_texts_[static_cast<int>(doom)] = luaL_ref(main_, LUA_REGISTRYINDEX);
    push(main_, load_doom_text(doom));
    load_doom_texts_[static_cast<int>(doom)] = luaL_ref(main_, LUA_REGISTRYINDEX);
  }
  open_libraries(main_);
}

void* ScriptState::allocate(void* self, void* block, std::size_t old_size, std::size_t new_size) noexcept {
  if (new_size == 0) {
    std::free(block);
    return nullptr;
  }
  Fiber* fiber = static_cast<ScriptState*>(self)->current_;
  if (!block && old_size == LUA_TSTRING && new_size > kLargeBlock && fiber) notice_large(*fiber, new_size);
  const std::size_t held = block ? old_size : 0;
  if (fiber && new_size > held) {
    if (new_size - held > fiber->memory) {
      fiber->memory = 0;
      if (fiber->doom == Doom::kNone) fiber->doom = Doom::kMemory;
      // From here on every instruction fails, so that a pcall cannot try again and again.
      if (fiber->running) lua_sethook(fiber->running, count, LUA_MASKCOUNT, 1);
      return nullptr;
    }
    fiber->memory -= new_size - held;
    if ((block || old_size == 0) && new_size > kHugeTable)
      fiber->instructions -= static_cast<std::int64_t>(new_size / kOctetsPerStep);
  }
  return std::realloc(block, new_size);
}

int ScriptState::panic(lua_State*) {
  throw std::bad_alloc();
}  // only outside of calls, where no limit is in force

void ScriptState::raise(lua_State* L, Doom doom) {
  lua_sethook(L, count, LUA_MASKCOUNT, 1);
  const ScriptState& state = of(L);
  const auto& texts = state.current_ == &state.load_fiber_ ? state.load_doom_texts_ : state.doom_texts_;
  lua_rawgeti(L, LUA_REGISTRYINDEX, texts[static_cast<int>(doom)]);
  lua_error(L);
  std::unreachable();
}

namespace {

/// A call with very many arguments copies them in one instruction (`return f(1, ...)`), so that instructions alone say
/// little. What has fewer than kManyArguments pays nothing.
std::int64_t steps_of_arguments(lua_State* L, const lua_Debug* where) {
  constexpr int kManyArguments = 1000;
  constexpr std::int64_t kStepsEach = 10;  // for all the calls of a slice
  const auto has = [&](int number) {
    const bool found = lua_getlocal(L, where, -number) != nullptr;
    if (found) lua_pop(L, 1);
    return found;
  };
  if (!has(kManyArguments)) return 0;
  int number = kManyArguments;
  while (number < (1 << 20) && has(2 * number)) number *= 2;
  return kStepsEach * number;
}

}  // namespace

void ScriptState::count(lua_State* L, lua_Debug* where) {
  Fiber* fiber = of(L).current_;
  if (!fiber) return;
  if (fiber->doom == Doom::kNone) {
    fiber->instructions -= lua_gethookcount(L) + steps_of_arguments(L, where);
    if (fiber->slice < kSlice) {
      meter(*fiber);
      tighten(L);
    }
    if (fiber->instructions < 0)
      fiber->doom = Doom::kInstructions;
    else if (late(*fiber))
      fiber->doom = Doom::kTime;
  }
  if (fiber->doom != Doom::kNone) raise(L, fiber->doom);
}

namespace {

std::chrono::nanoseconds thread_time() noexcept {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

void ScriptState::notice_large(Fiber& fiber, std::size_t size) noexcept {
  const int slice = size > kHugeBlock ? kHugeSlice : kLargeSlice;
  if (slice >= fiber.slice) return;
  if (fiber.slice >= kSlice) begin_meter(fiber);
  fiber.slice = slice;
  if (fiber.running && fiber.doom == Doom::kNone) lua_sethook(fiber.running, count, LUA_MASKCOUNT, slice);
}

void ScriptState::begin_meter(Fiber& fiber) noexcept {
  fiber.metered = std::chrono::steady_clock::now();
  fiber.metered_cpu = thread_time();
  fiber.metered_steps = fiber.instructions;
}

/// The thread's time is asked for only when the steps took longer than they may by the clock on the wall, which is
/// cheap to read: a machine under load changes nothing about what is charged.
void ScriptState::meter(Fiber& fiber) {
  const std::int64_t steps = fiber.metered_steps - fiber.instructions;
  if (std::chrono::steady_clock::now() - fiber.metered < kStepTime * steps) return;
  const std::int64_t paid_for = (thread_time() - fiber.metered_cpu) / kStepTime;
  if (paid_for > steps) fiber.instructions -= paid_for - steps;
  begin_meter(fiber);
}

bool ScriptState::late(const Fiber& fiber) {
  return std::chrono::steady_clock::now() - fiber.resumed > fiber.wall_clock;
}

void ScriptState::watch(lua_State* L, int slice) {
  const Fiber* fiber = of(L).current_;
  const bool doomed = fiber && fiber->doom != Doom::kNone;
  lua_sethook(L, count, LUA_MASKCOUNT, doomed ? 1 : fiber ? std::min(slice, fiber->slice) : slice);
}

void ScriptState::tighten(lua_State* L) {
  const Fiber* fiber = of(L).current_;
  if (fiber && fiber->doom == Doom::kNone && lua_gethookcount(L) > fiber->slice) watch(L, fiber->slice);
}

void ScriptState::charge(lua_State* L, std::int64_t steps) {
  Fiber* fiber = of(L).current_;
  if (!fiber) return;
  fiber->instructions = steps > fiber->instructions ? -1 : fiber->instructions - steps;
  if (fiber->instructions < 0 && fiber->doom == Doom::kNone) fiber->doom = Doom::kInstructions;
  // The hook sees no time while C++ works, so a long piece of such work looks at the clock itself.
  if (steps >= kSlice && fiber->doom == Doom::kNone && late(*fiber)) fiber->doom = Doom::kTime;
  if (fiber->doom != Doom::kNone) raise(L, fiber->doom);
}

void ScriptState::hold_memory(lua_State* L, std::size_t octets) {
  Fiber* fiber = of(L).current_;
  if (!fiber) return;
  if (octets > fiber->memory && fiber->doom == Doom::kNone) fiber->doom = Doom::kMemory;
  fiber->memory -= std::min(octets, fiber->memory);
  if (fiber->doom != Doom::kNone) raise(L, fiber->doom);
  constexpr std::size_t kKib = 1024;
  if (octets >= kKib) lua_gc(L, LUA_GCSTEP, static_cast<int>(std::min<std::size_t>(octets / kKib, 1 << 20)));
}

std::int64_t ScriptState::steps_left(lua_State* L) {
  const Fiber* fiber = of(L).current_;
  return fiber ? std::max<std::int64_t>(fiber->instructions, 0) : kLoadLimits.instructions;
}

void ScriptState::raise_if_doomed(lua_State* L) {
  if (const Fiber* fiber = of(L).current_; fiber && fiber->doom != Doom::kNone) raise(L, fiber->doom);
}

Fiber& ScriptState::in_call(lua_State* L, const char* what) {
  Fiber* fiber = of(L).current_;
  if (!fiber || !fiber->call.effects)
    luaL_error(L, "%s: only while mail is handled, not while scripts are loaded", what);
  return *fiber;
}

Fiber& ScriptState::acquire() {
  if (idle_.empty()) {
    // Abandoned ones come back without a thread.
    fibers_.push_back(std::make_unique<Fiber>());
    idle_.reserve(fibers_.size());
    idle_.push_back(fibers_.back().get());
  }
  Fiber& fiber = *idle_.back();
  if (!fiber.thread) {
    fiber.thread = lua_newthread(main_);
    fiber.anchor = luaL_ref(main_, LUA_REGISTRYINDEX);
  }
  idle_.pop_back();
  fiber.instructions = limits_.instructions;
  fiber.memory = limits_.memory;
  fiber.wall_clock = limits_.wall_clock;
  fiber.slice = slice_;
  fiber.doom = Doom::kNone;
  return fiber;
}

void ScriptState::release(Fiber& fiber) {
  if (idle_.size() >= kMaxIdleFibers) return abandon(fiber);
  lua_settop(fiber.thread, 0);
  ++fiber.generation;
  fiber.call = {};
  fiber.requests.clear();
  fiber.answers.clear();
  idle_.push_back(&fiber);
}

void ScriptState::abandon(Fiber& fiber) {
  luaL_unref(main_, LUA_REGISTRYINDEX, fiber.anchor);
  fiber.thread = nullptr;
  ++fiber.generation;
  fiber.call = {};
  fiber.requests.clear();
  fiber.answers.clear();
  idle_.push_back(&fiber);  // acquire() reserved the place
}

int ScriptState::resume(Fiber& fiber, int arguments, int& results) {
  fiber.resumed = std::chrono::steady_clock::now();
  fiber.running = fiber.thread;
  if (fiber.slice < kSlice) begin_meter(fiber);  // what others did while the call waited is not its affair
  current_ = &fiber;
  watch(fiber.thread, kSlice);
  const int status = lua_resume(fiber.thread, nullptr, arguments, &results);
  current_ = nullptr;
  fiber.running = nullptr;
  return status;
}

void ScriptState::begin_load(Loader& loader) {
  loader_ = &loader;
  relay_ = loader.registry().action("relay");
  load_fiber_.thread = main_;
  load_fiber_.running = main_;
  load_fiber_.instructions = kLoadLimits.instructions;
  load_fiber_.memory = kLoadLimits.memory;
  load_fiber_.wall_clock = kLoadLimits.wall_clock;
  load_fiber_.resumed = std::chrono::steady_clock::now();
  load_fiber_.doom = Doom::kNone;
  load_fiber_.slice = kSlice;
  current_ = &load_fiber_;
  watch(main_, kSlice);
}

void ScriptState::begin_freeze() {
  load_fiber_.instructions = kLoadLimits.instructions;
  load_fiber_.memory = kLoadLimits.memory;
  load_fiber_.resumed = std::chrono::steady_clock::now();
  if (load_fiber_.slice < kSlice) begin_meter(load_fiber_);
}

void ScriptState::end_load() {
  loader_ = nullptr;
  current_ = nullptr;
  slice_ = load_fiber_.slice;
  lua_sethook(main_, nullptr, 0, 0);
}

}  // namespace postern::lua

// One Lua state: one epoch's scripts on one worker, with the calls that run in it and what each may use.
//
// A call from C++ runs in a fiber, a Lua coroutine out of a pool. It ends, fails, or waits for effects; then its Run
// resumes it when they are answered. A Run that goes away before its end (its mail died) gives the fiber up: it is
// never resumed, and the collector takes it. Objects that a script got from a call know fiber and generation, so that
// using one later is an error of the script.
//
// Limits are those of the call: instructions (with a hook that fires at every one of them once they are used up, so
// that no pcall swallows it), octets allocated (all of them, whether dropped again or not, so that it does not depend
// on the collector), and time. An instruction that compares a long string takes as long as that is,
// and the hook learns of it only afterwards: a call that has such is looked at more often, and pays for the
// processor's time in steps where they took longer than kStepTime each.
//
// Owner:  RuleSet::engine; each Run holds a share, so that an old epoch ends with its last call.
// Thread: made where scripts are loaded, then its worker's alone.
#pragma once

#include <lua.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "postern/pipeline.h"
#include "structures.h"

namespace postern::lua {

class Loader;

struct Limits {
  std::int64_t instructions = 1'000'000;
  std::size_t memory = std::size_t{32} << 20;
  Duration wall_clock = std::chrono::seconds(30);
};
/// Loading runs once, on files that the administrator wrote.
inline constexpr Limits kLoadLimits{100'000'000, std::size_t{512} << 20, std::chrono::seconds(30)};

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define POSTERN_LUA_SLOW_BUILD 1
#endif
#endif
#ifdef POSTERN_LUA_SLOW_BUILD
inline constexpr std::chrono::nanoseconds kStepTime{2000};
#else
inline constexpr std::chrono::nanoseconds kStepTime{32};  ///< what a step may take, where steps are metered
#endif

/// Why a call must end.
enum class Doom : std::uint8_t { kNone, kInstructions, kMemory, kTime };

/// What a call works on. All of it outlives the call.
struct Call {
  Stage stage = Stage::kMessage;
  SessionState* session = nullptr;
  Transaction* transaction = nullptr;
  const Recipient* recipient = nullptr;      ///< of a hook at rcpt
  const RecipientSet* recipients = nullptr;  ///< of a rule; nothing: all of the transaction
  Effects* effects = nullptr;
  QueueEvent* event = nullptr;  ///< of a hook of the queue
  MessageId structure{};        ///< of the message whose structure the call has paid for
};

/// What a call waits for that is no question to the DNS: it keeps its own answer, which its asker shares.
class Errand {
 public:
  virtual ~Errand() = default;
  /// Errors are kept with the answer; throws Cancelled only. Bounded in time by the call's wall clock.
  virtual Task<void> run(Effects& effects) = 0;
  /// Raises when there is no answer yet: a script may resume a coroutine that waits, by another way than the one it
  /// waits on.
  void check_answered(lua_State* L) const;

  bool answered = false;  ///< run() has ended; set by who ran it
};

/// A question to the world that waits for its answer.
struct Request {
  std::string name;
  RecordType type = RecordType::kA;
  std::shared_ptr<Errand> errand = nullptr;  ///< instead of the two above
};

struct Fiber {
  lua_State* thread = nullptr;
  int anchor = 0;                ///< keeps the thread from the collector
  std::uint64_t generation = 1;  ///< counts calls; objects of earlier ones are stale
  lua_State* running = nullptr;  ///< the thread, or the script's own coroutine inside it
  Call call;
  std::int64_t instructions = 0;  ///< left
  std::size_t memory = 0;         ///< left
  Doom doom = Doom::kNone;
  Duration wall_clock{};
  std::chrono::steady_clock::time_point resumed{};
  int slice = 0;  ///< instructions between two looks at the limits; fewer once there are large blocks
  /// Since when the processor's time is counted, and how many steps were left then; see ScriptState::meter().
  std::chrono::steady_clock::time_point metered{};
  std::chrono::nanoseconds metered_cpu{};
  std::int64_t metered_steps = 0;
  std::vector<Request> requests;   ///< made since the last resume
  std::uint64_t waits = 0;         ///< how often answers have come, so that each is given to its own question alone
  std::vector<DnsAnswer> answers;  ///< to the requests before it
};

class ScriptState : public std::enable_shared_from_this<ScriptState> {
 public:
  static constexpr int kSlice = 200;                     ///< instructions between two looks at the limits
  static constexpr int kCoroutineSlice = 100;            ///< the same inside a script's own coroutines
  static constexpr std::size_t kLargeBlock = 2 * 1024;   ///< octets of a string; with one instructions are metered
  static constexpr int kLargeSlice = 50;                 ///< instructions between two looks then
  static constexpr std::size_t kHugeBlock = 256 * 1024;  ///< octets
  static constexpr std::size_t kOctetsPerStep = 32;      ///< of a table, a stack or a buffer above kHugeTable
  static constexpr std::size_t kHugeTable = 64 * 1024;   ///< octets; all that it holds finds a new place
  static constexpr int kHugeSlice = 4;                   ///< the same with one of those
  static constexpr std::size_t kMaxIdleFibers = 64;      ///< kept for the next calls
  static constexpr std::int64_t kAskSteps = 50;          ///< of making a question
  static constexpr std::int64_t kWaitSteps = 400;        ///< of each question in a wait

  explicit ScriptState(Limits limits);
  ~ScriptState();
  ScriptState(const ScriptState&) = delete;
  ScriptState& operator=(const ScriptState&) = delete;

  static ScriptState& of(lua_State* L) { return **static_cast<ScriptState**>(lua_getextraspace(L)); }

  lua_State* main() const { return main_; }
  const Limits& limits() const { return limits_; }
  /// The call that runs now; nothing outside of one.
  Fiber* current() const { return current_; }

  /// Counts steps that were taken outside of the Lua machine. Raises when that was too much.
  static void charge(lua_State* L, std::int64_t steps);
  /// Counts octets that an object of C++ holds for the script, and tells the collector of them, who sees only the
  /// object's shell. Raises when that was too much.
  static void hold_memory(lua_State* L, std::size_t octets);
  /// Steps that the present call may still take; for work that counts by itself.
  static std::int64_t steps_left(lua_State* L);
  /// Raises the error of a doomed call; returns when it is not doomed.
  static void raise_if_doomed(lua_State* L);
  /// The running thread's hook, at its start and when a script's coroutine is entered.
  static void watch(lua_State* L, int slice);
  /// The hook of a thread that goes on, whose coroutine may have made the call's first long string.
  static void tighten(lua_State* L);

  /// The call that runs now, or an error that names what was tried.
  static Fiber& in_call(lua_State* L, const char* what);

  Fiber& acquire();
  void release(Fiber& fiber);  ///< it ended well; its thread is used again
  void abandon(Fiber& fiber);  ///< it failed or died; its thread is not

  /// Limits and hook for what runs in the main thread while scripts are loaded.
  void begin_load(Loader& loader);
  /// A budget of its own for what the loader does when the scripts are done: they may have left next to nothing.
  void begin_freeze();
  void end_load();
  Loader* loader() const { return loader_; }
  /// The declaration of act.relay, which knows the words that a hook at route may set; nothing: there is none.
  const ActionDeclaration* relay() const { return relay_; }
  StructureCache& structures() { return structures_; }
  /// Lua's own function behind a guard; see text_guards.cc.
  static constexpr std::size_t kGuardedFunctions = 12;
  lua_CFunction& guarded_function(std::size_t which) { return guarded_[which]; }
  Doom load_doom() const { return load_fiber_.doom; }

  /// Runs `fiber`, which must be this state's, until it ends or waits. Never throws what Lua throws.
  int resume(Fiber& fiber, int arguments, int& results);

 private:
  static void* allocate(void* self, void* block, std::size_t old_size, std::size_t new_size) noexcept;
  static void count(lua_State* L, lua_Debug* info);
  static int panic(lua_State* L);
  [[noreturn]] static void raise(lua_State* L, Doom doom);
  static bool late(const Fiber& fiber);
  static void notice_large(Fiber& fiber, std::size_t size) noexcept;
  static void begin_meter(Fiber& fiber) noexcept;
  static void meter(Fiber& fiber);
  void open();

  Limits limits_;
  lua_State* main_ = nullptr;
  Fiber* current_ = nullptr;
  Fiber load_fiber_;
  Loader* loader_ = nullptr;
  const ActionDeclaration* relay_ = nullptr;    ///< of the registry, which outlives all epochs
  std::vector<std::unique_ptr<Fiber>> fibers_;  ///< all that were made; objects in Lua point to them
  std::vector<Fiber*> idle_;
  StructureCache structures_;
  std::array<lua_CFunction, kGuardedFunctions> guarded_{};
  int slice_ = kSlice;           ///< of calls: fewer when scripts keep large ones
  int doom_texts_[4] = {};       ///< of calls
  int load_doom_texts_[4] = {};  ///< of loading, whose limits are others
};

/// "ran for more than 1000000 instructions" and so on.
std::string doom_text(Doom doom, const Limits& limits);
/// The same of loading: "ran for more than 100000000 instructions while scripts were loaded".
std::string load_doom_text(Doom doom);
/// "script.instructions" and so on.
std::string_view doom_code(Doom doom);

}  // namespace postern::lua

// Lua functions as hooks, matchers and actions: a call from C++ into a script, with its waits.
//
// A call that asks nothing of the world returns its result without a coroutine frame. One that does waits as a Task:
// its questions are answered together, then the Lua coroutine goes on where it stopped.
//
// A call that passes a limit, raises an error or returns nonsense is a Fault: "script.error", "script.instructions",
// "script.memory", "script.time", "script.result". Cancellation is thrown, after which the Lua coroutine is never
// resumed.
//
// Thread: its worker. The state outlives every call: each Run holds a share of it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "postern/pipeline.h"
#include "state.h"

namespace postern::lua {

/// One call of one Lua function, from its start to its end.
class Run {
 public:
  Run(ScriptState& state, const Call& call);
  Run(Run&& other) noexcept;
  Run& operator=(Run&&) = delete;
  ~Run();

  /// Calls the function kept as `function` with what `push_arguments` leaves on the fiber's stack.
  using PushArguments = int (*)(lua_State* L, Fiber& fiber);
  void start(int function, PushArguments push_arguments);
  bool waits() const { return waits_; }
  /// Answers what the call asks, until it has ended. Throws Cancelled.
  Task<void> finish();

  /// After its end: why it failed, if it did.
  const std::optional<Fault>& failure() const { return failure_; }
  /// After its end: the stack with its results, and how many there are.
  lua_State* results() const { return fiber_->thread; }
  int count() const { return results_; }
  Fiber& fiber() { return *fiber_; }

 private:
  void resume(int arguments);
  void fail(int status);
  Task<void> answer();
  std::string place() const;

  std::shared_ptr<ScriptState> state_;
  Fiber* fiber_ = nullptr;
  std::uint64_t generation_ = 0;
  Instant started_{};
  int results_ = 0;
  bool waits_ = false;
  std::optional<Fault> failure_;
};

// The state is referred to plainly: the RuleSet that holds these also holds the state.

class LuaHook final : public HookHandler {
 public:
  LuaHook(ScriptState& state, int function) : state_(state), function_(function) {}
  Task<Result<Verdict>> handle(HookCall call) override;

 private:
  ScriptState& state_;
  int function_;
};

/// A function as a matcher, and where a mailet wants a list of addresses.
class LuaMatcher final : public Matcher, public AddressSource {
 public:
  LuaMatcher(ScriptState& state, int function) : state_(state), function_(function) {}
  Task<Result<RecipientSet>> match(RuleCall call) override;
  Task<Result<std::vector<Address>>> addresses(RuleCall call) override;
  std::string name() const override { return "function"; }

 private:
  ScriptState& state_;
  int function_;
};

/// May return a verdict, or a native action that was made while scripts were loaded.
class LuaAction final : public Action {
 public:
  LuaAction(ScriptState& state, int function) : state_(state), function_(function) {}
  Task<Result<ActionResult>> run(RuleCall call) override;
  std::string name() const override { return "function"; }

 private:
  ScriptState& state_;
  int function_;
};

/// A verdict that stands as an action.
class VerdictAction final : public Action {
 public:
  explicit VerdictAction(Verdict verdict);
  Task<Result<ActionResult>> run(RuleCall) override { return Task<Result<ActionResult>>::ready(result_); }
  std::string name() const override;
  bool is_final() const override { return result_.verdict.kind != Verdict::Kind::kHold; }

 private:
  ActionResult result_;
};

}  // namespace postern::lua

#include "calls.h"

#include <fmt/format.h>

#include "bind.h"
#include "events.h"
#include "libraries.h"
#include "objects.h"
#include "postern/nursery.h"
#include "rules.h"
#include "verdict_words.h"

namespace postern::lua {

// ---- Run
// -------------------------------------------------------------------------------------------------------------

Run::Run(ScriptState& state, const Call& call) : state_(state.shared_from_this()), fiber_(&state_->acquire()) {
  fiber_->call = call;
  generation_ = fiber_->generation;
  started_ = call.effects->executor().now();
}

Run::Run(Run&& other) noexcept
    : state_(std::move(other.state_)),
      fiber_(std::exchange(other.fiber_, nullptr)),
      generation_(other.generation_),
      started_(other.started_),
      results_(other.results_),
      waits_(other.waits_),
      failure_(std::move(other.failure_)) {}

Run::~Run() {
  if (!fiber_ || fiber_->generation != generation_) return;
  // A fiber that waits for something that nobody will tell it, or that failed, is not used again.
  if (waits_ || failure_)
    state_->abandon(*fiber_);
  else
    state_->release(*fiber_);
}

void Run::start(int function, PushArguments push_arguments) {
  lua_State* L = fiber_->thread;
  lua_rawgeti(L, LUA_REGISTRYINDEX, function);
  resume(push_arguments(L, *fiber_));
}

void Run::resume(int arguments) {
  waits_ = false;
  const int status = state_->resume(*fiber_, arguments, results_);
  if (status == LUA_YIELD && fiber_->doom == Doom::kNone && !fiber_->requests.empty())
    waits_ = true;
  else if (status != LUA_OK || fiber_->doom != Doom::kNone)
    fail(status);
  else if (!lua_checkstack(fiber_->thread, 8))
    failure_ = Fault{"script.memory", "no room to look at the results"};
}

std::string Run::place() const {
  // The stack of a failed coroutine still stands.
  lua_Debug info;
  for (int level = 0; level < 50 && lua_getstack(fiber_->thread, level, &info); ++level)
    if (lua_getinfo(fiber_->thread, "Sl", &info) && info.currentline > 0)
      return fmt::format("{}:{}: ", info.short_src, info.currentline);
  return {};
}

void Run::fail(int status) {
  lua_State* L = fiber_->thread;
  if (fiber_->doom != Doom::kNone) {
    failure_ = Fault{std::string(doom_code(fiber_->doom)), place() + doom_text(fiber_->doom, state_->limits())};
    return;
  }
  std::string text;
  if (status == LUA_YIELD)
    text = "a hook, matcher or action must not yield";
  else if (lua_type(L, -1) == LUA_TSTRING)
    text = raw_text(L, -1);
  else
    text = fmt::format("{}an error that is {}", place(), luaL_typename(L, -1));
  failure_ = Fault{"script.error", std::move(text)};
}

Task<void> Run::finish() {
  while (waits_) {
    co_await answer();
    if (fiber_->doom != Doom::kNone) {
      waits_ = false;
      fail(LUA_YIELD);
    } else if (fiber_->generation == generation_) {
      resume(0);
    }
  }
}

namespace {
Task<void> ask(Effects* effects, Request request, DnsAnswer* answer) {
  if (request.errand) {
    co_await request.errand->run(*effects);
    request.errand->answered = true;
    co_return;
  }
  *answer = co_await effects->dns(std::move(request.name), request.type);
}
}  // namespace

Task<void> Run::answer() {
  Effects& effects = *fiber_->call.effects;
  std::vector<Request> requests = std::move(fiber_->requests);
  std::vector<DnsAnswer> answers(requests.size());
  // Where an answer is there at once, the loop has no turn between: it must not be asked for too often.
  fiber_->instructions -= ScriptState::kWaitSteps * static_cast<std::int64_t>(requests.size());
  if (requests.size() == 1 && !requests[0].errand && state_->limits().wall_clock >= effects.time_limit()) {
    answers[0] = co_await effects.dns(std::move(requests[0].name), requests[0].type);
  } else {
    Context& context = co_await this_context();
    Nursery nursery(*context.executor, CancelToken(context.cancel));
    for (std::size_t i = 0; i < requests.size(); ++i) nursery.spawn(ask(&effects, std::move(requests[i]), &answers[i]));
    const bool in_time = co_await nursery.join_until(Deadline::at(started_ + state_->limits().wall_clock));
    if (!in_time) {
      nursery.cancel();
      fiber_->doom = Doom::kTime;
    }
    co_await nursery.join();
    if (context.cancel && context.cancel->cancelled()) throw Cancelled();
  }
  if (effects.executor().now() - started_ >= state_->limits().wall_clock) fiber_->doom = Doom::kTime;
  fiber_->requests.clear();
  fiber_->answers = std::move(answers);
  ++fiber_->waits;
}

namespace {

Fault result_fault(std::string_view what, std::string_view wanted, lua_State* L) {
  return {"script.result", fmt::format("{} returned {} instead of {}", what, luaL_typename(L, -1), wanted)};
}

/// How long the list at the top is. In place of one that scripts have kept since load, what holds its values.
lua_Integer open_list(lua_State* L) {
  if (push_frozen_store(L, -1)) lua_replace(L, -2);
  return static_cast<lua_Integer>(lua_rawlen(L, -1));
}

Call call_of(const RuleCall& call) {
  return {call.stage, &call.transaction.session, &call.transaction, nullptr, &call.recipients, &call.effects};
}

int push_mail(lua_State* L, Fiber& fiber) {
  push_box(L, MailHandle{handle_of(fiber)});
  return 1;
}

// ---- hooks
// -----------------------------------------------------------------------------------------------------------

int push_hook_arguments(lua_State* L, Fiber& fiber) {
  const Handle handle = handle_of(fiber);
  if (fiber.call.event) {  // nobody waits, so there is no session
    push_box(L, MailHandle{handle});
    push_box(L, EventHandle{handle});
    return 2;
  }
  int count = 1;
  push_box(L, SessionHandle{handle});
  if (fiber.call.recipient) {
    push_box(L, RecipientHandle{handle, RecipientHandle::kAsked});
    ++count;
  }
  if (fiber.call.transaction) {
    push_box(L, MailHandle{handle});
    ++count;
  }
  return count;
}

Result<Verdict> hook_result(Run& run) {
  if (run.failure()) return std::unexpected(*run.failure());
  lua_State* L = run.results();
  if (run.count() == 0) return Verdict{};
  lua_settop(L, lua_gettop(L) - run.count() + 1);  // the first result counts
  if (lua_isnil(L, -1)) return Verdict{};
  if (const auto* box = test_box<VerdictBox>(L, -1)) {
    const Call& call = run.fiber().call;
    if (auto wrong = call.event ? wrong_queue_verdict(call.stage, box->verdict) : std::nullopt)
      return std::unexpected(*std::move(wrong));
    return box->verdict;
  }
  return std::unexpected(result_fault("the hook", "nothing or a verdict", L));
}

/// Notes of a recipient that is not taken must not become those of the next one.
void drop_notes_of_refused(const Call& call, const Result<Verdict>& verdict) {
  if (!call.recipient || !call.transaction || (verdict && !verdict->refuses())) return;
  Transaction& mail = *call.transaction;
  if (mail.recipient_notes.size() > mail.envelope.recipients.size())
    mail.recipient_notes.resize(mail.envelope.recipients.size());
}

Task<Result<Verdict>> finish_hook(Run run) {
  co_await run.finish();
  Result<Verdict> verdict = hook_result(run);
  drop_notes_of_refused(run.fiber().call, verdict);
  co_return verdict;
}

}  // namespace

Task<Result<Verdict>> LuaHook::handle(HookCall call) {
  Run run(state_, {call.stage, &call.session, call.transaction, call.recipient, nullptr, &call.effects, call.event});
  run.start(function_, push_hook_arguments);
  if (run.waits()) return finish_hook(std::move(run));
  Result<Verdict> verdict = hook_result(run);
  drop_notes_of_refused(run.fiber().call, verdict);
  return Task<Result<Verdict>>::ready(std::move(verdict));
}

// ---- matchers
// --------------------------------------------------------------------------------------------------------

namespace {

Result<RecipientSet> match_result(Run& run) {
  if (run.failure()) return std::unexpected(*run.failure());
  const RecipientSet& given = *run.fiber().call.recipients;
  lua_State* L = run.results();
  if (run.count() == 0) return RecipientSet::none(given.size());
  lua_settop(L, lua_gettop(L) - run.count() + 1);
  if (lua_isnil(L, -1)) return RecipientSet::none(given.size());
  if (lua_isboolean(L, -1)) return lua_toboolean(L, -1) ? given : RecipientSet::none(given.size());
  if (const auto* box = test_box<SelectionBox>(L, -1); box && box->set.size() == given.size()) return box->set & given;
  RecipientSet out = RecipientSet::none(given.size());
  if (const auto* one = test_box<RecipientHandle>(L, -1); one && one->index < given.size()) {
    out.insert(one->index);
    return out & given;
  }
  if (!lua_istable(L, -1)) return std::unexpected(result_fault("the matcher", "true, false or recipients", L));
  const lua_Integer count = open_list(L);
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(L, -1, i);
    const auto* one = test_box<RecipientHandle>(L, -1);
    if (!one || one->index >= given.size())
      return std::unexpected(result_fault("the list of the matcher", "recipients", L));
    out.insert(one->index);
    lua_pop(L, 1);
  }
  return out & given;
}

Task<Result<RecipientSet>> finish_match(Run run) {
  co_await run.finish();
  co_return match_result(run);
}

}  // namespace

Task<Result<RecipientSet>> LuaMatcher::match(RuleCall call) {
  Run run(state_, call_of(call));
  run.start(function_, push_mail);
  if (run.waits()) return finish_match(std::move(run));
  return Task<Result<RecipientSet>>::ready(match_result(run));
}

// ---- lists of addresses

namespace {

constexpr lua_Integer kMaxAddresses = 1000;  // reading them costs a script no step

/// Nothing, one address, or a list of them, as texts.
Result<std::vector<Address>> addresses_result(Run& run) {
  if (run.failure()) return std::unexpected(*run.failure());
  lua_State* L = run.results();
  std::vector<Address> out;
  if (run.count() == 0) return out;
  lua_settop(L, lua_gettop(L) - run.count() + 1);  // the first result counts
  if (lua_isnil(L, -1)) return out;
  const auto add = [&out, L] {
    auto parsed = lua_type(L, -1) == LUA_TSTRING ? Address::parse(raw_text(L, -1)) : Parsed<Address>(Address());
    if (!parsed || parsed->is_null()) return false;
    out.push_back(std::move(*parsed));
    return true;
  };
  const auto wrong = [L] { return std::unexpected(result_fault("the list of addresses", "mail addresses", L)); };
  if (!lua_istable(L, -1)) {
    if (!add()) return wrong();
    return out;
  }
  const lua_Integer count = open_list(L);
  if (count > kMaxAddresses)
    return fault("script.result", fmt::format("the list of addresses is longer than {}", kMaxAddresses));
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(L, -1, i);
    if (!add()) return wrong();
    lua_pop(L, 1);
  }
  return out;
}

Task<Result<std::vector<Address>>> finish_addresses(Run run) {
  co_await run.finish();
  co_return addresses_result(run);
}

}  // namespace

Task<Result<std::vector<Address>>> LuaMatcher::addresses(RuleCall call) {
  Run run(state_, call_of(call));
  run.start(function_, push_mail);
  if (run.waits()) return finish_addresses(std::move(run));
  return Task<Result<std::vector<Address>>>::ready(addresses_result(run));
}

// ---- actions
// ---------------------------------------------------------------------------------------------------------

namespace {

/// What an action returned: a result, or another action that takes its place.
struct Chosen {
  Result<ActionResult> result;
  std::shared_ptr<Action> action;
};

Chosen action_result(Run& run) {
  if (run.failure()) return {std::unexpected(*run.failure()), nullptr};
  lua_State* L = run.results();
  if (run.count() == 0) return {ActionResult{}, nullptr};
  lua_settop(L, lua_gettop(L) - run.count() + 1);
  if (lua_isnil(L, -1)) return {ActionResult{}, nullptr};
  if (const auto* rule = test_box<RuleRef>(L, -1); rule && rule->action) return {ActionResult{}, rule->action};
  const auto* box = test_box<VerdictBox>(L, -1);
  if (!box) return {std::unexpected(result_fault("the action", "nothing, a verdict or an action", L)), nullptr};
  ActionResult out;
  out.kind = ActionResult::Kind::kFinal;
  out.verdict = box->verdict;
  return {std::move(out), nullptr};
}

Task<Result<ActionResult>> finish_action(Run run, RuleCall call) {
  co_await run.finish();
  Chosen chosen = action_result(run);
  if (chosen.action) co_return co_await chosen.action->run(call);
  co_return std::move(chosen.result);
}

Task<Result<ActionResult>> run_chosen(std::shared_ptr<Action> action, RuleCall call) {
  co_return co_await action->run(call);
}

}  // namespace

Task<Result<ActionResult>> LuaAction::run(RuleCall call) {
  Run run(state_, call_of(call));
  run.start(function_, push_mail);
  if (run.waits()) return finish_action(std::move(run), call);
  Chosen chosen = action_result(run);
  if (chosen.action) return run_chosen(std::move(chosen.action), call);
  return Task<Result<ActionResult>>::ready(std::move(chosen.result));
}

VerdictAction::VerdictAction(Verdict verdict) {
  result_.kind = ActionResult::Kind::kFinal;
  result_.verdict = std::move(verdict);
}

std::string VerdictAction::name() const {
  return std::string(verdict_word(result_.verdict.kind));
}

}  // namespace postern::lua

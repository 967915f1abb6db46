// Hooks of the queue: the object `event` beside `mail`, and which verdicts such a hook may return.
//
// queued, delivered, deferred and bounced tell what happened: they return nothing. route may set event.gateway,
// event.tls and event.source; attempt may return defer or hold. Anything else is a fault of the hook (script.result).
//
// Thread: that of the state.
#pragma once

#include <lua.hpp>

#include <optional>

#include "objects.h"

namespace postern::lua {

struct EventHandle : Handle {
  static constexpr const char* kName = "event";
};

bool is_queue_stage(Stage stage);
/// What is wrong with a verdict there; nothing: it may stand.
std::optional<Fault> wrong_queue_verdict(Stage stage, const Verdict& verdict);

void open_events(lua_State* L);

}  // namespace postern::lua

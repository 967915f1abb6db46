// Asking the world for more than the DNS: http, sql, kv and the directory, as errands of a call (state.h).
//
// A binding makes a Question and waits for it: the Lua coroutine yields, Run (calls.cc) asks Effects, alone or together
// with other questions (postern.all), and the binding goes on with the answer. What the world cannot answer is `nil`
// and the code of the fault ("http.timeout"), never an error of the script; a wrong use is one.
//
// Thread: that of the state.
#pragma once

#include <lua.hpp>

#include <memory>
#include <optional>
#include <string>

#include "postern/pipeline.h"
#include "state.h"

namespace postern::lua {

class Question : public Errand {
 public:
  /// After the answer has come: pushes it, and returns how many values that are.
  virtual int push_answer(lua_State* L) = 0;
};

/// Yields until the question is answered; `what` names it in errors ("http.get").
int wait_for(lua_State* L, const char* what, std::shared_ptr<Question> question);

/// nil and the fault's code.
int push_fault(lua_State* L, const Fault& fault);

/// A value that no trail may hold: postern.secret(value).
struct SecretBox {
  static constexpr const char* kName = "secret";
  std::string text;
};

/// A duration at `index`: seconds, or a text such as "10m". Nothing when there is none.
std::optional<Duration> opt_duration(lua_State* L, int index);
/// The same of a field of the table at `index`, if that is one.
std::optional<Duration> duration_field(lua_State* L, int index, const char* name);

void open_ask(lua_State* L);     // ask.cc: postern.secret
void open_http(lua_State* L);    // http_library.cc
void open_stores(lua_State* L);  // stores_library.cc: postern.sql, kv, directory

}  // namespace postern::lua

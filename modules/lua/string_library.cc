#include "bind.h"
#include "libraries.h"
namespace postern::lua {
void open_strings(lua_State* L) {
  luaL_requiref(L, "string", luaopen_string, 0);
  lua_pushnil(L); lua_setfield(L, -2, "dump");
  lua_setglobal(L, "string");
}
}

// The words of scripts, declared once: what `postern` and its objects have, for editors (annotations.cc), and for the
// bindings themselves, which refuse every field of an object that does not stand here.
//
// A type is LuaLS's: "string?", "fun(self: postern.mail, name: string): string?". Objects that hold no handle (tables
// that a call builds) are classes as well, without a gate.
//
// Immutable; any thread.
#pragma once

#include <lua.hpp>

#include <span>
#include <string_view>

namespace postern::lua {

struct ApiMember {
  std::string_view name;
  std::string_view type;
  std::string_view purpose;
};
struct ApiClass {
  std::string_view name;  ///< "mail" of postern.mail; "" is `postern` itself, "dns" is postern.dns
  std::string_view purpose;
  std::span<const ApiMember> members;
};

/// All classes; modules first, then objects.
std::span<const ApiClass> api_classes();
const ApiClass* find_api_class(std::string_view name);

/// Raises, with the nearest right word, when the class that the script knows as `object` has no such member.
void check_member(lua_State* L, const char* object, std::string_view name);

}  // namespace postern::lua

// The parts of a mail for scripts: mail:parts(), part(), attachments(), text(); what a part tells and gives.
//
//   for _, part in ipairs(mail:attachments()) do
//     if part.filename and part.filename:lower():find "%.exe$" then return postern.reject(550, "5.7.1", "no programs")
//     end
//   end
//   local text, part, more = mail:text(10000)
//
// The body stays where it is: its structure is found once per message, and the content of a part is read when a script
// asks, in pieces, up to a limit. Both are waits. What a stranger wrote never raises: a charset that nobody knows is
// read as well as it goes.
//
// Thread: that of the state.
#pragma once

#include <lua.hpp>

#include <cstddef>
#include <memory>

#include "objects.h"
#include "structures.h"

namespace postern::lua {

inline constexpr std::size_t kMaxPartText = 512 * 1024;             ///< octets that part:text() gives at most
inline constexpr std::size_t kDefaultPartData = 1024 * 1024;        ///< octets that part:data() gives unless told
inline constexpr std::size_t kMaxPartData = std::size_t{16} << 20;  ///< octets that part:data() gives at most

struct PartHandle : Handle {
  static constexpr const char* kName = "part";
  std::shared_ptr<const MessageStructure> structure;
  std::uint32_t index = 0;
  const MimePart& part() const { return structure->mime.parts[index]; }
};

extern const luaL_Reg kPartMethods[];  ///< of mail; ends with a null entry

void open_parts(lua_State* L);

}  // namespace postern::lua

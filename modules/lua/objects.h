// What hooks, matchers and actions are handed: handles on the call that runs. They hold no data; used after their call
// they are an error of the script, never a dangling pointer.
//
// Thread: that of the state.
#pragma once

#include <lua.hpp>

#include <cstdint>
#include <string>

#include "postern/pipeline.h"
#include "state.h"

namespace postern::lua {

inline constexpr std::size_t kMaxNotes = 100;             ///< of one session, mail or recipient
inline constexpr std::size_t kMaxNoteName = 100;          ///< octets
inline constexpr std::size_t kMaxNoteText = 4 * 1024;     ///< octets
inline constexpr std::size_t kMaxFieldValue = 32 * 1024;  ///< octets of a header field that a script writes

/// Which call an object belongs to.
struct Handle {
  Fiber* fiber = nullptr;
  std::uint64_t generation = 0;
  /// The call; raises when it is over.
  Call& call(lua_State* L) const;
};

struct SessionHandle : Handle {
  static constexpr const char* kName = "session";
};
struct ClientHandle : Handle {
  static constexpr const char* kName = "client";
};
struct MailHandle : Handle {
  static constexpr const char* kName = "mail";
};
struct RecipientHandle : Handle {
  static constexpr const char* kName = "recipient";
  static constexpr std::size_t kAsked = ~std::size_t{0};  ///< the one that RCPT asks about
  std::size_t index = kAsked;
};
struct NotesHandle : Handle {
  static constexpr const char* kName = "notes";
  enum class Of : std::uint8_t { kSession, kMail, kRecipient };
  Of of = Of::kMail;
  std::size_t index = 0;
};

struct IpBox {
  static constexpr const char* kName = "IP address";
  IpAddress ip;
};
struct VerdictBox {
  static constexpr const char* kName = "verdict";
  Verdict verdict;
};
/// Recipients that a matcher selects.
struct SelectionBox {
  static constexpr const char* kName = "recipients";
  RecipientSet set;
};
struct AnswerBox {
  static constexpr const char* kName = "DNS answer";
  DnsAnswer answer;
};

/// The handle of the call that runs in `fiber`.
inline Handle handle_of(Fiber& fiber) {
  return {&fiber, fiber.generation};
}

void open_addresses(lua_State* L);   // addresses.cc: IP addresses and DNS answers
void open_notes(lua_State* L);       // notes.cc
void open_recipients(lua_State* L);  // recipients.cc

/// Pushes the list of recipients that the call is about.
int push_recipients(lua_State* L, const Handle& handle);
/// mail:recipients_where(function)
int recipients_where(lua_State* L);

void open_mail(lua_State* L);  // mail.cc: mail and its envelope
/// Raises where the header of the mail is not there, naming the stage.
void check_header(lua_State* L, const Call& call);
extern const luaL_Reg kHeaderMethods[];  ///< headers.cc: reading and editing the header; ends with a null entry

/// The text, or nil for an empty one.
int push_text_or_nil(lua_State* L, std::string_view text);
/// A time in seconds since 1970, or nil for none.
int push_seconds(lua_State* L, WallTime when);

/// Raises that an object has no such field.
int no_field(lua_State* L, const char* object, std::string_view name);

}  // namespace postern::lua

#include "parts.h"

#include <algorithm>
#include <string>
#include <utility>

#include "api.h"
#include "bind.h"
#include "libraries.h"
#include "postern/wait.h"

namespace postern::lua {
namespace {

constexpr std::int64_t kOctetsPerStep = 1024;  // of a message whose structure is looked at, read before or not
constexpr std::int64_t kStepsPerPart = 10;
constexpr std::int64_t kReadPerStep = 64;  // octets of a body that were read for a script

using Structure = std::shared_ptr<const MessageStructure>;

class StructureErrand final : public Errand {
 public:
  static constexpr const char* kName = "structure";
  StructureErrand(Draft* draft, StructureCache& cache) : draft_(draft), cache_(cache) {}
  Task<void> run(Effects&) override {
    auto structure = co_await read_structure(draft_);
    if (structure) cache_.keep(*structure);
    answer = std::move(structure);
  }
  Result<Structure> answer;

 private:
  Draft* draft_;
  StructureCache& cache_;
};

class ContentErrand final : public Errand {
 public:
  static constexpr const char* kName = "content";
  /// `charset`: of a text, which is given as UTF-8; empty for octets.
  ContentErrand(Draft* draft, const MimePart& part, std::size_t limit, std::string charset)
      : draft_(draft),
        begin_(part.body_start),
        end_(part.end),
        encoding_(part.encoding),
        limit_(limit),
        charset_(std::move(charset)) {}
  Task<void> run(Effects&) override {
    answer = co_await read_part(draft_, begin_, end_, encoding_, limit_);
    if (!answer || charset_.empty()) co_return;
    co_await yield_now();  // converting takes milliseconds: one text a turn
    auto converted = to_utf8(answer->text, charset_);
    answer->text = converted ? *std::move(converted) : scrub_utf8(answer->text);
    co_await yield_now();
  }
  Result<PartContent> answer;

 private:
  Draft* draft_;
  std::uint64_t begin_, end_;
  TransferEncoding encoding_;
  std::size_t limit_;
  std::string charset_;
};

/// Keeps an errand on the stack of the function that waits for it.
template <class T>
struct ErrandBox {
  static constexpr const char* kName = T::kName;
  std::shared_ptr<T> errand;
};

/// Waits for an errand; `then` finds it at the index that is its context.
template <class T>
int wait_for(lua_State* L, std::shared_ptr<T> errand, lua_KFunction then) {
  Fiber& fiber = ScriptState::in_call(L, "mail");
  if (fiber.requests.size() >= kMaxTogether)
    return luaL_error(L, "more than %d questions at once", static_cast<int>(kMaxTogether));
  ScriptState::charge(L, ScriptState::kAskSteps);
  push_box(L, ErrandBox<T>{errand});
  const int at = lua_gettop(L);
  fiber.requests.push_back({"", RecordType::kA, std::move(errand)});
  return lua_yieldk(L, 0, at, then);
}

template <class T>
void check_answer(lua_State* L, const Result<T>& answer) {
  if (!answer) luaL_error(L, "the text of the mail cannot be read: %s", answer.error().detail.c_str());
}

// ---- the structure ----

/// The draft, whole; raises where it is not there, or where nobody can wait.
Draft& check_body(lua_State* L, const Call& call) {
  check_header(L, call);
  if (call.stage == Stage::kData)
    luaL_error(L, "the body has not come yet at the stage 'data'; hooks at message and rules have it");
  if (!lua_isyieldable(L))
    luaL_error(
        L, "the body cannot be read inside a function that is called by sort, gsub, recipients_where or a metamethod");
  return *call.transaction->draft;
}

/// Counts the same whether somebody asked before or not, so that a limit does not depend on it.
void charge_structure(lua_State* L, Call& call, const MessageStructure& structure) {
  const auto size = static_cast<std::int64_t>(call.transaction->draft->size());
  ScriptState::charge(L,
                      size / kOctetsPerStep + static_cast<std::int64_t>(structure.mime.parts.size()) * kStepsPerPart);
  if (std::exchange(call.structure, structure.id) != structure.id) ScriptState::hold_memory(L, structure.memory);
}

using Then = int (*)(lua_State*, const Structure&);

template <Then then>
int structured(lua_State* L, int, lua_KContext at) {
  Call& call = check_box<MailHandle>(L, 1).call(L);
  Structure structure;
  if (at == 0) {
    structure = ScriptState::of(L).structures().find(call.transaction->draft->id());
  } else {
    const auto& errand = *check_box<ErrandBox<StructureErrand>>(L, static_cast<int>(at)).errand;
    errand.check_answered(L);
    check_answer(L, errand.answer);
    structure = *errand.answer;
    lua_settop(L, static_cast<int>(at) - 1);
  }
  charge_structure(L, call, *structure);
  return then(L, structure);
}

/// A method of mail that needs the structure: `then` goes on once it is there.
template <Then then>
int with_structure(lua_State* L) {
  Draft& draft = check_body(L, check_box<MailHandle>(L, 1).call(L));
  StructureCache& cache = ScriptState::of(L).structures();
  if (cache.find(draft.id())) {  // what others have read costs as much as a wait, see charge_structure()
    ScriptState::charge(L, ScriptState::kAskSteps + ScriptState::kWaitSteps);
    return structured<then>(L, LUA_OK, 0);
  }
  return wait_for(L, std::make_shared<StructureErrand>(&draft, cache), bound_continuation<structured<then>>);
}

void push_part(lua_State* L, const Handle& handle, const Structure& structure, std::uint32_t index) {
  push_box(L, PartHandle{handle, structure, index});
}

/// The list of those parts that `wanted` names.
template <class Wanted>
int push_parts(lua_State* L, const Handle& handle, const Structure& structure, Wanted wanted) {
  lua_newtable(L);
  lua_Integer count = 0;
  for (const MimePart& part : structure->mime.parts) {
    if (!wanted(part)) continue;
    push_part(L, handle, structure, part.index);
    lua_rawseti(L, -2, ++count);
  }
  return 1;
}

int parts(lua_State* L, const Structure& structure) {
  return push_parts(L, check_box<MailHandle>(L, 1), structure, [](const MimePart&) { return true; });
}
int attachments(lua_State* L, const Structure& structure) {
  return push_parts(L, check_box<MailHandle>(L, 1), structure,
                    [](const MimePart& part) { return part.is_attachment(); });
}

/// mail:part "1.2"
int part_of(lua_State* L, const Structure& structure) {
  const MimePart* part = structure->mime.find(check_text(L, 2));
  if (!part) return lua_pushnil(L), 1;
  return push_part(L, check_box<MailHandle>(L, 1), structure, part->index), 1;
}

// ---- contents ----

std::size_t limit_of(lua_State* L, int index, std::size_t fallback, std::size_t most) {
  const lua_Integer wanted = luaL_optinteger(L, index, static_cast<lua_Integer>(fallback));
  luaL_argcheck(L, wanted >= 0, index, "a limit is not below 0");
  // What the call could not hold need not be read.
  const Fiber& fiber = ScriptState::in_call(L, "part");
  return std::min({static_cast<std::size_t>(wanted), most, fiber.memory});
}

/// Text of at most `limit` octets; a character that does not fit is left out whole.
std::string_view cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) --limit;
  return text.substr(0, limit);
}

PartContent& content_at(lua_State* L, lua_KContext at) {
  auto& errand = *check_box<ErrandBox<ContentErrand>>(L, static_cast<int>(at)).errand;
  errand.check_answered(L);
  check_answer(L, errand.answer);
  ScriptState::charge(L, static_cast<std::int64_t>(errand.answer->read) / kReadPerStep);
  return *errand.answer;
}

/// The part stands below the errand, and the limit below that.
int give_text(lua_State* L, int, lua_KContext at) {
  const PartContent& content = content_at(L, at);
  const auto limit = static_cast<std::size_t>(lua_tointeger(L, static_cast<int>(at) - 2));
  ScriptState::charge(L, static_cast<std::int64_t>(content.text.size()) / 16);
  const std::string_view shown = cut(content.text, limit);
  push(L, shown);
  lua_pushvalue(L, static_cast<int>(at) - 1);
  lua_pushboolean(L, content.more || shown.size() < content.text.size());
  return 3;
}

/// Reads the text of the part at the top, up to `limit` octets: the text, the part, and whether there is more.
int read_text(lua_State* L, const Call& call, std::size_t limit) {
  constexpr std::size_t kLongestCharacter = 4;
  const MimePart& part = check_box<PartHandle>(L, -1).part();
  lua_pushinteger(L, static_cast<lua_Integer>(limit));
  lua_insert(L, -2);
  return wait_for(
      L, std::make_shared<ContentErrand>(call.transaction->draft, part, limit + kLongestCharacter, part.charset()),
      bound_continuation<give_text>);
}

/// What is to be read first: plain text, else HTML, of this mail and not of one that is attached to it.
const MimePart* text_part(const MimeStructure& mime) {
  const MimePart* html = nullptr;
  std::vector<bool> attached(mime.parts.size());  // it, or what it lies in, is an attached mail
  for (const MimePart& part : mime.parts) {
    if (part.parent != MimePart::kNone)
      attached[part.index] = attached[part.parent] || mime.parts[part.parent].is_message();
    if (attached[part.index] || part.type != "text" || part.disposition == "attachment") continue;
    if (part.subtype == "plain") return &part;
    if (part.subtype == "html" && !html) html = &part;
  }
  return html;
}

/// mail:text([limit]): the text, its part, and whether there is more; nil when the mail has no text.
int text_of(lua_State* L, const Structure& structure) {
  const Handle handle = check_box<MailHandle>(L, 1);
  const MimePart* part = text_part(structure->mime);
  if (!part) return lua_pushnil(L), 1;
  const std::size_t limit = limit_of(L, 2, kMaxPartText, kMaxPartText);
  push_part(L, handle, structure, part->index);
  return read_text(L, handle.call(L), limit);
}

/// part:text([limit]): nil for what is no text.
int part_text(lua_State* L) {
  const auto& handle = check_box<PartHandle>(L, 1);
  const Call& call = handle.call(L);
  check_body(L, call);
  if (handle.part().type != "text") return lua_pushnil(L), 1;
  const std::size_t limit = limit_of(L, 2, kMaxPartText, kMaxPartText);
  lua_pushvalue(L, 1);
  return read_text(L, call, limit);
}

int give_data(lua_State* L, int, lua_KContext at) {
  const PartContent& content = content_at(L, at);
  push(L, content.text);
  lua_pushboolean(L, content.more);
  return 2;
}

/// part:data([limit]): its octets with the transfer encoding undone, and whether there are more.
int part_data(lua_State* L) {
  const auto& handle = check_box<PartHandle>(L, 1);
  const Call& call = handle.call(L);
  Draft& draft = check_body(L, call);
  const std::size_t limit = limit_of(L, 2, kDefaultPartData, kMaxPartData);
  return wait_for(L, std::make_shared<ContentErrand>(&draft, handle.part(), limit, ""), bound_continuation<give_data>);
}

/// part:header(name): of the part's own header.
int part_header(lua_State* L) {
  const auto& handle = check_box<PartHandle>(L, 1);
  handle.call(L);
  const std::string& header = handle.part().header;
  ScriptState::charge(L, static_cast<std::int64_t>(header.size()) / 64 + 1);
  const auto field = HeaderBlock(header).find(check_text(L, 2));
  if (!field) return lua_pushnil(L), 1;
  ScriptState::charge(L, static_cast<std::int64_t>(field->raw_value.size()) / 8 + 1);
  return push(L, field->decoded()), 1;
}

// ---- what a part tells ----

std::string_view word_of(TransferEncoding encoding) {
  static constexpr std::string_view kWords[] = {"7bit", "8bit", "binary", "base64", "quoted-printable", "unknown"};
  return kWords[static_cast<std::size_t>(encoding)];
}

int push_parameters(lua_State* L, const std::vector<Parameter>& parameters) {
  lua_createtable(L, 0, static_cast<int>(parameters.size()));
  for (const Parameter& one : parameters) {
    push(L, one.name);
    push(L, one.value);
    lua_rawset(L, -3);
  }
  return 1;
}

int push_children(lua_State* L, const PartHandle& handle) {
  lua_newtable(L);
  lua_Integer count = 0;
  for (std::uint32_t child = handle.part().first_child; child != MimePart::kNone;
       child = handle.structure->mime.parts[child].next_sibling) {
    push_part(L, handle, handle.structure, child);
    lua_rawseti(L, -2, ++count);
  }
  return 1;
}

/// What stands in the part's own fields.
bool push_field(lua_State* L, const MimePart& part, std::string_view name) {
  if (name == "type") return push(L, part.type + "/" + part.subtype), true;
  if (name == "charset")
    return push_text_or_nil(L, part.type == "text" ? std::string_view(part.charset()) : std::string_view()), true;
  if (name == "parameters") return push_parameters(L, part.parameters), true;
  if (name == "disposition") return push_text_or_nil(L, part.disposition), true;
  if (name == "filename") return push_text_or_nil(L, part.file_name()), true;
  if (name == "encoding") return push(L, word_of(part.encoding)), true;
  if (name == "id") return push_text_or_nil(L, part.id), true;
  if (name == "description") return push_text_or_nil(L, decode_words(part.description)), true;
  if (name == "size") return lua_pushinteger(L, static_cast<lua_Integer>(part.size())), true;
  if (name == "depth") return lua_pushinteger(L, part.depth), true;
  if (name == "is_attachment") return lua_pushboolean(L, part.is_attachment()), true;
  if (name == "is_multipart") return lua_pushboolean(L, part.is_multipart()), true;
  return false;
}

int part_index(lua_State* L) {
  static constexpr std::pair<std::string_view, lua_CFunction> kMethods[] = {
      {"text", bound<part_text>}, {"data", bound<part_data>}, {"header", bound<part_header>}};
  const auto& handle = check_box<PartHandle>(L, 1);
  handle.call(L);
  const std::string_view name = check_text(L, 2);
  check_member(L, PartHandle::kName, name);
  ScriptState::charge(L, 5);
  for (const auto& [method, function] : kMethods)
    if (name == method) return lua_pushcfunction(L, function), 1;
  if (name == "children") return push_children(L, handle);
  if (name == "parent") {
    if (handle.part().parent == MimePart::kNone) return lua_pushnil(L), 1;
    return push_part(L, handle, handle.structure, handle.part().parent), 1;
  }
  if (push_field(L, handle.part(), name)) return 1;
  return no_field(L, PartHandle::kName, name);
}

int part_text_of(lua_State* L) {
  const auto& handle = check_box<PartHandle>(L, 1);
  handle.call(L);
  return push(L, "part " + handle.part().type + "/" + handle.part().subtype), 1;
}

int part_equal(lua_State* L) {
  const PartHandle* a = test_box<PartHandle>(L, 1);
  const PartHandle* b = test_box<PartHandle>(L, 2);
  return lua_pushboolean(L, a && b && a->structure->id == b->structure->id && a->index == b->index), 1;
}

}  // namespace

const luaL_Reg kPartMethods[] = {{"parts", bound<with_structure<parts>>},
                                 {"part", bound<with_structure<part_of>>},
                                 {"attachments", bound<with_structure<attachments>>},
                                 {"text", bound<with_structure<text_of>>},
                                 {nullptr, nullptr}};

void open_parts(lua_State* L) {
  constexpr luaL_Reg kPart[] = {
      {"__index", bound<part_index>}, {"__tostring", bound<part_text_of>}, {"__eq", part_equal}, {nullptr, nullptr}};
  constexpr luaL_Reg kErrand[] = {{nullptr, nullptr}};
  define_box<PartHandle>(L, kPart);
  define_box<ErrandBox<StructureErrand>>(L, kErrand);
  define_box<ErrandBox<ContentErrand>>(L, kErrand);
}

}  // namespace postern::lua

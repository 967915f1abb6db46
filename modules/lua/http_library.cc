// postern.http: get and post.
//
//   local page, err = postern.http.get("https://example.org/x", { timeout = "2s", max_size = "10 KiB" })
//   local reply, err = postern.http.post(URL, { content_type = "application/json", body =
//   postern.json.encode(mail_data) }) if page and page.status == 200 then use(page.body, page.headers["x-score"]) end
//
// A response is a table: status, ok (2xx), body, content_type, and headers by their names in lower case; fields of one
// name are joined by ", " (RFC 9110 §5.3). How long and how much is bounded by [http], which a script may narrow. In
// the trail stand URL, status, fields and body of the answer, and of what was sent its size and hash alone.
#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "ask.h"
#include "bind.h"
#include "libraries.h"
#include "postern/diagnostics.h"
#include "postern/http.h"
#include "postern/schema.h"
#include "postern/text.h"

namespace postern::lua {
namespace {

constexpr Duration kLongest = std::chrono::minutes(10);        // [http] timeout is shorter
constexpr std::size_t kLargest = std::size_t{64} << 20;        // likewise max_size
constexpr std::size_t kMaxRequestBody = std::size_t{8} << 20;  // octets that a script sends
constexpr std::size_t kMaxRequestFields = 50;
constexpr std::int64_t kOctetsPerStep = 64;

class HttpQuestion final : public Question {
 public:
  explicit HttpQuestion(HttpRequest request) : request_(std::move(request)) {}
  Task<void> run(Effects& effects) override { answer_ = co_await effects.http(std::move(request_)); }

  int push_answer(lua_State* L) override {
    if (!answer_) return push_fault(L, answer_.error());
    ScriptState::charge(L, static_cast<std::int64_t>(answer_->body.size()) / kOctetsPerStep);
    lua_createtable(L, 0, 5);
    lua_pushinteger(L, answer_->status);
    lua_setfield(L, -2, "status");
    lua_pushboolean(L, answer_->status >= 200 && answer_->status < 300);
    lua_setfield(L, -2, "ok");
    push(L, answer_->body);
    lua_setfield(L, -2, "body");
    push(L, answer_->content_type);
    lua_setfield(L, -2, "content_type");
    push_headers(L);
    lua_setfield(L, -2, "headers");
    return 1;
  }

 private:
  void push_headers(lua_State* L) const {
    std::map<std::string, std::string> joined;
    for (const HttpHeader& field : answer_->headers) {
      auto [place, made] = joined.try_emplace(to_lower(field.name), field.value);
      if (!made) place->second.append(", ").append(field.value);
    }
    lua_createtable(L, 0, static_cast<int>(joined.size()));
    for (const auto& [name, value] : joined) {
      push(L, name);
      push(L, value);
      lua_rawset(L, -3);
    }
  }

  HttpRequest request_;
  Result<HttpResponse> answer_;
};

/// The text at the top, or of a secret; raises for what is neither. Pops it. The copy is of the call's memory.
std::string take_text(lua_State* L, const char* what) {
  std::string_view text;
  if (const auto* secret = test_box<SecretBox>(L, -1))
    text = secret->text;
  else if (lua_isstring(L, -1))
    text = check_text(L, -1);
  else
    luaL_error(L, "%s must be a string", what);
  if (text.size() > kMaxRequestBody) luaL_error(L, "the %s is too large to be sent", what);
  ScriptState::hold_memory(L, text.size());
  std::string out(text);
  lua_pop(L, 1);
  return out;
}

void read_headers(lua_State* L, int options, HttpRequest& request) {
  lua_getfield(L, options, "headers");
  if (lua_isnil(L, -1)) return lua_pop(L, 1);
  if (!lua_istable(L, -1)) luaL_error(L, "headers must be a table");
  const int headers = lua_gettop(L);
  if (push_frozen_store(L, headers)) lua_replace(L, headers);
  push_sorted_keys(L, headers);
  const int keys = lua_gettop(L);
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, keys));
  if (static_cast<std::size_t>(count) > kMaxRequestFields)
    luaL_error(L, "more than %d header fields", static_cast<int>(kMaxRequestFields));
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(L, keys, i);
    if (lua_type(L, -1) != LUA_TSTRING) luaL_error(L, "the names of headers are strings");
    std::string name(raw_text(L, -1));
    lua_gettable(L, headers);
    request.headers.push_back({std::move(name), take_text(L, "value of a header")});
  }
  lua_settop(L, headers - 1);
}

std::size_t size_field(lua_State* L, int options, const char* name, std::size_t fallback) {
  lua_getfield(L, options, name);
  std::size_t octets = fallback;
  if (lua_type(L, -1) == LUA_TNUMBER) {
    const lua_Integer number = luaL_checkinteger(L, -1);
    if (number < 1) luaL_error(L, "%s must be above 0", name);
    octets = static_cast<std::size_t>(number);
  } else if (!lua_isnil(L, -1)) {
    const auto size = parse_size(check_text(L, -1));
    if (!size || size->bytes == 0) luaL_error(L, "%s must be octets, or a text such as \"10 KiB\"", name);
    octets = size->bytes;
  }
  lua_pop(L, 1);
  return std::min(octets, kLargest);
}

/// Refuses what is misspelt, so that no limit is lost by a typing error.
void check_options(lua_State* L, int options, bool post) {
  push_sorted_keys(L, options);
  const auto count = static_cast<lua_Integer>(lua_rawlen(L, -1));
  for (lua_Integer i = 1; i <= count; ++i) {
    lua_rawgeti(L, -1, i);
    const std::string_view key = lua_type(L, -1) == LUA_TSTRING ? raw_text(L, -1) : std::string_view("?");
    static constexpr std::string_view kWords[] = {"headers", "timeout", "max_size", "body", "content_type"};
    const std::span<const std::string_view> words(kWords, post ? 5 : 3);  // a GET has no body
    if (std::ranges::find(words, key) == words.end()) {
      std::string text = fmt::format("no option '{}'", key);
      if (const std::string hint = did_you_mean(key, words); !hint.empty()) text += "; " + hint;
      luaL_error(L, "%s", text.c_str());
    }
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

int ask(lua_State* L, const char* what, bool post) {
  ScriptState::in_call(L, what);
  HttpRequest request;
  request.method = post ? "POST" : "GET";
  const std::string_view url = check_text(L, 1);
  ScriptState::hold_memory(L, url.size());
  request.url = url;
  request.timeout = kLongest;
  request.max_body_octets = kLargest;
  if (!lua_isnoneornil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    if (push_frozen_store(L, 2)) lua_replace(L, 2);
    check_options(L, 2, post);
    request.timeout = duration_field(L, 2, "timeout").value_or(kLongest);
    request.max_body_octets = size_field(L, 2, "max_size", kLargest);
    read_headers(L, 2, request);
    if (lua_getfield(L, 2, "content_type") != LUA_TNIL)
      request.headers.push_back({"Content-Type", take_text(L, "content_type")});
    else
      lua_pop(L, 1);
    if (lua_getfield(L, 2, "body") != LUA_TNIL)
      request.body = take_text(L, "body");
    else
      lua_pop(L, 1);
  }
  ScriptState::charge(L, static_cast<std::int64_t>(request.body.size()) / kOctetsPerStep);
  return wait_for(L, what, std::make_shared<HttpQuestion>(std::move(request)));
}

int get(lua_State* L) {
  return ask(L, "http.get", false);
}
int post(lua_State* L) {
  return ask(L, "http.post", true);
}

}  // namespace

void open_http(lua_State* L) {
  constexpr luaL_Reg kHttp[] = {{"get", bound<get>}, {"post", bound<post>}, {nullptr, nullptr}};
  push_postern(L);
  set_table(L, "http", kHttp);
  lua_settop(L, 0);
}

}  // namespace postern::lua

// postern.json: the forms of values, hostile texts, and limits.
#include "lua_for_tests.h"
#include "text_library.h"

namespace postern::lua {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("values are written as JSON") {
  World world;
  const auto is = [&](const std::string& value, const std::string& wanted) {
    const std::string got = world.eval("local json = postern.json return json.encode(" + value + ")");
    CHECK_MESSAGE(got == "is " + wanted, value << " gives " << got);
  };
  is("nil", "null");
  is("json.null", "null");
  is("true", "true");
  is("-12", "-12");
  is("math.mininteger", "-9223372036854775808");
  is("0.1", "0.1");
  is("1e300", "1e+300");
  is("'a\"b\\\\c\\n\\0'", "\"a\\\"b\\\\c\\n\\u0000\"");
  is("'\xC3\xA4'", "\"\xC3\xA4\"");
  is("'a\\xFFb\\xC3'",
     "\"a\xEF\xBF\xBD"
     "b\xEF\xBF\xBD\"");
  is("{}", "{}");
  is("json.array {}", "[]");
  is("json.array()", "[]");
  is("{1, 'x', {true}}", "[1,\"x\",[true]]");
  is("{b = 1, a = {c = json.null}}", "{\"a\":{\"c\":null},\"b\":1}");
  is("session.client.ip", "\"203.0.113.9\"");
  is("json.decode '[]'", "[]");
  is("json.decode '{\"a\":[],\"b\":{}}'", "{\"a\":[],\"b\":{}}");
  for (const std::string wrong : {"0/0", "1/0", "{1, a = 2}", "{[2] = 1}", "{[true] = 1}", "print", "{print}",
                                  "{[{}] = 1}", "session", "coroutine.create(print)"})
    CHECK_MESSAGE(world.eval("return pcall(postern.json.encode, " + wrong + ")") == "is false", wrong);
  CHECK(world.eval("return pcall(postern.json.encode)") == "is false");
}

TEST_CASE("JSON is read into values") {
  World world;
  const auto is = [&](const std::string& text, const std::string& what, const std::string& wanted) {
    const std::string got =
        world.eval("local json = postern.json local v, err = json.decode [==[" + text + "]==] return " + what);
    CHECK_MESSAGE(got == "is " + wanted, text << " gives " << got);
  };
  is("null", "v == json.null", "true");
  is("null", "tostring(v)", "null");
  is("true", "v", "true");
  is("\"a\\u00e4\\ud83d\\ude00\\u0000\"", "#v", "8");
  is("12", "math.type(v) .. v", "integer12");
  is("12.0", "math.type(v)", "float");
  is("-0", "v", "0");
  is("9223372036854775807", "v", "9223372036854775807");
  is("9223372036854775808", "math.type(v)", "float");
  is("99999999999999999999999999", "math.type(v)", "float");
  is("[1,[2,3],{\"a\":[]}]", "#v .. v[2][2] .. #v[3].a", "330");
  is("{\"a\":{\"b\":null},\"a\":7}", "v.a", "7");
  is(" \t\n[ ] ", "#v", "0");
  is("{\"x\":1,\"y\":[true,null]}", "json.encode(v)", "{\"x\":1,\"y\":[true,null]}");
  for (const std::string wrong :
       {"",   " ",  "nul",      "[1,]",   "{\"a\"}", "{a:1}",    "[1 2]",       "01",       "+1",
        "1.", ".5", "1e999",    "-1e999", "\"\\x\"", "\"\x01\"", "\"\\ud800\"", "\"\xFF\"", "\"\xC0\x80\"",
        "[",  "]",  "{\"a\":1", "1 1",    "'a'",     "NaN",      "/* */ 1",     "\xEF\xBB"})
    is(wrong, "tostring(v) .. tostring(err):sub(1, 18)", "nilnot JSON (at octet");
  is("[1,x]", "err", "not JSON (at octet 4)");
}

TEST_CASE("deep JSON is refused as data, not as a fault") {
  World world;
  CHECK(world.eval("local v, err = postern.json.decode(('['):rep(10000)) return tostring(v) .. err") ==
        "is nilnested deeper than 100");
  CHECK(world.eval("local v, err = postern.json.decode(('{\"a\":'):rep(10000)) return err") ==
        "is nested deeper than 100");
  CHECK(world.eval("local v, err = postern.json.decode(('['):rep(100) .. (']'):rep(100)) return type(v)") ==
        "is table");
  CHECK(world.eval("local v, err = postern.json.decode(('['):rep(101) .. (']'):rep(101)) return type(v)") == "is nil");
  CHECK(has(world.eval("local t = {} t[1] = t return select(2, pcall(postern.json.encode, t))"),
            "nested deeper than 100, or inside itself"));
  CHECK(world.eval("local t = postern.json.array() for i = 1, 99 do t = {t} end return #postern.json.encode(t)") ==
        "is 200");
}

TEST_CASE("large JSON is bounded by its own limit and by those of the call") {
  World world;
  world.limits.instructions = 10'000'000;  // long strings are metered: a busy machine must not decide here
  CHECK(has(world.eval("local v, err = postern.json.decode('\"' .. ('x'):rep(8 << 20) .. '\"') return err"),
            "more than 8 MiB of JSON"));
  CHECK(has(world.eval("return select(2, pcall(postern.json.encode, ('x'):rep(8 << 20)))"), "more than 8 MiB of JSON"));
  // Tables that hold one table many times would grow without end.
  CHECK(world.eval("local t = {1, 1} for i = 1, 60 do t = {t, t} end return postern.json.encode(t)")
            .starts_with("script."));
  CHECK(world.eval("return #postern.json.decode('[' .. ('[],'):rep(500000) .. '1]')").starts_with("script."));
  CHECK(world.eval("while true do pcall(postern.json.decode, '[1,2,3]') end").starts_with("script."));
  CHECK(world.eval("return #postern.json.decode('[' .. ('1,'):rep(50000) .. '1]')") == "is 50001");
  CHECK(world.said() == "is 50001");
}

TEST_CASE("what was decoded at load is frozen and still written as it was") {
  World world;
  REQUIRE_MESSAGE(world.load(R"(local postern = require 'postern'
    local json = postern.json
    local KEPT = json.decode '{"list":[],"map":{},"n":[1,{"b":1,"a":null}]}'
    postern.on('rcpt', function()
      assert(not pcall(function() KEPT.x = 1 end))
      assert(not pcall(function() KEPT.list[1] = 1 end))
      assert(getmetatable(KEPT.list) == false)
      local fresh = json.decode '[]'
      assert(getmetatable(fresh) == false and not pcall(setmetatable, fresh, {}))
      fresh[1] = KEPT.n
      return postern.reject(550, '5.0.0', json.encode(KEPT) .. json.encode(fresh) .. json.encode(json.array {}))
    end))"),
                  world.problems);
  const std::string kept = R"({"list":[],"map":{},"n":[1,{"a":null,"b":1}]}[[1,{"a":null,"b":1}]][])";
  CHECK(world.said() == kept);
  CHECK(world.said() == kept);
}

TEST_CASE("garbage is read or refused, and what was read is written back alike") {
  World world;
  REQUIRE(world.load(R"(local postern = require 'postern'
    local json = postern.json
    postern.on('rcpt', function(session, rcpt, mail)
      local v, err = json.decode(mail.notes.text)
      if v == nil then return postern.reject(550, '5.0.0', 'refused ' .. #err) end
      local once = json.encode(v)
      assert(json.encode(json.decode(once)) == once)
      return postern.reject(550, '5.0.0', 'good')
    end))"));
  const std::vector<std::string> words = {"[",      "]",  "{",      "}",    ",",    ":",           "\"a\"",
                                          "\"b\"",  "1",  "-2.5e3", "null", "true", "\"\\u00e4\"", " ",
                                          "\"a\":", "[]", "{}",     "\xFF", "\\",   "1e400"};
  int good = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (std::uint64_t n = world.sim.worker(0).random() % 6; n; --n)
      text += words[world.sim.worker(0).random() % words.size()];
    world.mail.notes["text"] = round % 2 ? "[" + text + "]" : text;
    const std::string said = world.said();
    const bool fine = said == "good" || said.starts_with("refused");
    CHECK_MESSAGE(fine, said << " for " << text);
    good += said == "good";
  }
  CHECK(good > 200);
}

}  // namespace
}  // namespace postern::lua

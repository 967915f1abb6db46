// postern.base64, hex, hash and time: known values, and garbage.
#include "lua_for_tests.h"
#include "text_library.h"

namespace postern::lua {
namespace {

TEST_CASE("base64 and hex go there and back, and refuse what they have not made") {
  World world;
  const auto is = [&](const std::string& expression, const std::string& wanted) {
    const std::string got = world.eval("local base64, hex = postern.base64, postern.hex return " + expression);
    CHECK_MESSAGE(got == "is " + wanted, expression << " gives " << got);
  };
  is("base64.encode 'foobar'", "Zm9vYmFy");
  is("base64.encode 'f'", "Zg==");
  is("base64.encode ''", "");
  is("base64.decode 'Zm9vYg=='", "foob");
  is("base64.decode(base64.encode('\\0\\255\\n')) == '\\0\\255\\n'", "true");
  for (const std::string wrong :
       {"Zg", "Zg=", "Zh==", "Z===", "Zm9v Ymfy", "Zm9v\\n", "====", "Zm9v-_==", "\\0\\0\\0\\0", "\xC3\xA4"})
    is("base64.decode('" + wrong + "')", "nil");
  is("hex.encode '\\0\\255az'", "00ff617a");
  is("hex.decode '00FF617a' == '\\0\\255az'", "true");
  for (const std::string wrong : {"0", "0g", "00 ff", "0x00"}) is("hex.decode('" + wrong + "')", "nil");
  is("pcall(base64.encode, {})", "false");
  is("pcall(hex.decode)", "false");
}

TEST_CASE("hashes are those of the standards") {
  World world;
  const auto is = [&](const std::string& expression, const std::string& wanted) {
    const std::string got = world.eval("local hash = postern.hash return " + expression);
    CHECK_MESSAGE(got == "is " + wanted, expression << " gives " << got);
  };
  is("hash.sha256 'abc'", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-4
  is("hash.sha256 ''", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  is("hash.sha1 'abc'", "a9993e364706816aba3e25717850c26c9cd0d89d");
  is("hash.md5 'message digest'", "f96b697d7cb7938d525a2f31aaf161d0");  // RFC 1321 §A.5
  is("hash.hmac_sha256('Jefe', 'what do ya want for nothing?')",        // RFC 4231 §4.3
     "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  is("hash.md5('', 'base64')", "1B2M2Y8AsgTpgAmY7PhCfg==");
  is("#hash.sha256('', 'raw')", "32");
  is("postern.hex.encode(hash.hmac_sha256('', '', 'raw')):sub(1, 8)", "b613679a");
  is("hash.equal('abc', 'abc')", "true");
  is("hash.equal('abc', 'abd')", "false");
  is("hash.equal('abc', 'ab')", "false");
  is("hash.equal('', '')", "true");
  is("pcall(hash.sha256, 'x', 'binary')", "false");
  is("pcall(hash.sha256, nil)", "false");
}

TEST_CASE("times are pure conversions of numbers") {
  World world;
  const auto is = [&](const std::string& expression, const std::string& wanted) {
    const std::string got = world.eval("local time = postern.time return " + expression);
    CHECK_MESSAGE(got == "is " + wanted, expression << " gives " << got);
  };
  is("time.format_rfc5322(0)", "Thu, 1 Jan 1970 00:00:00 +0000");
  is("time.format_rfc5322(1795302277.9)", "Sat, 21 Nov 2026 23:04:37 +0000");
  is("time.rfc3339(1795302277)", "2026-11-21T23:04:37Z");
  is("time.rfc3339(-1)", "1969-12-31T23:59:59Z");
  is("time.parse_rfc5322 'Sat, 21 Nov 2026 18:04:37 -0500'", "1795302277");
  is("select(2, time.parse_rfc5322 'Sat, 21 Nov 2026 18:04:37 -0500')", "-300");
  is("select('#', time.parse_rfc5322 '21 Nov 26 23:04 -0000')", "2");
  is("select(2, time.parse_rfc5322 '21 Nov 26 23:04 -0000')", "nil");
  is("time.parse_rfc3339 '2026-11-21T23:04:37Z'", "1795302277");
  is("time.parse_rfc3339 '2026-11-21T23:04:37.5Z'", "1795302277.5");
  is("time.parse_rfc3339 'yesterday'", "nil");
  is("time.parse_rfc5322 'yesterday'", "nil");
  is("time.parse_rfc5322 ''", "nil");
  is("time.parse_rfc5322(('('):rep(100000))", "nil");
  is("time.rfc3339(253402300799)", "9999-12-31T23:59:59Z");
  is("time.rfc3339(-62167219200)", "0000-01-01T00:00:00Z");
  for (const std::string wrong : {"253402300800", "-62167219201", "1e300", "0/0", "1/0", "'x'", "nil", "{}"}) {
    is("pcall(time.rfc3339, " + wrong + ")", "false");
    is("pcall(time.format_rfc5322, " + wrong + ")", "false");
  }
}

TEST_CASE("long texts are charged") {
  World world;
  for (const std::string call : {"postern.hash.sha256(t)", "postern.hash.hmac_sha256(t, t)", "postern.base64.encode(t)",
                                 "postern.hex.encode(t)", "postern.base64.decode(t)", "postern.hash.equal(t, t)"})
    CHECK_MESSAGE(world.eval("local t = ('a'):rep(1 << 20) while true do pcall(function() return " + call + " end) end")
                      .starts_with("script."),
                  call);
}

TEST_CASE("the text library works while scripts are loaded, and asks nothing of the world") {
  World world;
  REQUIRE_MESSAGE(world.load(R"(local postern = require 'postern'
    local KEY = postern.hash.sha256 'key'
    local TOKENS = { postern.base64.encode 'x', postern.hex.encode 'y', postern.time.rfc3339(0) }
    postern.on('rcpt', function()
      return postern.reject(550, '5.0.0', KEY:sub(1, 8) .. table.concat(TOKENS, ' '))
    end))"),
                  world.problems);
  CHECK(world.said() == "2c70e12beA== 79 1970-01-01T00:00:00Z");
}

}  // namespace
}  // namespace postern::lua

// Sets of networks and domains, maps, and the files they are read from.
#include <algorithm>
#include <map>

#include "data_files.h"
#include "lua_for_tests.h"
#include "sets.h"
#include "text_library.h"

namespace postern::lua {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("a set of networks knows what lies in them") {
  World world;
  const std::string make =
      "local set = postern.ipset { '192.0.2.0/24', '192.0.2.128/25', '198.51.100.7', "
      "'2001:db8::/32', postern.ip '203.0.113.1' }\n";
  CHECK(world.eval(make + "return #set") == "is 5");
  for (const std::string in : {"192.0.2.0", "192.0.2.255", "198.51.100.7", "2001:db8::1",
                               "2001:db8:ffff::", "203.0.113.1", "::ffff:192.0.2.1"})
    CHECK_MESSAGE(world.eval(make + "return set:contains '" + in + "'") == "is true", in);
  for (const std::string out :
       {"192.0.1.255", "192.0.3.0", "198.51.100.8", "2001:db9::", "::1", "nonsense", "", "192.0.2"})
    CHECK_MESSAGE(world.eval(make + "return set:contains '" + out + "'") == "is false", out);
  CHECK(world.eval(make + "return set:contains(session.client.ip)") == "is false");
  CHECK(world.eval("return postern.ipset { '203.0.113.0/24' }:contains(session.client.ip)") == "is true");
  CHECK(world.eval("return postern.ipset {}:contains(session.client.ip)") == "is false");
  CHECK(world.eval("return postern.ipset { '0.0.0.0/0' }:contains '255.255.255.255'") == "is true");
  CHECK(world.eval("return postern.ipset { '::/0' }:contains '255.255.255.255'") == "is false");
  for (const std::string wrong :
       {"postern.ipset { '192.0.2.1/24' }", "postern.ipset { 'example.org' }", "postern.ipset { true }",
        "postern.ipset 'x'", "postern.ipset {}.nothing", "postern.ipset {}:contains(12)", "postern.ipset.files",
        "postern.ipset.file 'x'", "postern.ipset()"})
    CHECK_MESSAGE(world.eval("return pcall(function() return " + wrong + " end)") == "is false", wrong);
}

TEST_CASE("a set of networks agrees with asking each of them") {
  SimRuntime sim({.seed = 3});
  for (int round = 0; round < 50; ++round) {
    std::vector<IpNetwork> networks;
    for (std::uint64_t n = sim.worker(0).random() % 20; n; --n) {
      const auto prefix = static_cast<int>(sim.worker(0).random() % 33);
      const auto bits = static_cast<std::uint32_t>(sim.worker(0).random()) & 0x0F00000FU;
      const std::uint32_t mask = prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix);
      networks.push_back(*IpNetwork::parse(IpAddress::v4(bits & mask).to_string() + "/" + std::to_string(prefix)));
      std::array<std::uint8_t, 16> octets{};
      octets[0] = static_cast<std::uint8_t>(sim.worker(0).random() % 4);
      networks.push_back(*IpNetwork::parse(IpAddress::v6(octets).to_string() + "/" +
                                           std::to_string(8 + sim.worker(0).random() % 121)));
    }
    const IpSet set(networks);
    for (int probe = 0; probe < 200; ++probe) {
      std::array<std::uint8_t, 16> octets{};
      octets[0] = static_cast<std::uint8_t>(sim.worker(0).random() % 5);
      octets[15] = static_cast<std::uint8_t>(sim.worker(0).random() % 2);
      for (const IpAddress& ip :
           {IpAddress::v4(static_cast<std::uint32_t>(sim.worker(0).random()) & 0x0F00000FU), IpAddress::v6(octets)})
        CHECK(set.contains(ip) ==
              std::ranges::any_of(networks, [&](const IpNetwork& one) { return one.contains(ip); }));
    }
  }
}

TEST_CASE("a set of domains knows names and what lies below") {
  World world;
  const std::string make =
      "local set = postern.domainset { 'Example.ORG', '.example.net', 'b\xC3\xBC"
      "cher.example', '.zip', 'example.org' }\n";
  for (const std::string in :
       {"example.org", "EXAMPLE.org", "example.org.", "a.example.net", "b.A.example.NET", "xn--bcher-kva.example",
        "B\xC3\xBC"
        "cher.example",
        "file.zip"})
    CHECK_MESSAGE(world.eval(make + "return set:contains '" + in + "'") == "is true", in);
  for (const std::string out : {"a.example.org", "example.net", "notexample.net", "badexample.org", ".example.net",
                                "zip", "", ".", "..", "\\xFF.example.net\\xFF", "org"})
    CHECK_MESSAGE(world.eval(make + "return set:contains '" + out + "'") == "is false", out);
  CHECK(world.eval(make + "return set:contains(nil)") == "is false");
  CHECK(world.eval(make + "return set:contains(('a.'):rep(500000) .. 'example.net')") == "is false");
  CHECK(world.eval(make + "return #set") == "is 5");
  for (const std::string wrong :
       {"postern.domainset { 'a..b' }", "postern.domainset { '.' }", "postern.domainset { '' }",
        "postern.domainset { '[192.0.2.1]' }", "postern.domainset {}:contains(true)"})
    CHECK_MESSAGE(world.eval("return pcall(function() return " + wrong + " end)") == "is false", wrong);
}

TEST_CASE("wrong entries of a script are reported all at once") {
  World world;
  CHECK(
      !world.load("local postern = require 'postern'\nlocal A = postern.ipset { '192.0.2.1/24',\n 'x' }\n"
                  "local B = postern.domainset { 'a..b' }\n"));
  CHECK_MESSAGE(has(world.problems, "test.lua:2:27: error: entry 1, \"192.0.2.1/24\", is neither"), world.problems);
  CHECK_MESSAGE(has(world.problems, "entry 2, \"x\", is neither"), world.problems);
  CHECK_MESSAGE(has(world.problems, "test.lua:4:31: error: entry 1, \"a..b\", is no domain"), world.problems);
}

TEST_CASE("sets and maps are read from files below the script folders, again with each load") {
  World world;
  const std::string script = R"(local postern = require 'postern'
    local BAD = postern.ipset.file 'lists/bad.txt'
    local OURS = postern.domainset.file 'ours.txt'
    local ROUTES = postern.map.file 'routes.csv'
    local NAMES = postern.map.file 'names.toml'
    postern.on('rcpt', function(session)
      local keys = {}
      for key, value in pairs(ROUTES) do keys[#keys + 1] = key .. '>' .. value end
      assert(not pcall(function() ROUTES.x = 'y' end))
      return postern.reject(550, '5.0.0', tostring(BAD:contains(session.client.ip)) .. ' ' ..
        tostring(OURS:contains 'mx.example.org') .. ' ' .. table.concat(keys, ' ') .. ' ' .. (NAMES['a b'] or '?'))
    end))";
  world.write("lists/bad.txt", "# comment\n\n  203.0.113.0/24   # a client\r\n2001:db8::/32\n");
  world.write("ours.txt", "\xEF\xBB\xBF.example.org");
  world.write("routes.csv", "# to,where\nexample.org , mx1.example.org\n\"a,b\",\"say \"\"hi\"\"\"\r\n");
  world.write("names.toml", "# names\nbare-key_1 = 'lit\\eral'   # comment\n\"a b\" = \"tab\\u00e4\"\n");
  REQUIRE_MESSAGE(world.load(script), world.problems);
  const std::uint64_t before = world.rules->hash;
  CHECK(world.said() == "true true a,b>say \"hi\" example.org>mx1.example.org tab\xC3\xA4");
  world.write("lists/bad.txt", "198.51.100.0/24\n");
  REQUIRE(world.load(script));
  CHECK(world.said().starts_with("false true "));
  CHECK(world.rules->hash != before);
}

TEST_CASE("what is wrong in a file is reported with its line") {
  World world;
  world.write("bad.txt", "192.0.2.0/24\nnonsense\n192.0.2.1/24 # host bits\n10.0.0.0/8 11.0.0.0/8\n");
  CHECK(!world.load("local postern = require 'postern'\nlocal A = postern.ipset.file 'bad.txt'\n"));
  CHECK_MESSAGE(has(world.problems, "bad.txt:2:1: error: \"nonsense\" is neither"), world.problems);
  CHECK_MESSAGE(has(world.problems, "bad.txt:3:1: error: \"192.0.2.1/24\" is neither"), world.problems);
  CHECK_MESSAGE(has(world.problems, "bad.txt:4:12: error: an entry ends here"), world.problems);
  CHECK(!has(world.problems, "bad.txt:1"));

  world.write("bad.csv", "a,b\nonly\na,again\nx,y,z\nq\"x,y\n\"open,y\n");
  CHECK(!world.load("local postern = require 'postern'\nlocal A = postern.map.file 'bad.csv'\n"));
  for (const std::string part :
       {"bad.csv:2:5: error: a line must have two columns", "bad.csv:3:1: error: \"a\" stands in line 1 already",
        "bad.csv:4:4: error: a line must have two columns; what holds a comma", "bad.csv:5:2: error: a quote inside",
        "bad.csv:6:1: error: this quote is never closed"})
    CHECK_MESSAGE(has(world.problems, part), world.problems);

  world.write("bad.toml",
              "ok = 'x'\n[table]\nn = 1\na.b = 'x'\nok = 'y'\nm = \"\"\"x\"\"\"\ne = \"\\q\"\nu = \"\\uD800\"\n"
              "open = 'x\nno value\ntail = 'x' y\n");
  CHECK(!world.load("local postern = require 'postern'\nlocal A = postern.map.file 'bad.toml'\n"));
  for (const std::string part :
       {"bad.toml:2:1: error: a table has no place", "bad.toml:3:5: error: the value must be a string",
        "bad.toml:4:2: error: a dotted key", "bad.toml:5:1: error: \"ok\" stands in line 1 already",
        "bad.toml:6:5: error: a string over several lines", "bad.toml:7:6: error: not an escape",
        "bad.toml:8:6: error: not an escape", "bad.toml:9:8: error: this quote is never closed",
        "bad.toml:10:4: error: a `=` must follow", "bad.toml:11:12: error: the value ends here"})
    CHECK_MESSAGE(has(world.problems, part), part << " is not in " << world.problems);
}

TEST_CASE("a file elsewhere is never read") {
  World world;
  const std::string secret = world.write("secret.txt", "192.0.2.0/24\n");
  std::filesystem::create_directories(world.folder / "scripts");
  std::filesystem::create_symlink(secret, world.folder / "scripts" / "link.txt");
  world.write("scripts/folder.csv/x", "");
  const auto problem = [&](const std::string& call) {
    const std::string file =
        world.write("scripts/it.lua", "local postern = require 'postern'\nlocal A = postern." + call);
    LuaEngine engine(world.limits, {world.folder / "scripts"});
    Diagnostics diagnostics;
    const auto rules = engine.load({file}, *world.registry, diagnostics);
    CHECK(rules == nullptr);
    return diagnostics.render();
  };
  CHECK(has(problem("ipset.file '../secret.txt'"), "it.lua:2:30: error: the file \"../secret.txt\" is not named by"));
  CHECK(has(problem("ipset.file '" + secret + "'"), "is not named by a path below the script folders"));
  CHECK(has(problem("ipset.file 'a\\0b'"), "is not named by"));
  CHECK(has(problem("ipset.file 'link.txt'"), "lies outside of the script folders"));
  CHECK(has(problem("domainset.file 'missing.txt'"), "is not below the script folders"));
  CHECK(has(problem("map.file 'folder.csv'"), "cannot be read"));
  CHECK(has(problem("map.file 'map.txt'"), "ends with .csv or .toml"));
  CHECK(has(problem("ipset.file ''"), "is not named by"));
}

TEST_CASE("files are read while scripts are loaded, never while mail is handled") {
  World world;
  world.write("list.txt", "192.0.2.0/24\n");
  CHECK(has(world.eval("return postern.ipset.file 'list.txt'"), "ipset.file: only while scripts are loaded"));
  CHECK(has(world.eval("return postern.map.file 'x.csv'"), "map.file: only while scripts are loaded"));
}

TEST_CASE("sets that a call makes count as its memory") {
  World world;
  CHECK(world
            .eval("local t = {} for i = 1, 20000 do t[i] = '10.0.' .. i // 256 % 256 .. '.' .. i % 256 end\n"
                  "return #postern.ipset(t)")
            .starts_with("is 20000"));
  CHECK(world
            .eval("local t = {} for i = 1, 20000 do t[i] = 'host' .. i .. '.example.org' end\n"
                  "for i = 1, 1000 do postern.domainset(t) end")
            .starts_with("script."));
  CHECK(has(world.eval("return postern.ipset(setmetatable({}, {__len = function() return 1 << 40 end}))"),
            "more than 1000000 entries"));
}

TEST_CASE("a large list is read within the limits of loading") {
  World world;
  std::string list;
  for (int i = 0; i < 200'000; ++i) list += "host" + std::to_string(i) + ".example.org\n";
  world.write("large.txt", list);
  REQUIRE(world.load(R"(local postern = require 'postern'
    local LARGE = postern.domainset.file 'large.txt'
    postern.on('rcpt', function()
      return postern.reject(550, '5.0.0', #LARGE .. tostring(LARGE:contains 'HOST199999.example.org') ..
        tostring(LARGE:contains 'host200000.example.org'))
    end))"));
  CHECK(world.said() == "200000truefalse");
}

TEST_CASE("garbage files are read or reported, never worse") {
  SimRuntime sim({.seed = 5});
  const std::string alphabet = "ab,\"'#=.\\u0 \t\r\n[]{}\xC3\xA4";
  int pairs = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (std::uint64_t n = sim.worker(0).random() % 40; n; --n)
      text += alphabet[sim.worker(0).random() % alphabet.size()];
    const auto source = std::make_shared<const SourceText>("garbage", text);
    Diagnostics diagnostics;
    for (const DataEntry& one : read_list(source, diagnostics)) CHECK(!one.text.empty());
    for (const auto read : {read_csv, read_flat_toml}) {
      std::map<std::string, std::string> seen;
      for (const DataPair& pair : read(source, diagnostics)) CHECK(seen.emplace(pair.key, pair.value).second);
      pairs += static_cast<int>(seen.size());
    }
    CHECK(diagnostics.render().empty() == !diagnostics.has_errors());
  }
  CHECK(pairs > 500);
}

}  // namespace
}  // namespace postern::lua

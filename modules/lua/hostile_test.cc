// Scripts that mean harm. Each may fail its own call and nothing else: the fault has the code that the README names,
// the next call in the same state is well, and no turn of the loop takes longer than kLongestTurn of the processor.
//
// Time is that of the thread (CLOCK_THREAD_CPUTIME_ID), the best of some tries, so that other work on the machine
// decides nothing. Builds that are slow on purpose check only that each call ends by its limit.
#include <ctime>

#include <algorithm>
#include <array>
#include <string_view>

#include "libraries.h"
#include "lua_for_tests.h"
#include "state.h"

namespace postern::lua {
namespace {

constexpr std::chrono::milliseconds kLongestTurn{50};
constexpr int kTries = 5;

std::chrono::nanoseconds thread_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

struct Case {
  std::string_view name;
  std::string_view ends;  ///< codes of faults it may end with, without "script."; "well": it may also end well
  std::string_view body;
};

// clang-format off
constexpr Case kLoops[] = {
    {"empty while", "instructions", "while true do end"},
    {"empty repeat", "instructions", "repeat until false"},
    {"goto", "instructions", "::again:: goto again"},
    {"a tail call with ever more arguments", "instructions memory error", "local function f(...) return f(1, 2, ..., ...) end f(1)"},
    {"a call with ever more arguments", "instructions memory error", "local function f(...) f(1, 2, 3, ...) return 1 end f()"},
    {"for without end", "instructions", "for i = 1, math.huge do end"},
    {"for with a step of 0", "error", "for i = 1, 2, 0 do end"},
    {"integers that overflow in a for", "instructions", "for i = math.mininteger, math.maxinteger do end"},
    {"for to the last integer", "well", "local n = 0 for i = math.maxinteger - 2, math.maxinteger do n = n + 1 end assert(n == 3)"},
    {"inside pcall, again and again", "instructions", "while true do pcall(function() while true do end end) end"},
    {"pcall of pcall", "instructions", "local f f = function() pcall(f) while true do end end f()"},
    {"handler of xpcall", "instructions", "xpcall(error, function() while true do end end)"},
    {"handler of xpcall that fails", "well error instructions", "for i = 1, 1000 do xpcall(error, function() error() end) end"},
    {"error in a loop", "instructions", "while true do pcall(error, {}) end"},
    {"__index function", "instructions", "local t = setmetatable({}, { __index = function() while true do end end }) return t.x"},
    {"__index chain", "error", "local t = {} for i = 1, 5000 do t = setmetatable({}, { __index = t }) end return t.x"},
    {"__newindex that writes again", "error memory instructions", "local t = setmetatable({}, { __newindex = function(t, k, v) t[k] = v end }) t.x = 1"},
    {"__eq, __lt, __concat, __call", "instructions", "local m = {} local t = setmetatable({}, m) m.__eq = function() while true do end end m.__call = function() return t == setmetatable({}, m) end t()"},
    {"__tostring", "instructions", "tostring(setmetatable({}, { __tostring = function() while true do end end }))"},
    {"__tostring of itself", "error instructions memory", "local t = {} setmetatable(t, { __tostring = tostring }) tostring(t)"},
    {"__tostring that returns no string", "error", "tostring(setmetatable({}, { __tostring = function() return {} end }))"},
    {"__len, for #, unpack and ipairs", "instructions", "local t = setmetatable({}, { __len = function() return math.maxinteger end }) table.unpack(t)"},
    {"__pairs", "instructions", "for k in pairs(setmetatable({}, { __pairs = function() return function() return 1 end end })) do end"},
    {"ipairs without end", "instructions", "for i in ipairs(setmetatable({}, { __index = function(_, i) return i end })) do end"},
    {"comparator of sort", "instructions", "table.sort({ 3, 2, 1 }, function() while true do end end)"},
    {"comparator that contradicts itself", "well instructions", "local t = {} for i = 1, 10000 do t[i] = i end table.sort(t, function() return true end)"},
    {"sort with __lt", "instructions", "local m = { __lt = function() while true do end end } table.sort({ setmetatable({}, m), setmetatable({}, m) })"},
    {"replacement of gsub", "instructions", "string.gsub('x', 'x', function() while true do end end)"},
    {"gsub inside gsub inside gsub", "instructions error", "local function f(s) return (s:gsub('.', f)) end f(('x'):rep(100))"},
    {"table of gsub with __index", "instructions", "string.gsub('x', 'x', setmetatable({}, { __index = function() while true do end end }))"},
    {"replacement of postern.re", "instructions", "RE:gsub(('a'):rep(10), function() while true do end end)"},
    {"iterator of gmatch", "instructions", "for _ in ('x'):rep(1000):gmatch '' do for _ in ('x'):rep(1000):gmatch '' do end end"},
    {"recipients_where", "instructions", "mail:recipients_where(function() while true do end end)"},
    {"__gc is refused", "error", "setmetatable({}, { __gc = function() while true do end end })"},
    {"__close in a loop", "error", "local x <close> = setmetatable({}, { __close = function() while true do end end })"},
    {"__close set later", "error instructions", "local m = {} local t = setmetatable({}, m) m.__close = function() while true do end end do local x <close> = t end"},
    {"__gc set later", "error", "local m = {} setmetatable({}, m) m.__gc = function() while true do end end for i = 1, 1000 do setmetatable({}, m) end"},
    {"__close that fails while an error passes", "error", "local m = {} local t = setmetatable({}, m) m.__close = function() error('second') end local x <close> = t error('first')"},
    {"select of many, many times", "instructions memory error", "local t = {} for i = 1, 200 do t[i] = i end while true do select('#', table.unpack(t)) end"},
    {"string.char and byte of much", "instructions memory", "local s = ('x'):rep(10000) while true do string.char(s:byte(1, 10000)) end"},
};

constexpr Case kMemory[] = {
    {"a table that grows", "memory instructions", "local t = {} while true do t[#t + 1] = {} end"},
    {"a table with far keys", "memory instructions", "local t = {} local i = 1 while true do t[i] = i i = i * 2 + 1 if i <= 0 then i = 1 end t[-i] = {} end"},
    {"a string that doubles", "memory instructions", "local s = 'x' while true do s = s .. s end"},
    {"a string that grows by one", "memory instructions", "local s = '' while true do s = s .. 'x' end"},
    {"concat of one string", "memory instructions", "local s = ('x'):rep(1 << 20) local t = {} for i = 1, 100 do t[i] = s end return table.concat(t, s)"},
    {"rep of much, with a separator", "memory instructions", "return ('x'):rep(1 << 30, ('y'):rep(1000))"},
    {"rep of nothing", "well", "return nil, ('').rep('', 1 << 60)"},
    {"format with wide fields", "memory instructions", "local s = ('%99s'):rep(10000) local t = {} for i = 1, 10000 do t[i] = 'x' end while true do string.format(s, table.unpack(t)) end"},
    {"format %q of octets that grow", "memory instructions", "local s = '\\1' while true do s = string.format('%q', s) end"},
    {"gsub that grows", "memory instructions", "local s = 'xx' while true do s = s:gsub('x', 'xxxx') end"},
    {"gsub with captures that grow", "memory instructions", "local s = ('x'):rep(1000) while true do s = s:gsub('(x+)', '%1%1%1%1') end"},
    {"closures", "memory instructions", "local t = {} while true do t[#t + 1] = function() return t end end"},
    {"coroutines", "memory instructions", "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end"},
    {"coroutines that are left suspended", "memory instructions", "while true do local c = coroutine.wrap(function() coroutine.yield(('x'):rep(10000)) end) c() end"},
    {"memory in pcall, again and again", "memory instructions", "while true do pcall(string.rep, 'x', 64 << 20) end"},
    {"error objects that hold much", "memory instructions", "while true do pcall(error, ('x'):rep(100000)) end"},
    {"error with a long text", "error", "error(('x'):rep(1 << 20))"},
    {"utf8.char of much", "memory instructions", "local t = {} for i = 1, 10000 do t[i] = 0x10ffff end while true do utf8.char(table.unpack(t)) end"},
    {"sets of numbers", "memory instructions", "local t = {} for i = 1, 1 << 40 do t[i + 0.5] = i end"},
    {"upper and lower of a long text", "memory instructions", "local s = ('x'):rep(1 << 20) while true do s:upper() s:lower() s:reverse() end"},
    {"large arguments of a statement", "memory", "local s = ('x'):rep(1 << 20) local t = {} for i = 1, 90 do t[i] = s end postern.sql.query('x', 'y', table.unpack(t))"},
    {"large header fields of a request", "memory", "local s = ('x'):rep(1 << 20) local t = {} for i = 1, 50 do t['x' .. i] = s end postern.http.get('http://x.example/', { headers = t })"},
    {"pairs of a large table, begun only", "instructions memory", "local t = {} for i = 1, 10000 do t[i] = i end while true do pairs(t) end"},
};

constexpr Case kDeep[] = {
    {"recursion", "error memory instructions", "local function f(n) return 1 + f(n + 1) end return f(1)"},
    {"tail calls without end", "instructions", "local function f(n) return f(n + 1) end return f(1)"},
    {"C stack by pcall", "error instructions memory", "local function f() local ok, e = pcall(f) return e end f() while true do f() end"},
    {"C stack by metamethods", "error", "local m = {} m.__add = function(a, b) return a + b end local t = setmetatable({}, m) return t + t"},
    {"C stack by sort", "error", "local function f() table.sort({ 2, 1 }, f) end f()"},
    {"C stack by gsub", "error", "local function f() return (string.gsub('x', 'x', f)) end f()"},
    {"C stack by postern.re", "error", "local function f() RE:gsub('a', f) end f()"},
    {"C stack by tostring", "error", "local m = {} m.__tostring = function(t) return tostring(t) end tostring(setmetatable({}, m))"},
    {"C stack by coroutines", "error memory instructions", "local function f() coroutine.wrap(f)() end f()"},
    {"C stack by require", "error", "local function f() return pcall(require, 'nothing') end f() require 'nothing'"},
    {"pattern that recurs", "error", "return (('a'):rep(100000)):find(('a-'):rep(300) .. 'b')"},
    {"pattern with captures inside captures", "error", "return (('x'):rep(1000)):find(('('):rep(100))"},
    {"JSON inside JSON", "well", "local v, e = postern.json.decode(('['):rep(100000)) assert(not v and e)"},
    {"a table that holds itself, as JSON", "error", "local t = {} t.t = t postern.json.encode(t)"},
    {"regex inside regex", "error", "postern.re(('('):rep(5000) .. 'a' .. (')'):rep(5000))"},
    {"regex that counts far", "error", "postern.re '((a{1,100}){1,100}){1,100}'"},
};

constexpr Case kPatterns[] = {
    {"find with stars", "instructions", "return ('a'):rep(50000):find(('a*'):rep(20) .. 'b')"},
    {"match with questions", "instructions", "return ('a'):rep(30):match(('a?'):rep(30) .. ('a'):rep(31))"},
    {"gmatch with lazy ones", "instructions", "for _ in (('a'):rep(40000)):gmatch '.-.-.-b' do end"},
    {"gsub with lazy ones", "instructions", "return (('a'):rep(40000)):gsub('.-.-.-b', '')"},
    {"%b of what never closes", "instructions", "return ('('):rep(100000):find '%b()%b()x'"},
    {"%f without end", "instructions", "local s = ('a '):rep(50000) while true do s:find '%f[b]b' end"},
    {"back references", "instructions", "return ('a'):rep(20000):find '(.-)%1(.-)%2b'"},
    {"large sets", "instructions", "return (('x'):rep(100000)):find('[' .. ('ab'):rep(10000) .. ']')"},
    {"plain find, far away", "instructions", "local s = ('a'):rep(1 << 20) while true do s:find('b', 1, true) end"},
    {"plain find, nearly everywhere", "instructions", "local s, p = ('a'):rep(1 << 20), ('a'):rep(1 << 10) .. 'b' while true do s:find(p, 1, true) end"},
    {"pattern of a megabyte", "well error instructions", "local p = ('a'):rep(1 << 20) return nil, p:find(p .. '.')"},
    {"regex over a long text", "instructions", "local s = ('a'):rep(1 << 20) while true do BOMB:test(s) end"},
    {"regex gsub of every octet", "instructions memory", "local s = ('a'):rep(1 << 20) while true do RE:gsub(s, 'bb') end"},
    {"regex with captures over a long text", "instructions", "local r = postern.re '(a*)*(a*)*(a*)*b?' local s = ('a'):rep(1 << 20) while true do r:match(s) end"},
    {"regexes made again and again", "instructions memory", "for i = 1, 1 << 40 do postern.re('a' .. i .. '{1,50}') end"},
};

constexpr Case kLongTexts[] = {
    {"long texts compared", "instructions", "local a, b = ('x'):rep(5 << 20), ('x'):rep(5 << 20) while a == b do end"},
    {"texts of some kilobytes compared", "instructions", "local a, b = ('x'):rep(4000), ('x'):rep(4000) while a == b do end"},
    {"texts of 60 KiB compared", "instructions", "local a, b = ('x'):rep(60000), ('x'):rep(60000) while a == b do end"},
    {"long texts ordered", "instructions", "local a, b = ('x'):rep(5 << 20), ('x'):rep(5 << 20) while a <= b do end"},
    {"long texts as keys", "instructions memory", "local a, b = ('x'):rep(5 << 20), ('x'):rep(5 << 20) local t = { [a] = 1 } while t[b] do end"},
    {"long texts sorted", "instructions memory", "local t = {} for i = 1, 200 do t[i] = ('x'):rep(100000) end table.sort(t)"},
    {"long texts that a script keeps", "instructions", "while KEPT1 == KEPT2 do end"},
    {"long texts in other coroutines", "instructions", "local a, b = ('x'):rep(5 << 20), ('x'):rep(5 << 20) while true do coroutine.wrap(function() while a == b do end end)() end"},
    {"blanks as a number", "instructions", "local s = (' '):rep(8 << 20) while true do tonumber(s) end"},
    {"digits as a number", "instructions", "local s = ('1'):rep(8 << 20) while true do tonumber(s) end"},
    {"digits added", "instructions", "local s = ('1'):rep(8 << 20) while true do local n = s + 1 end"},
    {"digits in a mathematical function", "instructions", "local s = ('1'):rep(1 << 20) while true do math.floor(s) end"},
    {"digits of another base", "instructions", "local s = ('1'):rep(8 << 20) while true do tonumber(s, 2) end"},
    {"bits of digits", "instructions error", "local s = (' '):rep(8 << 20) .. '1' while true do local n = s | 1 end"},
    {"utf8.len", "instructions", "local s = ('x'):rep(8 << 20) while true do utf8.len(s) end"},
    {"utf8.offset", "instructions", "local s = ('x'):rep(8 << 20) while true do utf8.offset(s, -1, 8 << 20) utf8.offset(s, 8 << 20) end"},
    {"utf8.codepoint", "error instructions", "local s = ('x'):rep(8 << 20) while true do utf8.codepoint(s, 1, -1) end"},
    {"utf8.codes over continuations", "error instructions", "local s = 'x' .. ('\\x80'):rep(8 << 20) while true do for _ in utf8.codes(s) do end end"},
    {"string.byte of nothing, far away", "instructions", "local s = ('x'):rep(8 << 20) while true do s:byte(8 << 20) end"},
    {"pairs with long keys", "instructions memory", "local t = {} for i = 1, 200 do t[('x'):rep(100000) .. i] = 1 end while true do next(t) end"},
    {"base64 of much", "instructions memory", "local s = ('x'):rep(4 << 20) while true do postern.base64.decode(s) end"},
    {"hashes of much", "instructions", "local s = ('x'):rep(8 << 20) while true do postern.hash.md5(s) end"},
    {"HMAC of much", "instructions", "local s = ('x'):rep(8 << 20) while true do postern.hash.hmac_sha256(s, s) end"},
    {"equal of much", "instructions", "local s = ('x'):rep(8 << 20) while true do postern.hash.equal(s, s) end"},
    {"hex of much", "instructions memory", "local s = ('x'):rep(4 << 20) while true do postern.hex.decode(s) end"},
    {"JSON of much", "instructions memory", "local s = '[' .. ('1,'):rep(1 << 20) .. '1]' while true do postern.json.decode(s) end"},
    {"JSON of one long text", "instructions memory", "local s = '\"' .. ('\\\\u00e9'):rep(1 << 19) .. '\"' while true do postern.json.decode(s) end"},
    {"JSON that is broken at its end", "instructions memory", "local s = '[' .. ('1,'):rep(1 << 20) while true do postern.json.decode(s) end"},
    {"dates of much", "instructions", "local s = (' '):rep(8 << 20) while true do postern.time.parse_rfc5322(s) postern.time.parse_rfc3339(s) end"},
    {"addresses of much", "instructions", "local s = ('1'):rep(8 << 20) while true do postern.ip(s) end"},
    {"a set asked for a long name", "instructions", "local s = ('x.'):rep(4 << 20) while true do SET:contains(s) end"},
    {"a log line of much", "instructions", "local s = ('x'):rep(8 << 20) while true do postern.log.info(s) end"},
    {"print of much", "instructions memory", "local s = ('x'):rep(1 << 20) while true do print(s, s, s, s) end"},
    {"print of one text many times", "instructions memory", "local s = ('x'):rep(1 << 20) local t = {} for i = 1, 200 do t[i] = s end while true do print(table.unpack(t)) end"},
};

constexpr Case kTables[] = {
    {"globals written", "error", "nothing = 1"},
    {"globals written by rawset", "error", "rawset(_G, 'nothing', 1)"},
    {"a library written", "error", "string.find = print"},
    {"postern written", "error", "postern.reject = postern.accept"},
    {"a kept table written", "error", "TABLE.x = 1"},
    {"a kept table written by rawset", "error", "rawset(TABLE, 'x', 1)"},
    {"a kept table given a metatable", "error", "setmetatable(TABLE, {})"},
    {"a kept table moved into, sorted, removed from", "error", "pcall(table.sort, TABLE) pcall(table.remove, TABLE) table.insert(TABLE, 1)"},
    {"the store behind a kept table", "error", "getmetatable(TABLE).__index.x = 1"},
    {"the metatable of strings", "error", "getmetatable('').__index = nil"},
    {"the metatable of strings by a string", "error", "('').__index.x = 1"},
    {"debug", "error", "debug.getregistry().x = 1"},
    {"load", "error", "load('while true do end')()"},
    {"NaN as a key", "error", "local t = {} t[0 / 0] = 1"},
    {"nil as a key", "error", "local t = {} t[nil] = 1"},
    {"NaN asked for", "well", "local t = {} assert(t[0 / 0] == nil)"},
    {"next with a foreign key", "well error", "next({ 1, 2 }, 99) next({}, {})"},
    {"pairs with keys that have no order", "error", "for _ in pairs { [{}] = 1, [print] = 2 } do end"},
    {"huge shifts", "well", "assert(1 << 64 == 0 and 1 << -64 == 0 and 1 << math.maxinteger == 0 and -1 >> math.mininteger == 0)"},
    {"division of the least integer", "well", "assert(math.mininteger // -1 == math.mininteger and math.mininteger % -1 == 0)"},
    {"division by zero", "error", "return 1 // 0"},
    {"a float that is no integer", "error", "return 1 << 1e300"},
    {"error objects of odd kinds", "error", "error(setmetatable({}, { __tostring = function() error('again') end }))"},
    {"error with nil", "error", "error()"},
    {"error with a function", "error", "error(print)"},
    {"an object as an error", "error", "error(mail)"},
    {"error in __index while an error is shown", "error", "error(setmetatable({}, { __index = error, __name = 5 }))"},
    {"a result of the wrong kind", "result", "return setmetatable({}, { __index = error })"},
    {"many results", "well error", "return nil, table.unpack({}, 1, 90000)"},
    {"notes that are too many", "error", "for i = 1, 1000 do mail.notes['n' .. i] = i end"},
    {"notes that are too long", "error", "mail.notes.x = ('x'):rep(100000)"},
    {"notes with a long name", "error", "mail.notes[('x'):rep(100000)] = 1"},
    {"notes of odd values", "error", "mail.notes.x = {}"},
    {"an object as a note", "error", "mail.notes.x = mail"},
    {"a coroutine as a note", "error", "session.notes.x = coroutine.create(function() return mail.sender end)"},
    {"an object in a kept table", "error", "TABLE.x = mail"},
    {"a coroutine in a kept table", "error", "TABLE.inner[1] = coroutine.create(function() return mail.sender end)"},
    {"notes for ever", "instructions", "while true do mail.notes.x = 1 mail.notes.x = nil end"},
    {"pairs of notes for ever", "instructions memory", "for i = 1, 100 do mail.notes['n' .. i] = ('x'):rep(4096) end while true do for _ in pairs(mail.notes) do end end"},
    {"header edits without end", "error", "while true do mail:add_header('X', 'y') end"},
    {"header edits without end, in pcall", "instructions", "while true do pcall(mail.add_header, mail, 'X', 'y') end"},
    {"header edits that are large", "error memory instructions", "local v = ('x'):rep(30000) for i = 1, 100000 do mail:add_header('X' .. i, v) end"},
    {"header edits of one field", "instructions memory error", "while true do mail:set_header('X', 'y') end"},
    {"a header value with line ends", "well", "mail:set_header('X', ('\\r\\n'):rep(1000) .. 'Bcc: a@b')"},
    {"a header read again and again", "instructions memory", "while true do mail:header 'X-Last' mail:headers() mail:addresses 'X-Last' end"},
    {"counters without end", "instructions memory", "for i = 1, 1 << 40 do postern.counter('c' .. i % 100) end"},
};

constexpr Case kCoroutines[] = {
    {"one that resumes itself", "well", "local c c = coroutine.create(function() assert(not coroutine.resume(c)) end) assert(coroutine.resume(c))"},
    {"one that is dead", "error", "local f = coroutine.wrap(function() end) f() f()"},
    {"wrap in wrap in wrap", "error memory instructions", "local function f(n) return coroutine.wrap(function() return f(n + 1) end)() end f(1)"},
    {"a yield out of the hook", "error", "coroutine.yield()"},
    {"a yield across pcall", "well", "local f = coroutine.wrap(function() pcall(coroutine.yield, 1) return 2 end) assert(f() == 1 and f() == 2)"},
    {"a yield in sort", "error", "coroutine.wrap(function() table.sort({ 2, 1 }, coroutine.yield) end)()"},
    {"a yield in gsub", "error", "coroutine.wrap(function() string.gsub('x', 'x', coroutine.yield) end)()"},
    {"a yield in recipients_where", "error", "coroutine.wrap(function() mail:recipients_where(coroutine.yield) end)()"},
    {"a yield in __index", "well error", "local t = setmetatable({}, { __index = coroutine.yield }) local f = coroutine.wrap(function() return t.x end) f() f()"},
    {"a yield in an iterator", "well", "coroutine.wrap(function() for x in coroutine.yield do return x end end)()"},
    {"a yield in __tostring", "error", "coroutine.wrap(function() tostring(setmetatable({}, { __tostring = coroutine.yield })) end)()"},
    {"thousands of them", "well memory instructions", "for i = 1, 5000 do coroutine.wrap(function() coroutine.yield() end)() end"},
    {"a ping-pong", "instructions", "local f = coroutine.wrap(function() while true do coroutine.yield() end end) while true do f() end"},
    {"one that fails in a loop", "instructions memory", "while true do coroutine.resume(coroutine.create(error)) end"},
    {"one that yields much", "instructions memory error", "local f = coroutine.wrap(function() while true do coroutine.yield(table.unpack({}, 1, 5000)) end end) while true do f() end"},
    {"status of itself and the main one", "well", "coroutine.wrap(function() assert(coroutine.isyieldable()) end)() assert(not coroutine.isyieldable())"},
    {"postern.all of nothing", "well", "postern.all {}"},
    {"postern.all inside postern.all", "error memory instructions", "local function f() return postern.all { f, f } end f()"},
    {"postern.all of too many", "error", "local t = {} for i = 1, 10000 do t[i] = function() end end postern.all(t)"},
    {"postern.all that yields", "error", "postern.all { coroutine.yield }"},
    {"postern.all for ever", "instructions memory", "while true do postern.all { function() end } end"},
    {"postern.all with one endless function", "instructions", "postern.all { function() return postern.dns.a 'x.example' end, function() while true do end end }"},
    {"10,000 questions", "well instructions memory", "for i = 1, 10000 do postern.dns.a 'x.example' end"},
    {"questions in pcall for ever", "instructions memory time", "while true do pcall(postern.dns.a, 'x.example') end"},
    {"a question in a comparator", "error", "table.sort({ 2, 1 }, function() postern.dns.a 'x.example' end)"},
    {"a question in a coroutine in a comparator", "error", "table.sort({ 2, 1 }, function() return coroutine.wrap(function() postern.dns.a 'x.example' end)() end)"},
    {"the same in pcall, then a good one", "well", "pcall(table.sort, { 2, 1 }, function() return coroutine.wrap(function() postern.dns.a 'x.example' end)() end) assert(postern.dns.a('x.example').empty)"},
    {"parts again and again", "instructions memory", "while true do mail:parts() end"},
    {"texts again and again", "instructions memory", "while true do mail:text() end"},
    {"all parts at once", "well memory instructions error", "local t = {} for i = 1, 32 do t[i] = function() return #(mail:text()) end end while true do postern.all(t) end"},
};
// clang-format on

/// One state with a hook that does harm and one that does not.
struct Victim : World {
  explicit Victim(std::string_view body) {
    std::string text = "X-Last: =?utf-8?q?a?= <a@b.example>\r\nContent-Type: text/plain; charset=windows-1251\r\n\r\n";
    while (text.size() < 1'000'000)
      text += "\xc0\xc1\xc2 a line of no interest, seventy octets and a bit more of it.\r\n";
    with_message(text);
    const std::string script = R"(
local postern = require "postern"
local RE, BOMB = postern.re "a", postern.re "(x+x+)+y|(a|aa)+b"
local SET = postern.domainset { ".example.org" }
local TABLE = { 1, 2, inner = {} }
)" + std::string(body.contains("KEPT") ? "local KEPT1, KEPT2 = ('x'):rep(8 << 20), ('x'):rep(8 << 20)\n" : "") +
                               R"(
postern.on("message", function(session, mail)
  if mail.sender == "" then return RE, BOMB, SET, TABLE end
)" + std::string(body) + R"(
end)
postern.on("message", function(session, mail)
  local t = {} for i = 1, 100 do t[i] = 101 - i end
  table.sort(t)
  local answer = postern.dns.a "x.example"
  assert(t[1] == 1 and TABLE[2] == 2 and TABLE.x == nil and answer.empty and ("abc"):find "b" == 2 and nothing == nil)
  local word = coroutine.wrap(function() return (tostring(mail:header "X-Last"):gsub("a", "b", 1)) end)()
  return postern.reject(550, "5.0.0", word)
end))";
    REQUIRE_MESSAGE(load(script), problems);
  }
  /// How the call ended, and the processor's time of its longest turn of the loop.
  std::pair<std::string, std::chrono::nanoseconds> end_of_call() {
    mail.edits.clear();
    mail.notes.clear();
    effects.logged.clear();
    std::optional<Result<Verdict>> verdict;
    std::chrono::nanoseconds longest{};
    auto before = thread_time();
    const auto turn = [&] {
      const auto now = thread_time();
      longest = std::max(longest, now - std::exchange(before, now));
    };
    {
      Nursery nursery(sim.worker(0));
      nursery.spawn(detail::store(rules->hooks.at(0).handler->handle(call_at(Stage::kMessage)), &verdict));
      turn();
      REQUIRE(sim.run_until([&] { return turn(), nursery.size() == 0; }, std::chrono::hours(1)));
    }
    REQUIRE(verdict);
    if (*verdict) return {"well", longest};
    const std::string& code = verdict->error().code;
    return {code.substr(code.find('.') + 1), longest};
  }
};

bool among(std::string_view words, std::string_view word) {
  const std::size_t at = (" " + std::string(words) + " ").find(" " + std::string(word) + " ");
  return at != std::string::npos;
}

struct Slowest {
  std::chrono::nanoseconds time{};
  std::string_view name;
};

/// A machine that shares its caches and cores with other work is slower by itself: how much, plain work tells. First
/// a loop, then tables until the memory of the call is used up; their times are those of an idle machine.
double slowness() {
  constexpr std::pair<std::string_view, std::chrono::milliseconds> kPlain[] = {
      {"while true do end", std::chrono::milliseconds(9)},
      {"local t = {} while true do t[#t + 1] = {} end", std::chrono::milliseconds(25)}};
  double slowest = 1;
  for (const auto& [body, usual] : kPlain) {
    Victim plain(body);
    std::chrono::nanoseconds best = std::chrono::hours(1);
    for (int i = 0; i < kTries; ++i) best = std::min(best, plain.end_of_call().second);
    slowest = std::max(slowest, static_cast<double>(best.count()) / std::chrono::nanoseconds(usual).count());
  }
  return slowest;
}

void try_all(std::span<const Case> cases) {
  Slowest slowest;
  // Beside other tests even the processor's time of a thread grows; the true bound is held by hand on an idle machine.
  const double patience = std::getenv("POSTERN_STRICT_TIMES") != nullptr ? 1 : 5;
  const std::chrono::nanoseconds limit(
      static_cast<std::int64_t>(patience * slowness() * std::chrono::nanoseconds(kLongestTurn).count()));
  for (const Case& one : cases) {
    INFO(std::string(one.name));
    Victim victim(one.body);
    CHECK(victim.said(1) == "b <a@b.example>");
    std::chrono::nanoseconds best = std::chrono::hours(1);
    for (int i = 0; i < kTries && best > limit; ++i) {
      const auto [fault, longest] = victim.end_of_call();
      best = std::min(best, longest);
      CHECK_MESSAGE(among(one.ends, fault), one.name << " ended with " << fault);
#ifdef POSTERN_LUA_SLOW_BUILD
      break;
#endif
    }
    CHECK(victim.said(1) == "b <a@b.example>");
    if (best > slowest.time) slowest = {best, one.name};
#ifndef POSTERN_LUA_SLOW_BUILD
    CHECK_MESSAGE(best < limit, one.name << " took " << best.count() / 1000 << " us of the processor");
#endif
    if (std::getenv("POSTERN_HOSTILE_TIMES")) MESSAGE(one.name << ": " << best.count() / 1000 << " us");
  }
  MESSAGE("the slowest of " << cases.size() << ": " << slowest.name << ", " << slowest.time.count() / 1000 << " us");
}

TEST_CASE("hostile: loops end with the limit of instructions, wherever they hide") {
  try_all(kLoops);
}
TEST_CASE("hostile: memory is the call's own, however it is taken") {
  try_all(kMemory);
}
TEST_CASE("hostile: depth is an error and never a crash") {
  try_all(kDeep);
}
TEST_CASE("hostile: patterns and expressions pay for their steps") {
  try_all(kPatterns);
}
TEST_CASE("hostile: long texts pay for their length") {
  try_all(kLongTexts);
}
TEST_CASE("hostile: tables, numbers, errors and what scripts share") {
  try_all(kTables);
}
TEST_CASE("hostile: coroutines and waits") {
  try_all(kCoroutines);
}

// ---- objects in a call that is not theirs ----

constexpr char kKeptKey = 0;

int keep(lua_State* L) {
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kKeptKey);
  return 0;
}
int kept(lua_State* L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kKeptKey);
  return 1;
}

/// Two hooks in a state with a hole: the first keeps something beyond its call, which scripts themselves cannot.
struct Keeper : World {
  Keeper(const std::string& keeps, const std::string& uses) {
    with_message("Subject: x\r\n\r\nhello\r\n");
    REQUIRE_MESSAGE(load("local postern = require 'postern'\n"
                         "postern.on('message', function(session, mail) " +
                         keeps +
                         " end)\n"
                         "postern.on('message', function(session, mail) local old = postern.kept() " +
                         uses + " end)\n"),
                    problems);
    lua_State* L = std::static_pointer_cast<ScriptState>(rules->engine)->main();
    push_postern(L);
    REQUIRE(push_frozen_store(L, -1));
    lua_pushcfunction(L, keep);
    lua_setfield(L, -2, "keep");
    lua_pushcfunction(L, kept);
    lua_setfield(L, -2, "kept");
    lua_settop(L, 0);
  }
  bool second_is_refused() {
    const std::string told = said(1);
    INFO(told);
    return told.find("this object belongs to a mail or session that is over") != std::string::npos;
  }
};

constexpr std::pair<std::string_view, std::string_view> kKept[] = {
    {"mail", "return old.sender"},
    {"mail", "old:set_header('X', 'y')"},
    {"mail", "old:parts()"},
    {"mail", "old:recipients_where(function() return true end)"},
    {"mail.recipients[1]", "return old.address"},
    {"mail.recipients[1].notes", "old.x = 1"},
    {"mail.notes", "old.x = 1"},
    {"mail:parts()[1]", "return old.type"},
    {"mail:parts()[1]", "old:text()"},
    {"session", "return old.id"},
    {"session.client", "return old.ip"},
    {"session.notes", "return old.x"},
    {"coroutine.create(function() return mail.sender end)", "error(select(2, coroutine.resume(old)), 0)"},
    {"(function() local c = coroutine.create(function() coroutine.yield() mail.notes.x = 1 end) coroutine.resume(c) "
     "return c end)()",
     "error(select(2, coroutine.resume(old)), 0)"},
    {"(function() local c = coroutine.create(function() return mail:parts() end) pcall(postern.all, { function() "
     "coroutine.resume(c) end, function() error 'x' end }) return c end)()",
     "error(select(2, coroutine.resume(old)), 0)"}};

TEST_CASE("hostile: an object is of no use in a later call, nor in a coroutine that was kept until then") {
  for (const auto& [what, use] : kKept) {
    INFO(std::string(what), ": ", std::string(use));
    Keeper world("postern.keep(" + std::string(what) + ")", std::string(use));
    CHECK(world.said(0) == "nothing");
    CHECK(world.second_is_refused());
    CHECK(world.mail.edits.empty());
    CHECK(world.mail.notes.empty());
  }
}

TEST_CASE("hostile: an object is of no use in another call while its own waits") {
  for (const auto& [what, use] : kKept) {
    INFO(std::string(what), ": ", std::string(use));
    Keeper world("postern.keep(" + std::string(what) + ") postern.dns.a 'x.example'", std::string(use));
    if (what.find("parts") != what.npos) continue;  // a wait of their own comes first
    Task<Result<Verdict>> waiting = world.rules->hooks.at(0).handler->handle(world.call_at(Stage::kMessage));
    CHECK(world.second_is_refused());
    CHECK(world.run(std::move(waiting)).has_value());
  }
}

}  // namespace
}  // namespace postern::lua

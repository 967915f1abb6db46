#include "bytecode.h"

#include <cstring>
#include <map>
#include <string_view>
#include <utility>

namespace postern::lua {
namespace {

// An instruction of Lua 5.4 (whose lopcodes.h is not installed): opcode 7 bits, A 8, k 1, B 8, C 8.
constexpr std::uint32_t kOpcodeMask = 0x7f;
constexpr std::uint32_t kSetUpvalue = 10;  // OP_SETUPVAL: upvalue[B] := R[A]
constexpr int kShiftB = 16;
constexpr signed char kAbsoluteLine = -128;
constexpr int kMaxDepth = 250;  // of functions in functions; Lua's own limit is 200

struct Upvalue {
  bool in_stack = false;  // a local of the enclosing function, else one of its upvalues
  std::uint8_t index = 0;
};
struct Write {
  std::uint8_t upvalue = 0;
  std::uint32_t line = 0;
};
struct Function {
  std::vector<Upvalue> upvalues;
  std::vector<Write> writes;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  bool good() const { return good_; }

  Function chunk() {
    constexpr std::size_t kHeader = 4 + 1 + 1 + 6 + 3 + 8 + 8;  // signature, version, format, data, sizes, two probes
    if (!bytes_.starts_with("\x1bLua\x54")) good_ = false;
    skip(kHeader + 1);  // and the number of upvalues
    return function(0);
  }

 private:
  Function function(int depth) {
    Function out;
    if (depth > kMaxDepth) good_ = false;
    if (!good_) return out;
    text();
    const auto head = static_cast<std::uint32_t>(number());
    number();
    skip(3);
    std::vector<std::pair<std::size_t, std::uint8_t>> writes = code();
    constants();
    out.upvalues.resize(count(3));
    for (Upvalue& one : out.upvalues) {
      one.in_stack = byte() != 0;
      one.index = byte();
      byte();
    }
    for (std::size_t n = number(); good_ && n; --n) {
      const Function inner = function(depth + 1);
      for (const Write& write : inner.writes)
        if (write.upvalue < inner.upvalues.size() && !inner.upvalues[write.upvalue].in_stack)
          out.writes.push_back(
              {inner.upvalues[write.upvalue].index, write.line});  // else a local of ours, gone when we return
    }
    const std::vector<std::uint32_t> lines = debug(head);
    for (const auto& [at, upvalue] : writes) out.writes.push_back({upvalue, at < lines.size() ? lines[at] : head});
    return out;
  }

  /// Where which upvalue is set.
  std::vector<std::pair<std::size_t, std::uint8_t>> code() {
    std::vector<std::pair<std::size_t, std::uint8_t>> writes;
    const std::size_t instructions = count(4);
    for (std::size_t i = 0; i < instructions; ++i, at_ += 4) {
      std::uint32_t instruction = 0;
      std::memcpy(&instruction, bytes_.data() + at_, 4);
      if ((instruction & kOpcodeMask) == kSetUpvalue)
        writes.emplace_back(i, static_cast<std::uint8_t>(instruction >> kShiftB));
    }
    return writes;
  }

  void constants() {
    for (std::size_t n = number(); good_ && n; --n) {
      switch (byte()) {
        case 0x00:  // nil
        case 0x01:  // false
        case 0x11:
          break;    // true
        case 0x03:  // integer
        case 0x13:
          skip(8);
          break;    // float
        case 0x04:  // short string
        case 0x14:
          text();
          break;  // long string
        default:
          good_ = false;
      }
    }
  }

  /// The line of each instruction.
  std::vector<std::uint32_t> debug(std::uint32_t head) {
    std::vector<signed char> steps(count(1));
    for (signed char& step : steps) step = static_cast<signed char>(byte());
    std::map<std::size_t, std::uint32_t> absolute;
    for (std::size_t n = number(); good_ && n; --n) {
      const std::size_t at = number();
      absolute[at] = static_cast<std::uint32_t>(number());
    }
    for (std::size_t n = number(); good_ && n; --n) text(), number(), number();
    for (std::size_t n = number(); good_ && n; --n) text();
    std::vector<std::uint32_t> lines;
    std::uint32_t line = head;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      line = steps[i] == kAbsoluteLine ? absolute[i] : line + static_cast<std::uint32_t>(static_cast<int>(steps[i]));
      lines.push_back(line);
    }
    return lines;
  }

  std::uint8_t byte() {
    if (at_ >= bytes_.size()) good_ = false;
    return good_ ? static_cast<std::uint8_t>(bytes_[at_++]) : 0;
  }
  void skip(std::size_t octets) {
    if (octets > bytes_.size() - at_)
      good_ = false;
    else
      at_ += octets;
  }
  /// Seven bits each, the most significant first; the last octet has its high bit set.
  std::size_t number() {
    std::size_t value = 0;
    for (int i = 0; good_ && i < 10; ++i) {
      const std::uint8_t part = byte();
      value = (value << 7) | (part & 0x7f);
      if (part & 0x80) return value;
    }
    good_ = false;
    return 0;
  }
  std::size_t count(std::size_t octets_each) {
    const std::size_t n = number();
    if (n > (bytes_.size() - at_) / octets_each) good_ = false;
    return good_ ? n : 0;
  }
  void text() {
    if (const std::size_t size = number()) skip(size - 1);
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  bool good_ = true;
};

int collect(lua_State*, const void* octets, std::size_t size, void* out) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(octets), size);
  return 0;
}

}  // namespace

std::vector<Assignment> assigned_upvalues(lua_State* L, int index) {
  index = lua_absindex(L, index);
  std::string bytes;
  lua_pushvalue(L, index);
  lua_dump(L, collect, &bytes, 0);
  lua_pop(L, 1);
  Reader reader(bytes);
  const Function function = reader.chunk();
  if (!reader.good()) return {{"?", 0}};
  std::vector<Assignment> out;
  for (const Write& write : function.writes) {
    const char* name = lua_getupvalue(L, index, write.upvalue + 1);
    if (name) lua_pop(L, 1);
    out.push_back({name ? name : "?", write.line});
  }
  return out;
}

}  // namespace postern::lua

// Lua's patterns, matched with counted steps and bounded depth: what a library function of Lua would do for hours ends
// here with the limit of the call.
//
// The language is Lua's (reference manual §6.4.1): classes %a %d ..., sets, * + - ?, %b, %f, captures, %1, anchors.
// A match is a value: no Lua state is touched. Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace postern::lua {

inline constexpr std::size_t kMaxCaptures = 32;
inline constexpr int kMaxPatternDepth = 200;  ///< of matching inside matching

enum class PatternFault : std::uint8_t {
  kNone,
  kSteps,      ///< the budget of steps is used up
  kDepth,      ///< "pattern too complex"
  kMalformed,  ///< see Pattern::what()
};

class Pattern {
 public:
  struct Capture {
    static constexpr std::size_t kOpen = ~std::size_t{0};
    static constexpr std::size_t kPosition = ~std::size_t{0} - 1;
    std::size_t begin = 0;
    std::size_t length = kOpen;
  };

  /// `steps` is the budget; what a match uses is taken off it.
  Pattern(std::string_view pattern, std::string_view subject, std::int64_t& steps);

  /// Tries at `start` only; with an anchored pattern that is the only place to try.
  bool match_at(std::size_t start);
  /// Tries from `start` on; `begin` gets where it matched.
  bool find(std::size_t start, std::size_t& begin);

  bool anchored() const { return anchored_; }
  std::size_t end() const { return end_; }  ///< of the last match
  std::size_t captures() const { return level_; }
  const Capture& capture(std::size_t index) const { return captures_[index]; }

  PatternFault fault() const { return fault_; }
  const char* what() const { return what_; }  ///< of kMalformed

 private:
  static constexpr std::size_t kNo = ~std::size_t{0};

  std::size_t match(std::size_t s, std::size_t p);
  std::size_t match_one(std::size_t s, std::size_t p, std::size_t next);
  std::size_t greedy(std::size_t s, std::size_t p, std::size_t next, std::size_t least);
  std::size_t lazy(std::size_t s, std::size_t p, std::size_t next);
  std::size_t open_capture(std::size_t s, std::size_t p, std::size_t length);
  std::size_t close_capture(std::size_t s, std::size_t p);
  std::size_t escape(std::size_t s, std::size_t p);
  std::size_t balance(std::size_t s, std::size_t p);
  std::size_t frontier(std::size_t s, std::size_t p);
  std::size_t back_reference(std::size_t s, std::size_t p);
  std::size_t item_end(std::size_t p);
  std::size_t set_end(std::size_t p);
  bool fits(std::size_t s, std::size_t p, std::size_t next);
  bool in_set(unsigned char c, std::size_t p, std::size_t last) const;
  bool step(std::int64_t count = 1);
  std::size_t malformed(const char* what);

  std::string_view pattern_;
  std::string_view subject_;
  std::int64_t& steps_;
  bool anchored_ = false;
  std::size_t begin_ = 0;  ///< of the pattern, behind '^'
  std::size_t end_ = 0;
  std::size_t level_ = 0;
  int depth_ = 0;
  PatternFault fault_ = PatternFault::kNone;
  const char* what_ = "";
  std::array<Capture, kMaxCaptures> captures_;
};

}  // namespace postern::lua

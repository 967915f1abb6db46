// How full the server is, in the stated order of answers (architecture.md decision 10): first accepting slows down,
// then new sessions get 421 and end; running ones are never killed.
//
// Worker 0 measures four times a second (memory in use, descriptors in use); everybody reads two atomics. Each protocol
// asks admit() once per accepted connection.
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

namespace postern {

class Overload {
 public:
  static constexpr std::string_view kService = "overload";
  enum class Level : std::uint8_t {
    kNormal,
    kSlow,    ///< over the memory budget: a new session waits a moment before its greeting
    kRefuse,  ///< over it by a quarter, or out of descriptors: 421 and the end
  };
  virtual ~Overload();
  Level level() const { return level_.load(std::memory_order_relaxed); }

 protected:
  std::atomic<Level> level_{Level::kNormal};
};

}  // namespace postern

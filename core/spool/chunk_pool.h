// Buffers for bodies in flight: the first ones of a body are small, so that many short messages at once cost little,
// the others large, so that they are written and read in few pieces. A worker keeps some for its next messages.
//
// Thread: one worker.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace postern::spool {

inline constexpr std::size_t kSmallChunk = 16 * 1024;
inline constexpr std::size_t kLargeChunk = 64 * 1024;
inline constexpr std::size_t kSmallChunksKept = 256;  ///< per worker: 4 MiB
inline constexpr std::size_t kLargeChunksKept = 32;   ///< per worker: 2 MiB

struct Chunk {
  std::unique_ptr<char[]> octets;
  std::size_t capacity = 0;
  std::size_t used = 0;

  std::size_t room() const { return capacity - used; }
  std::string_view view() const { return {octets.get(), used}; }
};

inline std::size_t octets_in(const std::vector<Chunk>& chunks) {
  std::size_t octets = 0;
  for (const Chunk& chunk : chunks) octets += chunk.used;
  return octets;
}

class ChunkPool {
 public:
  /// An empty chunk for what comes at `offset` of a body.
  Chunk take(std::size_t offset) {
    const bool small = offset < kLargeChunk;
    std::vector<Chunk>& kept = small ? small_ : large_;
    const std::size_t capacity = small ? kSmallChunk : kLargeChunk;
    if (kept.empty()) return {.octets = std::make_unique_for_overwrite<char[]>(capacity), .capacity = capacity};
    Chunk chunk = std::move(kept.back());
    kept.pop_back();
    return chunk;
  }
  void give(std::vector<Chunk>& chunks) {
    for (Chunk& chunk : chunks) {
      const bool small = chunk.capacity == kSmallChunk;
      std::vector<Chunk>& kept = small ? small_ : large_;
      if (kept.size() >= (small ? kSmallChunksKept : kLargeChunksKept)) continue;
      chunk.used = 0;
      kept.push_back(std::move(chunk));
    }
    chunks.clear();
  }

 private:
  std::vector<Chunk> small_;
  std::vector<Chunk> large_;
};

}  // namespace postern::spool

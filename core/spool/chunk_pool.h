// Buffers for bodies in flight: 16 KiB each, kept by a worker for its next messages up to a bound.
//
// Thread: one worker.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace postern::spool {

inline constexpr std::size_t kChunkSize = 16 * 1024;
inline constexpr std::size_t kChunksKept = 256;  ///< per worker: 4 MiB

using Chunk = std::unique_ptr<char[]>;

class ChunkPool {
 public:
  Chunk take() {
    if (kept_.empty()) return std::make_unique_for_overwrite<char[]>(kChunkSize);
    Chunk chunk = std::move(kept_.back());
    kept_.pop_back();
    return chunk;
  }
  void give(std::vector<Chunk>& chunks) {
    for (Chunk& chunk : chunks)
      if (kept_.size() < kChunksKept) kept_.push_back(std::move(chunk));
    chunks.clear();
  }

 private:
  std::vector<Chunk> kept_;
};

}  // namespace postern::spool

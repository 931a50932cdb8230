// Memory for activations and their gradients: blocks come and go in the same order every step, so after the first step the
// memory at hand is enough and nothing more is allocated. First fit by address with coalescing inside large chunks.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/runtime/buffer.h"

namespace apam::engine {

class ActivationArena {
 public:
  explicit ActivationArena(Device device);

  struct Block {
    int chunk = -1;
    std::size_t offset = 0, bytes = 0;
    bool valid() const { return chunk >= 0; }
  };

  /// Uninitialised memory for `count` floats, aligned to 64 bytes.
  Block take(std::size_t count);
  void give_back(const Block& block);
  Out memory(const Block& block, std::size_t count) const;

  std::size_t bytes_in_use() const { return in_use_; }
  std::size_t peak_bytes() const { return peak_; }  ///< the most that was in use at once
  std::size_t reserved_bytes() const;               ///< in chunks, used or not

 private:
  struct Chunk {
    Buffer buffer;
    std::vector<Block> free;  // by offset; neighbours are merged
  };

  Device device_;
  std::vector<Chunk> chunks_;
  std::size_t in_use_ = 0, peak_ = 0;
};

}  // namespace apam::engine

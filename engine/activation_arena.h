// Memory for activations and their gradients. Every step takes and returns the same blocks in the same order, so nothing is
// allocated after the first step. Large chunks; first fit by address, free neighbours coalesced.
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

  enum class Growth : bool { refused, allowed };
  /// Uninitialised memory, aligned to 64 bytes. Throws KernelError if the arena would have to grow and may not.
  Block take(std::size_t bytes, Growth growth = Growth::allowed);
  void give_back(const Block& block);
  /// The block as `count` elements of `type`. Throws ShapeError if they do not fit.
  Out memory(const Block& block, std::size_t count, DType type) const;

  std::size_t bytes_in_use() const { return in_use_; }
  std::size_t peak_bytes() const { return peak_; }  ///< high-water mark of bytes_in_use()
  std::size_t reserved_bytes() const;               ///< size of all chunks

 private:
  struct Chunk {
    Buffer buffer;
    std::vector<Block> free;  // sorted by offset; no two are adjacent
  };

  Block find(std::size_t bytes, Growth growth);

  Device device_;
  std::vector<Chunk> chunks_;
  std::size_t in_use_ = 0, peak_ = 0;
};

}  // namespace apam::engine

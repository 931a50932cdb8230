#include "engine/activation_arena.h"

#include <algorithm>

namespace apam::engine {
namespace {

constexpr std::size_t kArenaAlignment = 64;
// Large, to waste little at the end of a chunk; the first is for small nets. On the CPU, pages that are never written use no
// memory, but sanitizers write the shadow of all.
constexpr std::size_t kFirstChunkBytes = std::size_t{16} << 20U, kChunkBytes = std::size_t{256} << 20U;
constexpr std::size_t kFreeListCapacity = 256;

}  // namespace

ActivationArena::ActivationArena(Device device) : device_(device) {}

ActivationArena::Block ActivationArena::take(std::size_t bytes_wanted, Growth growth) {
  const std::size_t bytes = std::max(kArenaAlignment, (bytes_wanted + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment);
  const Block block = find(bytes, growth);
  in_use_ += bytes;
  peak_ = std::max(peak_, in_use_);
  return block;
}

ActivationArena::Block ActivationArena::find(std::size_t bytes, Growth growth) {
  for (auto& chunk : chunks_) {
    for (auto hole = chunk.free.begin(); hole != chunk.free.end(); ++hole) {
      if (hole->bytes < bytes) continue;
      const Block block{hole->chunk, hole->offset, bytes};
      hole->offset += bytes;
      hole->bytes -= bytes;
      if (hole->bytes == 0) chunk.free.erase(hole);
      return block;
    }
  }
  require<KernelError>(growth == Growth::allowed,
                       "activations: the exec is frozen, and {} bytes do not fit in the {} that are reserved", bytes,
                       reserved_bytes());
  const int index = static_cast<int>(chunks_.size());
  const std::size_t size = std::max(chunks_.empty() ? kFirstChunkBytes : kChunkBytes, bytes);
  chunks_.push_back({Buffer(device_, size), {}});
  chunks_.back().free.reserve(kFreeListCapacity);
  if (size > bytes) chunks_.back().free.push_back({index, bytes, size - bytes});
  return {index, 0, bytes};
}

void ActivationArena::give_back(const Block& block) {
  in_use_ -= block.bytes;
  auto& free = chunks_.at(static_cast<std::size_t>(block.chunk)).free;
  auto next = std::lower_bound(free.begin(), free.end(), block.offset,
                               [](const Block& hole, std::size_t offset) { return hole.offset < offset; });
  if (next != free.begin()) {
    auto before = std::prev(next);
    if (before->offset + before->bytes == block.offset) {
      before->bytes += block.bytes;
      if (next != free.end() && before->offset + before->bytes == next->offset) {
        before->bytes += next->bytes;
        free.erase(next);
      }
      return;
    }
  }
  if (next != free.end() && block.offset + block.bytes == next->offset) {
    next->offset = block.offset;
    next->bytes += block.bytes;
    return;
  }
  free.insert(next, block);
}

Out ActivationArena::memory(const Block& block, std::size_t count, DType type) const {
  require<ShapeError>(count * size_of(type) <= block.bytes, "activations: {} elements of {} in a block of {} bytes", count,
                      to_string(type), block.bytes);
  const Buffer& chunk = chunks_.at(static_cast<std::size_t>(block.chunk)).buffer;
  return {chunk.data() + block.offset, count, type, chunk.device()};
}

std::size_t ActivationArena::reserved_bytes() const {
  std::size_t bytes = 0;
  for (const auto& chunk : chunks_) bytes += chunk.buffer.size_bytes();
  return bytes;
}

}  // namespace apam::engine

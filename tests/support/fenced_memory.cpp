#include "tests/support/fenced_memory.h"

#include <algorithm>
#include <array>

namespace apam::support {
namespace {

// A quiet NaN with its own payload: a kernel that reads it gets NaN, and one that writes there changes the payload.
constexpr std::uint32_t kFenceWord = 0x7fed7fce;  // so do both halves, as bfloat16
constexpr std::size_t kFenceWords = 64;           // 256 bytes on each side keep the operand aligned to 64
constexpr std::size_t kFenceBytes = kFenceWords * sizeof(std::uint32_t);
using Fence = std::array<std::uint32_t, kFenceWords>;

constexpr Fence build_fence() {
  Fence fence{};
  fence.fill(kFenceWord);
  return fence;
}
constexpr Fence kFence = build_fence();

}  // namespace

std::byte* FencedMemory::allocate(std::size_t bytes) {
  auto& operand = operands_.emplace_back(Operand{Buffer(device_, bytes + 2 * kFenceBytes), bytes});
  std::byte* inside = operand.buffer.data() + kFenceBytes;
  copy_bytes(operand.buffer.data(), device_, kFence.data(), Device{}, kFenceBytes);
  copy_bytes(inside + bytes, device_, kFence.data(), Device{}, kFenceBytes);
  return inside;
}

bool FencedMemory::intact() const {
  return std::all_of(operands_.begin(), operands_.end(), [&](const Operand& operand) {
    Fence before{}, after{};
    copy_bytes(before.data(), Device{}, operand.buffer.data(), device_, kFenceBytes);
    copy_bytes(after.data(), Device{}, operand.buffer.data() + kFenceBytes + operand.bytes, device_, kFenceBytes);
    return before == kFence && after == kFence;
  });
}

}  // namespace apam::support

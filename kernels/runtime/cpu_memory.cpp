#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "kernels/runtime/buffer.h"

namespace apam {
namespace {

constexpr std::size_t kLine = 64;             // alignment of small blocks: a cache line, an AVX-512 register
constexpr std::size_t kHugePage = 2U << 20U;  // alignment of large blocks, so that the kernel can back them with huge pages

class CpuMemory final : public DeviceMemory {
 public:
  void* allocate(std::size_t bytes, int /*index*/) override {
    const std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kLine;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* data = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    require<OutOfMemory>(data != nullptr, "allocate: out of CPU memory, {} bytes requested", bytes);
    if (alignment == kHugePage) ::madvise(data, rounded, MADV_HUGEPAGE);  // only a hint
    return data;
  }
  void release(void* data, int /*index*/) noexcept override { std::free(data); }
  void copy(void* to, Device, const void* from, Device, std::size_t bytes) override { std::memcpy(to, from, bytes); }
  void zero(void* data, int /*index*/, std::size_t bytes) override { std::memset(data, 0, bytes); }
};

}  // namespace

DeviceMemory& cpu_memory() {
  static auto* const memory = new CpuMemory;  // never destroyed: a static Buffer may be released later
  return *memory;
}

}  // namespace apam

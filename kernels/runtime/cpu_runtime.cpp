#include <sys/mman.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

#include "kernels/runtime/device_runtime.h"
#include "kernels/runtime/error.h"
#include "kernels/runtime/pages.h"

namespace apam {
namespace {

constexpr std::size_t kLine = 64;  // alignment of small blocks: a cache line, an AVX-512 register

class CpuRuntime final : public DeviceRuntime {
 public:
  void* allocate(std::size_t bytes, int /*index*/) override {
    // Large blocks are aligned so that the kernel can back them with huge pages.
    const std::size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kLine;
    const std::size_t rounded = round_up(bytes, alignment);
    void* data = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
    require<OutOfMemory>(data != nullptr, "allocate: out of CPU memory, {} bytes requested", bytes);
    if (alignment == kHugePage) ::madvise(data, rounded, MADV_HUGEPAGE);  // only a hint
    return data;
  }
  void release(void* data, int /*index*/) noexcept override { std::free(data); }
  void* allocate_pinned(std::size_t bytes, int index) override { return allocate(bytes, index); }
  void release_pinned(void* data, int index) noexcept override { release(data, index); }

  std::string export_memory(void*, std::size_t, int /*index*/) override { refuse_names(); }
  void* import_memory(const std::string&, int /*index*/) override { refuse_names(); }
  void release_imported(void*, int /*index*/) noexcept override {}

  NativeHandle make_stream(int /*index*/) override { return nullptr; }
  void destroy_stream(NativeHandle, int /*index*/) noexcept override {}
  void synchronize_stream(NativeHandle, int /*index*/) override {}
  void synchronize(int /*index*/) override {}
  std::string identity(int /*index*/) override { return "cpu"; }
  void select(int /*index*/) override {}

  void copy(NativeHandle, void* to, Device, const void* from, Device, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void zero(NativeHandle, void* data, int /*index*/, std::size_t bytes) override { std::memset(data, 0, bytes); }

  NativeHandle make_event(int /*index*/) override { return nullptr; }
  void destroy_event(NativeHandle, int /*index*/) noexcept override {}
  void record_event(NativeHandle, NativeHandle, int /*index*/) override {}
  void wait_event(NativeHandle, NativeHandle, int /*index*/) override {}
  bool event_done(NativeHandle, int /*index*/) override { return true; }
  void synchronize_event(NativeHandle, int /*index*/) override {}

  double time(NativeHandle, int /*index*/, const std::function<void()>& work) override {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }

  bool has_graphs() const override { return false; }
  NativeHandle record_graph(NativeHandle, int /*index*/, const std::function<void()>&) override { refuse_graphs(); }
  void destroy_graph(NativeHandle, int /*index*/) noexcept override {}
  void replay_graph(NativeHandle, NativeHandle, int /*index*/) override { refuse_graphs(); }
  std::size_t graph_nodes(NativeHandle) const override { return 0; }

 private:
  [[noreturn]] static void refuse_names() { fail<DeviceError>("memory: that of the CPU has no name for other processes"); }
  [[noreturn]] static void refuse_graphs() { fail<DeviceError>("graph: the CPU has none"); }
};

}  // namespace

DeviceRuntime& cpu_runtime() {
  static auto* const runtime = new CpuRuntime;  // never destroyed: a static Buffer may be released later
  return *runtime;
}

}  // namespace apam

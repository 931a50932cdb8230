// A GPU for tests on machines without one: replaces kernels/runtime's GPU in a test program that links guarded_gpu.cpp.
//
//   - Its memory is ordinary memory that only its own work may touch: a host access is a segmentation fault.
//   - Its work is late: kernels, copies and fills of a stream run only when the host waits for them, or for an event behind
//     them. So host code that does not wait reads old values, every time.
//   - Graphs record work as CUDA does: no waiting, no allocation, and no copies of host memory that is not pinned.
//   - Kernels are those of kernels/cuda, on the emulator; it can also leave them out, to count launches of large nets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernels/runtime/stream.h"

namespace apam::support {

/// What the GPU of this process has done so far.
struct GpuCounts {
  std::int64_t kernels = 0;  ///< run, or left out
  std::int64_t copies = 0;   ///< and fills
  std::int64_t replays = 0;  ///< of graphs
  std::int64_t waits = 0;    ///< of the host, for a stream or an event; blocking copies included
};
GpuCounts gpu_counts();

/// Gives work to the stream that may access the GPU's memory. It counts as a copy.
void give_work(const Stream& stream, std::function<void()> work);

/// The same memory where the host may access it at any time; other memory as it is. For a stand-in of hardware that reads and
/// writes memory of the GPU.
void* accessible(const void* data);

/// While it lives, kernels are counted, but not run: their outputs keep what they were.
class WithoutKernels {
 public:
  WithoutKernels();
  ~WithoutKernels();
  WithoutKernels(const WithoutKernels&) = delete;
  WithoutKernels& operator=(const WithoutKernels&) = delete;
};

}  // namespace apam::support

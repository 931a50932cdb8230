// Runs grids of thread blocks on the CPU. Blocks run one after another, each thread of a block is a fiber. A thread runs until
// it waits for others (a barrier, a collective instruction of its warp); then the schedule picks another one.
//
// A kernel calls device functions (simt/*.h), which call those of device.h on the block that runs on this thread.
#pragma once

#include <memory>
#include <vector>

#include "kernels/cuda/emulator/fiber.h"
#include "kernels/cuda/emulator/report.h"
#include "kernels/cuda/emulator/shadow.h"
#include "kernels/cuda/extent.h"

namespace apam::kernels::cuda::emulator {

inline constexpr int kWarp = 32;

/// What a launch needs to know of a kernel.
struct Launch {
  Extent blocks;
  int threads = 0;  // per block, a multiple of 32
  std::uint32_t shared_bytes = 0;
  void (*run)(const void* args) = nullptr;
  const void* args = nullptr;
};

/// Memory for one block: stacks, shared memory and its shadow. Reused by all launches.
class Machine {
 public:
  Settings settings;

  /// Runs a grid to its end, or until a block cannot continue.
  Report run(const Launch& launch);
  /// Copies by TMA in all launches.
  std::int64_t loads() const { return loads_; }

 private:
  std::vector<Stack> stacks_;
  SharedMemory memory_;
  std::int64_t loads_ = 0;
};

}  // namespace apam::kernels::cuda::emulator

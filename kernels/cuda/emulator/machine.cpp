#include "kernels/cuda/emulator/machine.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "kernels/cuda/emulator/block.h"
#include "kernels/runtime/error.h"

namespace apam::kernels::cuda::emulator {

Report Machine::run(const Launch& launch) {
  require<DeviceError>(launch.threads > 0 && launch.threads % kWarp == 0 && launch.threads <= kWarp * kMostWarps,
                       "emulator: a block has {} threads, expected a multiple of {} up to {}", launch.threads, kWarp,
                       kWarp * kMostWarps);
  require<DeviceError>(launch.shared_bytes <= kMostShared, "emulator: a block needs {} bytes of shared memory, it has {}",
                       launch.shared_bytes, kMostShared);
  while (stacks_.size() < static_cast<std::size_t>(launch.threads)) stacks_.emplace_back();

  std::mt19937 random(settings.seed);
  const Extent blocks = launch.blocks;
  std::vector<int> order(static_cast<std::size_t>(blocks.x) * blocks.y * blocks.z);
  std::iota(order.begin(), order.end(), 0);
  if (settings.schedule == Schedule::random) std::shuffle(order.begin(), order.end(), random);

  Report report;
  Block block(launch, settings, memory_, report, random);
  for (const int index : order) {
    if (block.run(stacks_, {index % blocks.x, index / blocks.x % blocks.y, index / blocks.x / blocks.y})) continue;
    for (const Stack& stack : stacks_) stack.abandon();
    break;
  }
  loads_ += block.loads();
  return report;
}

}  // namespace apam::kernels::cuda::emulator

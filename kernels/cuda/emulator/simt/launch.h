// Launching a kernel on the emulator: the twin of gpu/simt/launch.h.
#pragma once

#include "kernels/cuda/emulator/kernel_host.h"
#include "kernels/runtime/exec.h"

#include <simt/shared.h>

namespace apam::kernels::cuda {
inline namespace on_emulator {

/// What kernels are compiled for: one more provider on the CPU, for tests.
struct Target {
  static constexpr std::string_view provider = "emulated", tma_provider = "emulated-tma";
  static constexpr DeviceKind device = DeviceKind::cpu;
  /// That batch norm divides rows for: so few that small problems have all that large ones have on a GPU, such as many rows per
  /// thread, in few blocks. Starting the threads of a block is what takes time here.
  static constexpr int multiprocessors = 8;
};

/// Runs a kernel and returns what is wrong with it.
template <class K>
emulator::Report report_of(emulator::Machine& machine, Extent blocks, const typename K::Args& args) {
  static_assert(K::min_blocks >= 1);
  const auto run = [](const void* values) {
    const auto& kernel_args = *static_cast<const typename K::Args*>(values);
    if constexpr (K::shared_bytes > 0) {
      K::run(kernel_args, SharedBytes());
    } else {
      K::run(kernel_args);
    }
  };
  return machine.run({blocks, K::threads, K::shared_bytes, run, &args});
}

template <class K>
emulator::Report report_of(Exec& exec, Extent blocks, const typename K::Args& args) {
  return report_of<K>(exec.cache<emulator::Machine>(), blocks, args);
}

/// Throws DeviceError with everything that is wrong.
template <class K>
void launch(Exec& exec, Extent blocks, const typename K::Args& args) {
  if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
  const auto run = [blocks, args](emulator::Machine& machine) {
    const emulator::Report report = report_of<K>(machine, blocks, args);
    require<DeviceError>(report.clean(), "emulator: {}", report.text());
  };
  auto* const host = dynamic_cast<emulator::KernelHost*>(&device_runtime(exec.device().kind));
  if (host != nullptr) return host->launch(exec.stream().native(), run);
  run(exec.cache<emulator::Machine>());
}

}  // namespace on_emulator
}  // namespace apam::kernels::cuda

// A device that the emulator stands in for: its runtime decides when a launched kernel runs. Without one, kernels run at once.
#pragma once

#include <functional>

#include "kernels/cuda/emulator/machine.h"
#include "kernels/runtime/device_runtime.h"

namespace apam::kernels::cuda::emulator {

/// Implemented by a DeviceRuntime.
class KernelHost {
 public:
  virtual ~KernelHost() = default;
  /// Gives a kernel to the stream. `kernel` throws what is wrong with it.
  virtual void launch(NativeHandle stream, std::function<void(Machine&)> kernel) = 0;
};

}  // namespace apam::kernels::cuda::emulator

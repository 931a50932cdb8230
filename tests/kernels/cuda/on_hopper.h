// For tests of instructions that only compute capability 9.0 has: on the emulator and, in builds with CUDA, on such a GPU.
#pragma once

#include "tests/kernels/cuda/on_device.h"

#include <simt/wgmma.h>

namespace apam::kernels::cuda {

class OnHopper : public OnDevice {
 protected:
  void SetUp() override {
    OnDevice::SetUp();
    if (!IsSkipped() && !has_wgmma(kDevice)) GTEST_SKIP() << "not a GPU of compute capability 9.0";
  }
};

}  // namespace apam::kernels::cuda

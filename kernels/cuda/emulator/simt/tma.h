// Copies by TMA on the emulator: host twins of gpu/simt/tma.h.
#pragma once

#include "kernels/cuda/emulator/device.h"
#include "kernels/cuda/tensor_box.h"
#include "kernels/runtime/device.h"

#include <simt/shared.h>

namespace apam::kernels::cuda {
inline namespace on_emulator {

using Mbarrier = std::uint64_t;

using emulator::TensorMap;

/// Throw DeviceError for what the driver refuses.
TensorMap tensor_map(Device, const MatrixBox&);
TensorMap tensor_map(Device, const ImageBox&);

inline void mbarrier_init(Shared<Mbarrier> barrier, int arrivals, emulator::Site site = emulator::Site::current()) {
  emulator::current_block().init_mbarrier(barrier.address(), arrivals, site);
}
inline void fence_mbarrier_init() { emulator::current_block().fence_mbarriers(); }
inline void mbarrier_arrive(Shared<Mbarrier> barrier, int bytes, emulator::Site site = emulator::Site::current()) {
  emulator::current_block().arrive(barrier.address(), bytes, site);
}
inline void mbarrier_wait(Shared<Mbarrier> barrier, int parity, emulator::Site site = emulator::Site::current()) {
  emulator::current_block().wait_mbarrier(barrier.address(), parity, site);
}

template <class T>
void tma_load(Shared<T> to, const TensorMap& map, Shared<Mbarrier> barrier, MatrixPlace at,
              emulator::Site site = emulator::Site::current()) {
  emulator::current_block().load(to.address(), emulator::chunks_of(map, at, site), barrier.address(), site);
}

template <class T>
void tma_load(Shared<T> to, const TensorMap& map, Shared<Mbarrier> barrier, ImagePlace at,
              emulator::Site site = emulator::Site::current()) {
  emulator::current_block().load(to.address(), emulator::chunks_of(map, at, site), barrier.address(), site);
}

}  // namespace on_emulator
}  // namespace apam::kernels::cuda

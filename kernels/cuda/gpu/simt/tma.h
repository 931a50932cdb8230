// Copies by TMA (sm_90 and up): one thread issues the copy of a box of a tensor, and an mbarrier in shared memory tells when it
// has arrived. Host twins: emulator/simt/tma.h.
//
// An mbarrier goes through phases. A phase is complete when its arrivals have come and the bytes that they announced have been
// copied; the parities of phases alternate, the first is 0.
#pragma once

#include <cstdint>

#include "kernels/cuda/tensor_box.h"
#include "kernels/runtime/device.h"

#include <simt/shared.h>

namespace apam::kernels::cuda {
inline namespace on_gpu {

using Mbarrier = std::uint64_t;

/// What TMA reads of a tensor and a box of it. It must be an argument of the kernel.
struct alignas(128) TensorMap {
  std::uint64_t words[16];
};

/// Throw DeviceError: what the driver refuses.
TensorMap tensor_map(Device, const MatrixBox&);
TensorMap tensor_map(Device, const ImageBox&);

/// By one thread. Others may use the barrier after fence_mbarrier_init() by this thread and a barrier of the block.
DEVICE void mbarrier_init(Shared<Mbarrier> barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier.address()), "r"(arrivals) : "memory");
}
DEVICE void fence_mbarrier_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
/// An arrival, which announces bytes of copies.
DEVICE void mbarrier_arrive(Shared<Mbarrier> barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier.address()), "r"(bytes) : "memory");
}
/// Waits for the end of the current phase, of parity `parity`, or returns if the phase before the current one had it. Then this
/// thread sees what was copied, and so do its products by wgmma.
DEVICE void mbarrier_wait(Shared<Mbarrier> barrier, int parity) {
  std::uint32_t complete = 0;
  while (complete == 0) {
    asm volatile(
        "{\n.reg .pred complete;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 complete, [%1], %2;\n"
        "selp.u32 %0, 1, 0, complete;\n}"
        : "=r"(complete)
        : "r"(barrier.address()), "r"(parity)
        : "memory");
  }
}

/// Copies a MatrixBox; all of its bytes count for the barrier. `to` is aligned to kBoxAlignment.
template <class T>
DEVICE void tma_load(Shared<T> to, const TensorMap& map, Shared<Mbarrier> barrier, MatrixPlace at) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
          to.address()),
      "l"(&map), "r"(barrier.address()), "r"(at.x), "r"(at.y), "r"(at.z)
      : "memory");
}

/// Copies an ImageBox, as above.
template <class T>
DEVICE void tma_load(Shared<T> to, const TensorMap& map, Shared<Mbarrier> barrier, ImagePlace at) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2], "
      "{%7, %8};" ::"r"(to.address()),
      "l"(&map), "r"(barrier.address()), "r"(at.c), "r"(at.w), "r"(at.h), "r"(at.n),
      "h"(static_cast<std::uint16_t>(at.offset_w)), "h"(static_cast<std::uint16_t>(at.offset_h))
      : "memory");
}

}  // namespace on_gpu
}  // namespace apam::kernels::cuda

// Products of a warpgroup on the emulator: host twins of gpu/simt/wgmma.h.
#pragma once

#include "kernels/cuda/emulator/device.h"
#include "kernels/runtime/device.h"

#include <simt/shared.h>

namespace apam::kernels::cuda {
inline namespace on_emulator {

inline bool has_wgmma(Device) { return true; }

template <class T>
std::uint32_t address_in_block(Shared<T> at) {
  return at.address().at;
}

inline void fence_async_proxy() {
  auto& block = emulator::current_block();
  block.memory().fence_async_proxy(block.thread());
}

inline void wgmma_fence(emulator::Site site = emulator::Site::current()) { emulator::wgmma_fence(site); }
inline void wgmma_commit(emulator::Site site = emulator::Site::current()) { emulator::wgmma_commit(site); }
template <int groups_left>
void wgmma_wait(emulator::Site site = emulator::Site::current()) {
  emulator::wgmma_wait(groups_left, site);
}
template <int count>
void hold(float (&)[count]) {}

template <bool a_by_depth, bool b_by_depth, int count>
void wgmma(float (&sums)[count], std::uint64_t a, std::uint64_t b, emulator::Site site = emulator::Site::current()) {
  static_assert(count == 32 || count == 64);
  emulator::wgmma({a, b, a_by_depth, b_by_depth, 2 * count}, sums, site);
}

}  // namespace on_emulator
}  // namespace apam::kernels::cuda

// PTX instructions on the emulator: host twins of gpu/simt/ptx.h.
#pragma once

#include "kernels/cuda/emulator/device.h"
#include "kernels/runtime/dtype.h"

#include <simt/shared.h>

namespace apam::kernels::cuda {
inline namespace on_emulator {

inline BFloat16 to_bfloat16(float value) { return BFloat16(value); }

template <class T>
T in_register(T value) {
  return value;
}

template <class T>
void cp_async_16(Shared<T> to, const void* from, bool valid, emulator::Site site = emulator::Site::current()) {
  emulator::current_block().copy(to.address(), from, 16, valid ? 16 : 0, site);
}
inline void cp_async_commit() { emulator::current_block().commit_copies(); }
template <int groups_left>
void cp_async_wait() {
  emulator::current_block().wait_copies(groups_left);
}

template <class T>
void ldmatrix(std::uint32_t (&registers)[4], Shared<T> row, emulator::Site site = emulator::Site::current()) {
  emulator::ldmatrix(registers, row.address(), false, site);
}
template <class T>
void ldmatrix_transposed(std::uint32_t (&registers)[4], Shared<T> row, emulator::Site site = emulator::Site::current()) {
  emulator::ldmatrix(registers, row.address(), true, site);
}

inline void mma_16x8x16(float (&sums)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                        emulator::Site site = emulator::Site::current()) {
  emulator::mma_16x8x16(sums, a, b, site);
}

}  // namespace on_emulator
}  // namespace apam::kernels::cuda

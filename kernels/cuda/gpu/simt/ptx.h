// PTX instructions, one function each (sm_80 and up). Their host twins are in emulator/simt/ptx.h.
#pragma once

#include <cstdint>

#include "kernels/runtime/dtype.h"

#include <simt/shared.h>

namespace apam::kernels::cuda {
inline namespace on_gpu {

/// To nearest, ties to even. NaN becomes 0x7FFF.
DEVICE BFloat16 to_bfloat16(float value) {
  std::uint16_t bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return BFloat16::from_bits(bits);
}

/// The same value, computed once: the compiler does not see what it is a sum or product of, and keeps it. Addresses are those
/// of global memory; offsets are then added to them in one instruction.
template <class T>
DEVICE T* in_register(T* address) {
  auto global = __cvta_generic_to_global(address);
  asm("" : "+l"(global));
  return static_cast<T*>(__cvta_global_to_generic(global));
}
DEVICE int in_register(int value) {
  asm("" : "+r"(value));
  return value;
}

/// Copies 16 bytes to shared memory, both sides aligned to 16; fills them with zeros and reads nothing unless `valid`. The copy
/// is complete, for this thread only, after a wait for its group.
template <class T>
DEVICE void cp_async_16(Shared<T> to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to.address()), "l"(from), "r"(valid ? 16 : 0) : "memory");
}
/// The copies since the last commit become a group, which may be empty.
DEVICE void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `groups_left` groups of this thread, the latest, are not complete.
template <int groups_left>
DEVICE void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(groups_left) : "memory");
}

/// Four 8x8 matrices of 16-bit elements. Lane l brings row l % 8 of matrix l / 8 (16 bytes, aligned to 16) and receives, of
/// each matrix, row l / 4, columns 2 (l % 4) and 2 (l % 4) + 1.
template <class T>
DEVICE void ldmatrix(std::uint32_t (&registers)[4], Shared<T> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(row.address())
               : "memory");
}
/// The same of the transposed matrices.
template <class T>
DEVICE void ldmatrix_transposed(std::uint32_t (&registers)[4], Shared<T> row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(row.address())
               : "memory");
}

/// sums (16 x 8, float32) += a (16 x 16) * b (16 x 8), both bfloat16. With g = lane / 4 and t = lane % 4, the lanes hold
///   a[0]: row g, columns 2t..   a[1]: row g+8, columns 2t..   a[2]: row g, columns 2t+8..   a[3]: row g+8, columns 2t+8..
///   b[0]: rows 2t.., column g   b[1]: rows 2t+8.., column g   sums[0..1]: row g, columns 2t..   sums[2..3]: row g+8
DEVICE void mma_16x8x16(float (&sums)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace on_gpu
}  // namespace apam::kernels::cuda

// Products of a warpgroup (sm_90a only): asynchronous, with both operands in shared memory. Host twins: emulator/simt/wgmma.h.
//
// A warpgroup is 4 warps, the first of which has a number divisible by 4; all of its threads call a function with the same
// arguments. Operands are read by the asynchronous proxy: what a store has written is seen only after the thread that wrote it
// has called fence_async_proxy(), and after a barrier. What cp.async has written is seen after the wait for it, and a barrier.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/runtime/device.h"

#include <simt/shared.h>

namespace apam::kernels::cuda {
inline namespace on_gpu {

/// Whether the device has these instructions.
inline bool has_wgmma(Device device) {
  int major = 0, minor = 0;
  return device.kind == DeviceKind::cuda &&
         cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device.index) == cudaSuccess &&
         cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device.index) == cudaSuccess && major == 9 &&
         minor == 0;
}

/// The address that descriptors of operands take.
template <class T>
DEVICE std::uint32_t address_in_block(Shared<T> at) {
  return at.address();
}

/// What this thread has written to shared memory is visible to the asynchronous proxy, for other threads after a barrier.
DEVICE void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// Before the first product, and again after a wait: orders accesses to the registers of sums before products.
DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
/// The products since the last commit become a group.
DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Waits until at most `groups_left` groups of this warp, the latest, are not complete.
template <int groups_left>
DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(groups_left) : "memory");
}
/// No instruction: keeps the compiler from moving accesses to sums across it. Call it before a fence and after a wait.
template <int count>
DEVICE void hold(float (&sums)[count]) {
#pragma unroll
  for (float& sum : sums) asm volatile("" : "+f"(sum)::"memory");
}

// Issues a product, which is complete after a wait for its group; until then, sums and operands must not be accessed. a and b
// are descriptors (wgmma_tile.h). With g = lane / 4 and t = lane % 4, warp w of the warpgroup holds in sums[4 j + 2 half ..]
// row 16 w + g + 8 half, columns 8 j + 2 t and the next.

/// sums (64 x 64) += a (64 x 16) * b (16 x 64).
template <bool a_by_depth, bool b_by_depth>
DEVICE void wgmma(float (&sums)[32], std::uint64_t a, std::uint64_t b) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, "
      "%25, %26, %27, %28, %29, %30, %31}, "
      "%32, %33, add, 1, 1, %34, %35;\n}"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]), "+f"(sums[4]), "+f"(sums[5]), "+f"(sums[6]), "+f"(sums[7]),
        "+f"(sums[8]), "+f"(sums[9]), "+f"(sums[10]), "+f"(sums[11]), "+f"(sums[12]), "+f"(sums[13]), "+f"(sums[14]),
        "+f"(sums[15]), "+f"(sums[16]), "+f"(sums[17]), "+f"(sums[18]), "+f"(sums[19]), "+f"(sums[20]), "+f"(sums[21]),
        "+f"(sums[22]), "+f"(sums[23]), "+f"(sums[24]), "+f"(sums[25]), "+f"(sums[26]), "+f"(sums[27]), "+f"(sums[28]),
        "+f"(sums[29]), "+f"(sums[30]), "+f"(sums[31])
      : "l"(a), "l"(b), "n"(a_by_depth ? 1 : 0), "n"(b_by_depth ? 1 : 0));
}

/// sums (64 x 128) += a (64 x 16) * b (16 x 128).
template <bool a_by_depth, bool b_by_depth>
DEVICE void wgmma(float (&sums)[64], std::uint64_t a, std::uint64_t b) {
  asm volatile(
      "{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, "
      "%25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, "
      "%49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, add, 1, 1, %66, %67;\n}"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3]), "+f"(sums[4]), "+f"(sums[5]), "+f"(sums[6]), "+f"(sums[7]),
        "+f"(sums[8]), "+f"(sums[9]), "+f"(sums[10]), "+f"(sums[11]), "+f"(sums[12]), "+f"(sums[13]), "+f"(sums[14]),
        "+f"(sums[15]), "+f"(sums[16]), "+f"(sums[17]), "+f"(sums[18]), "+f"(sums[19]), "+f"(sums[20]), "+f"(sums[21]),
        "+f"(sums[22]), "+f"(sums[23]), "+f"(sums[24]), "+f"(sums[25]), "+f"(sums[26]), "+f"(sums[27]), "+f"(sums[28]),
        "+f"(sums[29]), "+f"(sums[30]), "+f"(sums[31]), "+f"(sums[32]), "+f"(sums[33]), "+f"(sums[34]), "+f"(sums[35]),
        "+f"(sums[36]), "+f"(sums[37]), "+f"(sums[38]), "+f"(sums[39]), "+f"(sums[40]), "+f"(sums[41]), "+f"(sums[42]),
        "+f"(sums[43]), "+f"(sums[44]), "+f"(sums[45]), "+f"(sums[46]), "+f"(sums[47]), "+f"(sums[48]), "+f"(sums[49]),
        "+f"(sums[50]), "+f"(sums[51]), "+f"(sums[52]), "+f"(sums[53]), "+f"(sums[54]), "+f"(sums[55]), "+f"(sums[56]),
        "+f"(sums[57]), "+f"(sums[58]), "+f"(sums[59]), "+f"(sums[60]), "+f"(sums[61]), "+f"(sums[62]), "+f"(sums[63])
      : "l"(a), "l"(b), "n"(a_by_depth ? 1 : 0), "n"(b_by_depth ? 1 : 0));
}

}  // namespace on_gpu
}  // namespace apam::kernels::cuda

// The host twins of what a kernel calls, on the block that runs on this thread. simt/*.h gives them the names that kernels use.
#pragma once

#include "kernels/cuda/emulator/block.h"

namespace apam::kernels::cuda::emulator {

/// All lanes of the warp bring `mine`; the last one calls act(lanes), where lanes[i] is what lane i brought.
template <class Mine, class Act>
void collective(const char* name, Mine& mine, const Site& site, Act act) {
  current_block().meet_warp(
      name, &mine, site, [](void* context, const Lanes& lanes) { (*static_cast<Act*>(context))(lanes); }, &act);
}

/// Every lane receives the value of lane from(its own lane).
template <class T, class From>
T exchange(const char* name, T value, const Site& site, From from) {
  struct Mine {
    T given, received;
  } mine{value, value};
  collective(name, mine, site, [&](const Lanes& lanes) {
    for (int lane = 0; lane < kWarp; ++lane) {
      static_cast<Mine*>(lanes[static_cast<std::size_t>(lane)])->received =
          static_cast<Mine*>(lanes[static_cast<std::size_t>(from(lane))])->given;
    }
  });
  return mine.received;
}

/// Four 8x8 matrices of 16-bit elements: lane l brings the address of row l % 8 of matrix l / 8.
void ldmatrix(std::uint32_t (&registers)[4], SharedAddress row, bool transposed, const Site& site);

/// sums (16 x 8, float32) += a (16 x 16) * b (16 x 8), both bfloat16, each spread over the lanes.
void mma_16x8x16(float (&sums)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], const Site& site);

/// Collective for a warp, whose products they concern (warp_products.h).
void wgmma_fence(const Site& site);
void wgmma(const Product& product, float* sums, const Site& site);
void wgmma_commit(const Site& site);
void wgmma_wait(std::size_t groups_left, const Site& site);

}  // namespace apam::kernels::cuda::emulator

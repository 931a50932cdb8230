// The product of two tiles in shared memory on Hopper's tensor cores, by warpgroups (interface: tile_products.h). A warpgroup
// computes 64 rows in products of 64 x columns x 16, asynchronously: while they run, its threads issue the copies for later
// stages. Both operands are read from shared memory, by descriptors; registers hold sums only.
//
// Only for GPUs of compute capability 9.0.
#pragma once

#include "kernels/cuda/tile_products.h"

#include <simt/macros.h>
#include <simt/threads.h>
#include <simt/wgmma.h>

namespace apam::kernels::cuda {

/// The descriptor of an operand whose lines of 128 bytes have the swizzle of 128 bytes: its address, and the distances
/// of parts of it, in bytes. Addresses and distances are in units of 16 bytes: descriptor + n is the operand n chunks further.
DEVICE std::uint64_t wgmma_operand(std::uint32_t address, std::uint32_t leading, std::uint32_t stride) {
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  return (address & 0x3FFFFU) >> 4 | std::uint64_t{leading >> 4} << 16 | std::uint64_t{stride >> 4} << 32 | kSwizzle128;
}
/// By row: groups of 8 rows are 1024 bytes apart. The leading distance is not used.
template <class T>
DEVICE std::uint64_t wgmma_operand_by_row(Shared<T> tile) {
  return wgmma_operand(address_in_block(tile), 16, 1024);
}
/// By depth: groups of 64 rows or columns are depth lines apart, groups of 8 depths 1024 bytes.
template <int depth, class T>
DEVICE std::uint64_t wgmma_operand_by_depth(Shared<T> tile) {
  return wgmma_operand(address_in_block(tile), depth * 128, 1024);
}

template <int rows_, int columns_, Layout of_a, Layout of_b>
class WgmmaTile {
  static_assert(rows_ % 64 == 0 && (columns_ == 64 || columns_ == 128));

 public:
  using Element = BFloat16;
  using Lines = WideLines;
  static constexpr int rows = rows_, columns = columns_, groups = 1;
  static constexpr int threads = rows * 2;  // a warpgroup per 64 rows
  static constexpr int depth = 64;          // of the tiles
  static constexpr int run = 2;
  static constexpr Layout b_layout = of_b;
  static constexpr bool asynchronous = true;
  // 64, 96 and 96 KiB of shared memory, and a little more for weight gradients. With the largest tile, a second block keeps
  // tensor cores busy at barriers.
  static constexpr int stages = rows * columns == 128 * 128 ? 3 : 4, in_flight = rows * columns == 128 * 128 ? 0 : 1;
  static constexpr int min_blocks = rows * columns == 64 * 64 ? 3 : 2;

  /// After ordinary stores to shared memory that products read, before the barrier. Copies by cp.async need none: their wait
  /// and the barrier are enough, as in CUTLASS's own kernels of this kind. A fence would wait for all copies in flight.
  DEVICE static void after_stores() { fence_async_proxy(); }
  template <bool stored>
  DEVICE void before_barrier() {
    if constexpr (stored) after_stores();
    wgmma_wait<in_flight>();
  }

  DEVICE void finish() {
    wgmma_wait<0>();
    hold(sums_);
  }

  /// Adds the product of the tiles `offset` chunks behind a and b, of the first `chunks` chunks of their depth (or of all). The
  /// sums are complete after finish().
  DEVICE void multiply(Shared<Chunk<Element>> a, Shared<Chunk<Element>> b, int offset = 0, int chunks = Lines::row_chunks) {
    const std::uint64_t first_a = operand<of_a>(a) + (offset + group_ * kGroupChunks), first_b = operand<of_b>(b) + offset;
    // Without branches among products: ptxas would wait between them.
    if (chunks > 4) {
      issue<4>(first_a, first_b);
    } else if (chunks > 2) {
      issue<2>(first_a, first_b);
    } else {
      issue<1>(first_a, first_b);
    }
  }

  template <class Visit>
  DEVICE void for_each(const Visit& visit) const {
    const int row = warp() * 16 + lane() / 4, column = lane() % 4 * 2;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int j = 0; j < columns / 8; ++j) {
        const float values[run] = {sums_[4 * j + 2 * half], sums_[4 * j + 2 * half + 1]};
        visit(row + 8 * half, column + 8 * j, values);
      }
    }
  }

  DEVICE void clear() {
#pragma unroll
    for (int i = 0; i < columns / 8; ++i) {  // a single loop would become a fill of memory
#pragma unroll
      for (int e = 0; e < 4; ++e) sums_[4 * i + e] = 0;
    }
  }
  DEVICE void put_sums(float* to) const {
#pragma unroll
    for (int i = 0; i < columns / 8; ++i) {
      const float four[4] = {sums_[4 * i], sums_[4 * i + 1], sums_[4 * i + 2], sums_[4 * i + 3]};
      put_four<threads>(to, i, four);
    }
  }
  DEVICE void add_sums(const float* from) {
#pragma unroll
    for (int i = 0; i < columns / 8; ++i) {
      float four[4] = {sums_[4 * i], sums_[4 * i + 1], sums_[4 * i + 2], sums_[4 * i + 3]};
      add_four<threads>(from, i, four);
#pragma unroll
      for (int e = 0; e < 4; ++e) sums_[4 * i + e] = four[e];
    }
  }

 private:
  static constexpr int kGroupChunks = 64 * 8;  // of 64 rows, in either layout
  static_assert(depth == 64, "so that 64 rows by depth are as many chunks as by row");
  template <Layout layout>
  static constexpr int kStepChunks = layout == Layout::by_row ? 2 : 2 * 64;  // 16 of the depth

  /// A group of products for the first `steps` times 16 of the depth.
  template <int steps>
  DEVICE void issue(std::uint64_t first_a, std::uint64_t first_b) {
    hold(sums_);
    wgmma_fence();
#pragma unroll
    for (int step = 0; step < steps; ++step) {
      wgmma<of_a == Layout::by_depth, of_b == Layout::by_depth>(sums_, first_a + step * kStepChunks<of_a>,
                                                                first_b + step * kStepChunks<of_b>);
    }
    wgmma_commit();
  }

  template <Layout layout>
  DEVICE static std::uint64_t operand(Shared<Chunk<Element>> tile) {
    if constexpr (layout == Layout::by_row) {
      return wgmma_operand_by_row(tile);
    } else {
      return wgmma_operand_by_depth<depth>(tile);
    }
  }

  /// The number of the warpgroup; exchanged, so that the compiler knows that it is the same for all lanes.
  const int group_ = rows == 64 ? 0 : shuffle(warp() / 4, 0);
  float sums_[columns / 2] = {};
};

}  // namespace apam::kernels::cuda

// Two sums over rows per channel of (rows, C) operands, in a fixed order; and the loop over rows that batch norm's other
// kernels share.
//
// A block covers a tile of channels and a range of rows. Its threads are `lanes` packs of channels wide and threads / lanes
// rows high, so that a warp reads contiguous memory: with 64 channels in bfloat16, 8 lanes of 8 channels and 4 rows per warp. A
// thread adds up its rows in registers; then one thread per channel adds the rows of threads in shared memory, from the first
// to the last.
#pragma once

#include <algorithm>

#include "kernels/cuda/elements.h"
#include "kernels/cuda/operands.h"

#include <simt/macros.h>
#include <simt/shared.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {

inline constexpr int kRowThreads = 256;

/// How the rows and channels of an operand are divided among blocks and threads.
struct RowTiling {
  int rows = 0, c = 0;
  int packs = 0;      // of channels per row
  int lane_bits = 0;  // a block is 1 << lane_bits packs wide
  int rows_per_block = 0;

  /// `count`: channels per pack. A thread has at least `rows_per_thread` rows, so that few rows make few blocks.
  static RowTiling of(int rows, int c, int count, int rows_per_thread, int most_blocks) {
    RowTiling tiling{rows, c, c / count, 0, 0};
    while (tiling.lane_bits < 5 && (1 << tiling.lane_bits) < tiling.packs) ++tiling.lane_bits;
    const int row_lanes = kRowThreads >> tiling.lane_bits;
    const std::int64_t row_blocks = std::max<std::int64_t>(1, most_blocks / tiling.channel_blocks());
    const std::int64_t even = round_up(ceil_div(rows, row_blocks), row_lanes);
    tiling.rows_per_block = static_cast<int>(std::max<std::int64_t>(even, std::int64_t{row_lanes} * rows_per_thread));
    return tiling;
  }
  int channel_blocks() const { return static_cast<int>(ceil_div(packs, 1 << lane_bits)); }
  int row_blocks() const { return static_cast<int>(ceil_div(rows, rows_per_block)); }
  Extent blocks() const { return {channel_blocks(), row_blocks()}; }
};

/// The rows and the pack of channels of a thread.
struct RowPlace {
  int pack;
  int begin, end, first, step;  // rows of the block; those of the thread are first, first + step, ...
};

DEVICE RowPlace row_place(const RowTiling& tiling) {
  const int lanes = 1 << tiling.lane_bits;
  const int begin = block().y * tiling.rows_per_block, end = begin + tiling.rows_per_block;
  return {block().x * lanes + (thread() & (lanes - 1)), begin, end < tiling.rows ? end : tiling.rows,
          begin + (thread() >> tiling.lane_bits), kRowThreads >> tiling.lane_bits};
}

/// Calls visit(element) for the thread's rows, with the index of the first element of its pack.
template <int count, class Visit>
DEVICE void for_rows(const RowTiling& tiling, const RowPlace& at, const Visit& visit) {
  if (at.pack >= tiling.packs) return;
#pragma unroll 4
  for (int row = at.first; row < at.end; row += at.step) visit(std::int64_t{row} * tiling.c + at.pack * count);
}

template <int count>
inline constexpr std::uint32_t kRowSumsBytes = 2 * count* kRowThreads * sizeof(float);

/// Adds `first` and `second`, the sums of each thread, over the threads of the block. Calls finish(channel, first, second) in
/// one thread per channel.
template <int count, class Finish>
DEVICE void sum_over_rows(const RowTiling& tiling, const float (&first)[count], const float (&second)[count],
                          SharedBytes shared, const Finish& finish) {
  const auto firsts = shared.array<float>(0, count * kRowThreads);  // (count, threads)
  const auto seconds = shared.array<float>(count * kRowThreads * int{sizeof(float)}, count * kRowThreads);
#pragma unroll
  for (int e = 0; e < count; ++e) {
    firsts[e * kRowThreads + thread()] = first[e];
    seconds[e * kRowThreads + thread()] = second[e];
  }
  sync_block();
  const int lanes = 1 << tiling.lane_bits;
  for (int channel = thread(); channel < lanes * count; channel += kRowThreads) {
    const int e = channel / lanes, column = channel - e * lanes;
    const int pack = block().x * lanes + column;
    if (pack >= tiling.packs) continue;
    float sum_first = 0, sum_second = 0;
    for (int from = column; from < kRowThreads; from += lanes) {
      sum_first += firsts[e * kRowThreads + from];
      sum_second += seconds[e * kRowThreads + from];
    }
    finish(pack * count + e, sum_first, sum_second);
  }
}

}  // namespace apam::kernels::cuda

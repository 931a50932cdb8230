// Two sums over rows per channel of (rows, C) operands, in a fixed order; and the loop over rows that all kernels of batch norm
// share.
//
// A block covers a tile of channels, 64 bytes wide, and a range of rows. Its threads are `lanes` packs of channels wide and
// threads / lanes rows high: with packs of 4 channels in bfloat16, 8 lanes and 4 rows per warp. Tiles that are only two sectors
// wide make enough blocks where the rows are few and the channels many. A thread adds up its rows in registers, several loads
// ahead; then the rows of threads are added in shared memory, each sum by all lanes of a warp.
#pragma once

#include <algorithm>

#include "kernels/cuda/elements.h"
#include "kernels/cuda/operands.h"
#include "kernels/cuda/tile_shape.h"

#include <simt/macros.h>
#include <simt/shared.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {

inline constexpr int kRowThreads = 512, kRowWarps = kRowThreads / 32;

/// What bounds the number of blocks. It must not depend on the GPU that runs them, so that sums do not.
struct BlockLimits {
  int few;  ///< rows per thread
  int multiprocessors = kMultiprocessors;
};

/// How the rows and channels of an operand are divided among blocks and threads.
struct RowTiling {
  int rows = 0, c = 0;
  int packs = 0;      // of channels per row
  int lane_bits = 0;  // a block is 1 << lane_bits packs wide
  int rows_per_block = 0;

  /// `count`: channels per pack, each of `channel_bytes`. One block per multiprocessor, as long as that is up to `few` rows per
  /// thread; for more rows, two.
  static RowTiling of(int rows, int c, int count, int channel_bytes, BlockLimits limits) {
    constexpr int kTileBytes = 64;
    constexpr int kMostChannels = 1 << 22;  // 512 rows of them are counted in 32 bits
    require<ShapeError>(c < kMostChannels, "batch_norm: {} channels, there may be at most {}", c, kMostChannels - 1);
    RowTiling tiling{rows, c, c / count, 0, 0};
    while ((count * channel_bytes << tiling.lane_bits) < kTileBytes && (1 << tiling.lane_bits) < tiling.packs)
      ++tiling.lane_bits;
    const int row_lanes = kRowThreads >> tiling.lane_bits;
    const std::int64_t steps = ceil_div(rows, row_lanes) * tiling.channel_blocks();  // rows of all threads
    const std::int64_t per_thread = ceil_div(steps, limits.multiprocessors);
    const bool few = per_thread <= limits.few;
    tiling.rows_per_block = static_cast<int>(row_lanes * (few ? per_thread : ceil_div(steps, 2 * limits.multiprocessors)));
    return tiling;
  }
  int channel_blocks() const { return static_cast<int>(ceil_div(packs, 1 << lane_bits)); }
  int row_blocks() const { return static_cast<int>(ceil_div(rows, rows_per_block)); }
  Extent blocks() const { return {channel_blocks(), row_blocks()}; }
};

/// The rows and the pack of channels of a thread.
struct RowPlace {
  int pack;
  int begin, end;   // rows of the block
  int first, step;  // rows of the thread: first, first + step, ... below end; none outside the channels
};

DEVICE RowPlace row_place(const RowTiling& tiling) {
  const int lanes = 1 << tiling.lane_bits, pack = block().x * lanes + (thread() & (lanes - 1));
  const int begin = block().y * tiling.rows_per_block;
  const int end = tiling.rows - begin < tiling.rows_per_block ? tiling.rows : begin + tiling.rows_per_block;
  return {pack, begin, end, pack < tiling.packs ? begin + (thread() >> tiling.lane_bits) : end,
          kRowThreads >> tiling.lane_bits};
}

/// A thread's rows in batches: as many loads as a batch has rows are in flight. The last rows of a batch may not exist.
template <int count, int batch>
class RowBatches {
 public:
  DEVICE RowBatches(const RowTiling& tiling, const RowPlace& at)
      : row_(at.first),
        end_(at.end),
        step_(in_register(at.step)),
        stride_(at.step * tiling.c),
        element_(std::int64_t{at.first} * tiling.c + at.pack * count) {}

  /// Whether the first row of this batch exists.
  DEVICE bool any() const { return row_ < end_; }
  DEVICE bool exists(int u) const { return row_ + u * step_ < end_; }
  DEVICE void next() {
    row_ += batch * step_;
    element_ += std::int64_t{batch} * stride_;
  }
  /// Loads this batch of an operand. Rows that do not exist are zero.
  template <class T>
  DEVICE void load(const T* operand, LoadedPack<T, count> (&packs)[batch]) const {
    const T* from = operand + element_;
#pragma unroll
    for (int u = 0; u < batch; ++u) {
      from = in_register(u == 0 ? from : from + stride_);
      packs[u] = {};
      if (exists(u)) packs[u].load(from);
    }
  }
  /// The same; instead of rows that do not exist, loads the pack at `absent`.
  template <class T>
  DEVICE void load_or(const T* operand, const T* absent, LoadedPack<T, count> (&packs)[batch]) const {
    const T* from = operand + element_;
#pragma unroll
    for (int u = 0; u < batch; ++u) {
      from = in_register(u == 0 ? from : from + stride_);
      packs[u].load(exists(u) ? from : absent);
    }
  }
  /// visit(u, to + place of the pack) for the rows of this batch.
  template <class T, class Visit>
  DEVICE void visit(T* to, const Visit& visit) const {
    to += element_;
#pragma unroll
    for (int u = 0; u < batch; ++u) {
      to = in_register(u == 0 ? to : to + stride_);
      if (exists(u)) visit(u, to);
    }
  }

 private:
  int row_, end_, step_;
  int stride_;  // of a thread's rows, in elements; of 32 bits, so that one instruction adds it to an address
  std::int64_t element_;
};

/// Two sums of a channel.
struct alignas(8) Pair {
  float first, second;
};

template <int count>
inline constexpr int kRowSumsBytes = 2 * count*(kRowThreads + 32) * int{sizeof(float)};

/// Adds `first` and `second` of the threads of a block whose numbers agree in the last `lane_bits` bits, at most 5: a lane of
/// channels. Thread t gets the sums of channel t, that is t % count of lane t / count; the others nothing of use.
template <int count>
DEVICE Pair sum_over_rows(int lane_bits, const float (&first)[count], const float (&second)[count], SharedBytes shared) {
  constexpr int kSums = 2 * count, kBytes = kSums * kRowThreads * int{sizeof(float)};
  const auto values = shared.array<float>(0, kSums * kRowThreads);  // (firsts and seconds, threads)
  const auto totals = shared.array<float>(kBytes, kSums * 32);      // (firsts and seconds, lanes)
#pragma unroll
  for (int e = 0; e < count; ++e) {
    values[e * kRowThreads + thread()] = first[e];
    values[(count + e) * kRowThreads + thread()] = second[e];
  }
  sync_block();
  for (int sum = warp(); sum < kSums; sum += kRowWarps) {  // neighbours in banks and in threads are neighbours in memory
    float parts[4] = {};
#pragma unroll
    for (int i = 0; i < kRowWarps; ++i) parts[i % 4] += values[sum * kRowThreads + i * 32 + lane()];
    float total = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    for (unsigned distance = 16; distance >> lane_bits > 0; distance /= 2)
      total += shuffle_xor(total, static_cast<int>(distance));
    totals[sum * 32 + lane()] = total;
  }
  sync_block();
  Pair sums{};
  if (thread() < count << lane_bits) {
    const int e = thread() % count, of_lane = thread() / count;
    sums = {totals[e * 32 + of_lane], totals[(count + e) * 32 + of_lane]};
  }
  return sums;
}

/// The sums of all rows, in parts: one pair per block of rows and channel.
struct RowParts {
  Pair* values;  // (count, C)
  int count, c;
};

/// Shared memory of join_rows(), which takes one channel or two at a time.
template <int count>
inline constexpr int kJoinBytes = kRowSumsBytes<count == 1 ? 1 : 2>;

/// The sums of the parts of a block's channels, to thread t those of channel t of the block. add(part, value, first, &sums)
/// adds one part; `first` is the first number of the channel's first part. Places beyond the last part have values of zero.
/// Every block that reads the same parts gets the same bits. meanwhile() is called after the first parts were requested.
template <int count, class Add, class Meanwhile>
DEVICE Pair join_rows(const RowTiling& tiling, const RowParts& parts, SharedBytes shared, const Meanwhile& meanwhile,
                      const Add& add) {
  static_assert(count == 1 || count == 4);
  constexpr int kWidth = count == 1 ? 1 : 2;  // channels per access of at most 16 bytes
  constexpr int kBatch = 2;                   // a thread rarely has more
  using Access = Pack<float, 2 * kWidth>;
  const int lane_bits = tiling.lane_bits + (count == 4 ? 1 : 0), step = kRowThreads >> lane_bits;
  const int channel = ((block().x << lane_bits) + (thread() & ((1 << lane_bits) - 1))) * kWidth;
  const bool exists = channel < parts.c;
  const int stride = step * parts.c;
  int part = thread() >> lane_bits;
  const Pair* from = parts.values + std::int64_t{part} * parts.c + channel;
  Access values[kBatch], reference{};
  const auto load = [&] {
#pragma unroll
    for (int u = 0; u < kBatch; ++u) {
      values[u] = {};
      if (exists && part + u * step < parts.count) values[u] = *reinterpret_cast<const Access*>(from);
      from = in_register(from + stride);
    }
  };
  if (exists) reference = *reinterpret_cast<const Access*>(parts.values + channel);
  load();
  sync_warp();  // keeps the order of requests: what follows arrives later, and nothing waits for it
  meanwhile();
  float firsts[kWidth] = {}, seconds[kWidth] = {};
#pragma unroll 1
  while (part < parts.count) {
#pragma unroll
    for (int u = 0; u < kBatch; ++u) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        Pair sums{firsts[i], seconds[i]};
        add(part + u * step, Pair{values[u].values[2 * i], values[u].values[2 * i + 1]}, reference.values[2 * i], sums);
        firsts[i] = sums.first;
        seconds[i] = sums.second;
      }
    }
    part += kBatch * step;
    load();
  }
  return sum_over_rows<kWidth>(lane_bits, firsts, seconds, shared);
}

}  // namespace apam::kernels::cuda

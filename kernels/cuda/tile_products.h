// The product of two tiles in shared memory, summed in registers:  sums[row][column] += sum over d of a[row][d] * b[column][d].
// MmaTile is for bfloat16, on tensor cores; FmaTile for float32, rounded in float32 at each step. Each of the two tiles is
// stored by row or by depth (tiles.h): Layout of a, Layout of b. FmaTile has no b by row if a is by depth.
//
// `for_each(visit)` calls visit(row, column, values) for runs of neighbouring columns of this thread: values is float[run].
// `put_sums(to)` stores all sums of a block, rows * columns floats, in an order that only `add_sums(from)` knows: each thread
// reads what it has written, in whole 16-byte accesses.
//
// A kernel fills `stages` stages of shared memory in turn, each the two tiles for one `depth`, places by `Lines`. Before the
// barrier that follows its waits for copies, it calls `before_barrier<stored>()`, stored if ordinary stores fill stages; after
// the last product `finish()`. Products that are `asynchronous` (wgmma_tile.h) may still read the stages of the `in_flight`
// latest products after that.
#pragma once

#include "kernels/cuda/tiles.h"

#include <simt/macros.h>
#include <simt/threads.h>

namespace apam::kernels::cuda {

enum class Layout : std::uint8_t { by_row, by_depth };

/// Stores, or adds, four sums of each thread: number `index` of its fours.
template <int threads>
DEVICE void put_four(float* to, int index, const float (&sums)[4]) {
  store_pack<4>(to + (index * threads + thread()) * 4, Pack<float, 4>{{sums[0], sums[1], sums[2], sums[3]}});
}
template <int threads>
DEVICE void add_four(const float* from, int index, float (&sums)[4]) {
  const Pack<float, 4> four = load_pack<4>(from + (index * threads + thread()) * 4);
#pragma unroll
  for (int e = 0; e < 4; ++e) sums[e] += four.values[e];
}

/// Warps of warp_rows x warp_columns each, in mma's of 16 x 8 x 16. With two groups of warps, the depth is twice as large and
/// each group multiplies one half of it: more warps for the same sums. After the last product, join_groups() adds their sums,
/// of which each group then holds one half. Both layouts must be by depth.
template <int rows_, int columns_, int warp_rows, int warp_columns, Layout of_a, Layout of_b, int groups_ = 1>
class MmaTile {
  static constexpr int kGroupWarps = (rows_ / warp_rows) * (columns_ / warp_columns), kGroupDepth = 32;
  static_assert(groups_ == 1 || (groups_ == 2 && of_a == Layout::by_depth && of_b == Layout::by_depth));

 public:
  using Element = BFloat16;
  static constexpr int rows = rows_, columns = columns_, groups = groups_;
  static constexpr int threads = groups * kGroupWarps * 32;
  static constexpr int min_blocks = threads > 128 ? 2 : rows* columns == 64 * 64 ? 4 : 3;
  static constexpr int depth = groups * kGroupDepth;  // of the tiles
  static constexpr int run = 2;
  static constexpr Layout b_layout = of_b;
  using Lines = NarrowLines;
  static constexpr int stages = groups == 1 ? 4 : 3, in_flight = 0;
  static constexpr bool asynchronous = false;

  DEVICE static void after_stores() {}
  template <bool stored>
  DEVICE void before_barrier() {}
  DEVICE void finish() {}

  /// Adds the product of the tiles `offset` chunks behind a and b, of the first `chunks` chunks of their depth (or of all).
  DEVICE void multiply(Shared<Chunk<Element>> a, Shared<Chunk<Element>> b, int offset = 0, int chunks = kRowChunks) {
#pragma unroll
    for (int step = 0; step < kGroupDepth / 16; ++step) {
      if (step > 0 && 2 * step >= chunks) break;
      std::uint32_t as[kDown][4], bs[kAcross / 2][4];
#pragma unroll
      for (int i = 0; i < kDown; ++i) load_rows(as[i], a, i, step, offset);
#pragma unroll
      for (int j = 0; j < kAcross / 2; ++j) load_columns(bs[j], b, j, step, offset);
#pragma unroll
      for (int i = 0; i < kDown; ++i) {
#pragma unroll
        for (int j = 0; j < kAcross; ++j) {
          const std::uint32_t pair[2] = {bs[j / 2][j % 2 * 2], bs[j / 2][j % 2 * 2 + 1]};
          mma_16x8x16(sums_[i][j], as[i], pair);
        }
      }
    }
  }

  /// Of two groups. Uses memory that no thread reads or writes before the next barrier.
  DEVICE void join_groups(SharedBytes shared) {
    static_assert(groups == 2);
    const auto others = shared.array<Pack<float, 4>>(0, kHeld * kAcross * threads);
    const bool second = group() == 1;
    sync_block();
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        Pack<float, 4> given;
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float first_half = sums_[i][j][e], second_half = sums_[i + kHeld][j][e];
          given.values[e] = second ? first_half : second_half;
          sums_[i][j][e] = second ? second_half : first_half;
        }
        others[(i * kAcross + j) * threads + thread()] = given;
      }
    }
    sync_block();
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; ++j) {
        const Pack<float, 4> received = others[(i * kAcross + j) * threads + (thread() ^ (threads / 2))];
#pragma unroll
        for (int e = 0; e < 4; ++e) sums_[i][j][e] += received.values[e];
      }
    }
  }

  template <class Visit>
  DEVICE void for_each(const Visit& visit) const {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int j = 0; j < kAcross; ++j) {
          const float values[run] = {sums_[i][j][2 * half], sums_[i][j][2 * half + 1]};
          visit(first_row() + 16 * (group() * kHeld + i) + 8 * half + lane() / 4, first_column() + 8 * j + lane() % 4 * 2,
                values);
        }
      }
    }
  }

  DEVICE void clear() {
#pragma unroll
    for (auto& row : sums_) {
#pragma unroll
      for (auto& four : row) {
#pragma unroll
        for (float& sum : four) sum = 0;
      }
    }
  }
  DEVICE void put_sums(float* to) const {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; ++j) put_four<threads>(to, i * kAcross + j, sums_[i][j]);
    }
  }
  DEVICE void add_sums(const float* from) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; ++j) add_four<threads>(from, i * kAcross + j, sums_[i][j]);
    }
  }

 private:
  static constexpr int kDown = warp_rows / 16, kAcross = warp_columns / 8;
  static constexpr int kHeld = kDown / groups;  // after join_groups
  static_assert(kHeld * groups == kDown);
  static_assert((warp_rows & (warp_rows - 1)) == 0 && (warp_columns & (warp_columns - 1)) == 0);
  static_assert(warp_rows % 16 == 0 && warp_columns % 16 == 0, "operands are loaded 16 rows or columns at a time");

  DEVICE static int group() { return groups == 1 ? 0 : warp() / kGroupWarps; }
  DEVICE static int first_row() { return warp() % kGroupWarps / (columns / warp_columns) * warp_rows; }
  DEVICE static int first_column() { return warp() % (columns / warp_columns) * warp_columns; }

  // Of an address, first what a thread knows before the loop, then the offset: so the compiler keeps the first part. By depth,
  // the next 16 rows are 2 chunks on: bits that the first one does not have, so that `^` adds them, before or after the
  // swizzle.

  /// a's fragment of 16 rows, number i of the warp: matrices (rows 0-7, depth 0-7), (8-15, 0-7), (0-7, 8-15), (8-15, 8-15).
  DEVICE static void load_rows(std::uint32_t (&to)[4], Shared<Chunk<Element>> a, int i, int step, int offset) {
    const int upper = lane() / 8 % 2, right = lane() / 16, within = lane() % 8;
    if constexpr (of_a == Layout::by_row) {
      ldmatrix(to, a + place_by_row(first_row() + 8 * upper + within, 2 * step + right) + offset + 16 * i * kRowChunks);
    } else {
      const int first = place_by_depth<rows / 8>(kGroupDepth * group() + 8 * right + within, first_row() / 8 + upper);
      ldmatrix_transposed(to, a + (first ^ 2 * i) + offset + 16 * step * (rows / 8));
    }
  }

  /// b's fragments of 16 columns, two of 8: matrices (columns 0-7, depth 0-7), (0-7, 8-15), (8-15, 0-7), (8-15, 8-15).
  DEVICE static void load_columns(std::uint32_t (&to)[4], Shared<Chunk<Element>> b, int j, int step, int offset) {
    const int right = lane() / 8 % 2, upper = lane() / 16, within = lane() % 8;
    if constexpr (of_b == Layout::by_row) {
      ldmatrix(to, b + place_by_row(first_column() + 8 * upper + within, 2 * step + right) + offset + 16 * j * kRowChunks);
    } else {
      const int first = place_by_depth<columns / 8>(kGroupDepth * group() + 8 * right + within, first_column() / 8 + upper);
      ldmatrix_transposed(to, b + (first ^ 2 * j) + offset + 16 * step * (columns / 8));
    }
  }

  float sums_[kDown][kAcross][4] = {};
};

/// 64 x 64 by 128 threads, 8 x 4 each. A warp is 4 threads high and 8 wide, so that it reads 4 different chunks of a and 8 of
/// b.
template <Layout of_a, Layout of_b>
class FmaTile {
  static_assert(of_a == Layout::by_row || of_b == Layout::by_depth);

 public:
  using Element = float;
  static constexpr int rows = 64, columns = 64, groups = 1, threads = 128, min_blocks = 3, depth = 16;
  static constexpr int run = of_b == Layout::by_row ? 1 : 4;
  static constexpr Layout b_layout = of_b;
  using Lines = NarrowLines;
  static constexpr int stages = 4, in_flight = 0;
  static constexpr bool asynchronous = false;

  DEVICE static void after_stores() {}
  template <bool stored>
  DEVICE void before_barrier() {}
  DEVICE void finish() {}

  DEVICE void multiply(Shared<Chunk<Element>> first_a, Shared<Chunk<Element>> first_b, int offset = 0,
                       int chunks = kRowChunks) {
    const auto a = first_a + offset, b = first_b + offset;
    if constexpr (of_a == Layout::by_row) {
#pragma unroll
      for (int chunk = 0; chunk < kRowChunks; ++chunk) {
        if (chunk > 0 && chunk >= chunks) break;
        Chunk<float> as[kDown], bs[kAcross];
#pragma unroll
        for (int i = 0; i < kDown; ++i) as[i] = a[place_by_row(row(i), chunk)];
        if constexpr (of_b == Layout::by_row) {
#pragma unroll
          for (int j = 0; j < kAcross; ++j) bs[j] = b[place_by_row(column(j), chunk)];
        }
#pragma unroll
        for (int d = 0; d < 4; ++d) {
          if constexpr (of_b == Layout::by_row) {
            add_products([&](int i) { return as[i].values[d]; }, [&](int j) { return bs[j].values[d]; });
          } else {
            bs[0] = b[place_by_depth<columns / 4>(4 * chunk + d, column(0) / 4)];
            add_products([&](int i) { return as[i].values[d]; }, [&](int j) { return bs[0].values[j]; });
          }
        }
      }
    } else {
#pragma unroll 4
      for (int d = 0; d < depth; ++d) {
        const Chunk<float> as[2] = {a[place_by_depth<rows / 4>(d, row(0) / 4)], a[place_by_depth<rows / 4>(d, row(4) / 4)]};
        const Chunk<float> bs = b[place_by_depth<columns / 4>(d, column(0) / 4)];
        add_products([&](int i) { return as[i / 4].values[i % 4]; }, [&](int j) { return bs.values[j]; });
      }
    }
  }

  template <class Visit>
  DEVICE void for_each(const Visit& visit) const {
#pragma unroll
    for (int i = 0; i < kDown; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; j += run) {
        float values[run];
#pragma unroll
        for (int e = 0; e < run; ++e) values[e] = sums_[i][j + e];
        visit(row(i), column(j), values);
      }
    }
  }

  DEVICE void clear() {
#pragma unroll
    for (auto& four : sums_) {
#pragma unroll
      for (float& sum : four) sum = 0;
    }
  }
  DEVICE void put_sums(float* to) const {
#pragma unroll
    for (int i = 0; i < kDown; ++i) put_four<threads>(to, i, sums_[i]);
  }
  DEVICE void add_sums(const float* from) {
#pragma unroll
    for (int i = 0; i < kDown; ++i) add_four<threads>(from, i, sums_[i]);
  }

 private:
  static constexpr int kDown = 8, kAcross = 4;

  DEVICE static int down() { return lane() / 8 + 4 * (warp() / 2); }    // 0 .. 7
  DEVICE static int across() { return lane() % 8 + 8 * (warp() % 2); }  // 0 .. 15
  /// By depth, a thread's rows are two runs of 4, and its columns are one.
  DEVICE static int row(int i) { return of_a == Layout::by_row ? down() + 8 * i : 4 * down() + 32 * (i / 4) + i % 4; }
  DEVICE static int column(int j) { return of_b == Layout::by_row ? across() + 16 * j : 4 * across() + j; }

  template <class A, class B>
  DEVICE void add_products(const A& a, const B& b) {
#pragma unroll
    for (int i = 0; i < kDown; ++i) {
#pragma unroll
      for (int j = 0; j < kAcross; ++j) sums_[i][j] += a(i) * b(j);
    }
  }

  float sums_[kDown][kAcross] = {};
};

/// Stores, or adds to, `valid` neighbours, of any number at most `run`. `packs`: `to` is aligned to a run, and all are valid.
template <class T, int run>
DEVICE void write_run(T* to, const float (&values)[run], int valid, bool packs, bool add) {
  if (packs) {
    Pack<T, run> pack{};
    if (add) pack = load_pack<run>(to);
#pragma unroll
    for (int e = 0; e < run; ++e) write(pack.values[e], values[e], add);
    return store_pack<run>(to, pack);
  }
#pragma unroll
  for (int e = 0; e < run; ++e) {
    if (e < valid) write(to[e], values[e], add);
  }
}

}  // namespace apam::kernels::cuda

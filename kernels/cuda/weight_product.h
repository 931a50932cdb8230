// Gradient of a convolution in w, as a product of matrices over all pixels:
//   dw[k][tap][c] = sum over n,p,q of dy[n,p,q][k] * x[n, p*stride + r - padding, q*stride + s - padding][c]
// Rows are filters, columns are (tap, channel), with channels padded to whole chunks; the depth is the pixels of dy. Both
// operands are stored by depth: a pixel's filters, or channels, are contiguous.
//
// There are few rows and columns and many pixels, so the pixels are split among blocks (grid z). Each split writes its own
// sums, in float32, and the last block of a tile adds them in a fixed order (last_block.h): the result does not depend on the
// order in which blocks run.
//
// For linear layers one more column of x, of ones, gives the gradient of the bias: db[k] = sum of dy[.][k].
#pragma once

#include "kernels/cuda/divisor.h"
#include "kernels/cuda/last_block.h"
#include "kernels/cuda/tile_products.h"
#include "kernels/ops/conv2d.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {

template <class T>
struct WeightArgs {
  int h, w, c, k;  // of x; filters
  int r, s, stride, padding;
  int chunks;  // per tap
  int pixels, pixels_per_split;
  Divisor out_h, out_w;
  const T* x;               // (N, H, W, C)
  const T* dy;              // (N, P, Q, K)
  PartGroups splits;        // of the pixels
  float* parts;             // (splits, tiles, rows x columns of a tile)
  std::uint32_t* counters;  // (tiles, splits.counters())
  float* dw;                // (K, R, S, C)
  float* db;                // (K), or null
  bool add;                 // to old dw and db
};

/// `vectors`: chunks of x and dy are aligned.
template <class Tile, bool vectors>
struct WeightProduct {
  using T = typename Tile::Element;
  using Args = WeightArgs<T>;
  static constexpr int threads = Tile::threads, min_blocks = Tile::min_blocks;
  static constexpr int kStages = 4;
  static constexpr int kFilterChunks = Tile::rows / kChunk<T>, kWindowChunks = Tile::columns / kChunk<T>;  // per pixel
  static constexpr int kStageChunks = Tile::depth * (kFilterChunks + kWindowChunks);
  static constexpr std::uint32_t shared_bytes = kStages * kStageChunks * 16;
  static constexpr int kFilterPixels = threads / kFilterChunks, kWindowPixels = threads / kWindowChunks;  // per pass
  static_assert(Tile::depth % kFilterPixels == 0 && Tile::depth % kWindowPixels == 0);

  /// The column of chunks of x that a thread loads: a tap and a channel. Pixels are those of x for output (0, 0).
  struct Column {
    int row, column, channel;
    bool inside, ones;
  };

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto stages = shared.array<Chunk<T>>(0, kStages * kStageChunks);
    const int first_row = block().x * Tile::rows, first_chunk = block().y * kWindowChunks;
    const int begin = block().z * args.pixels_per_split;
    const int end = begin + args.pixels_per_split < args.pixels ? begin + args.pixels_per_split : args.pixels;
    const int steps = (end - begin + Tile::depth - 1) / Tile::depth;
    const Column column = column_of(args, first_chunk + thread() % kWindowChunks);

    const auto load = [&](int step) {
      const auto stage = stages + step % kStages * kStageChunks;
      load_filters(args, first_row, begin + step * Tile::depth, end, stage);
      load_windows(args, column, begin + step * Tile::depth, end, stage + Tile::depth * kFilterChunks);
    };
    for (int step = 0; step < kStages - 1; ++step) {
      if (step < steps) load(step);
      cp_async_commit();  // a group per step, even if empty, so that the wait below counts steps
    }
    Tile tile;
    for (int step = 0; step < steps; ++step) {
      cp_async_wait<kStages - 2>();
      sync_block();  // all threads' copies for this step are complete, and all have read the stage that is filled next
      if (step + kStages - 1 < steps) load(step + kStages - 1);
      cp_async_commit();
      const auto a = stages + step % kStages * kStageChunks;
      tile.multiply(a, a + Tile::depth * kFilterChunks);
    }
    cp_async_wait<0>();

    if (args.splits.count > 1) {
      const int tiles = blocks().x * blocks().y, place = block().y * blocks().x + block().x;
      const auto part = [&](int split) {
        return args.parts + (std::int64_t{split} * tiles + place) * (Tile::rows * Tile::columns);
      };
      bool done = false;
      tile.put_sums(part(block().z));
      join_parts(args.splits, block().z, args.counters + place * args.splits.counters(), shared.array<int>(0, 1),
                 [&](const PartRange& range, bool is_all) {
                   tile.clear();
                   for (int split = range.begin; split < range.end; split += range.step) tile.add_sums(part(split));
                   if (!is_all) tile.put_sums(part(range.begin));
                   done = is_all;
                 });
      if (!done) return;
    }
    tile.for_each([&](int row, int within, const auto& values) {
      store(args, first_row + row, first_chunk * kChunk<T> + within, values);
    });
  }

 private:
  DEVICE static Column column_of(const Args& args, int chunk) {
    const int tap = chunk / args.chunks, r = tap / args.s;
    return {r - args.padding, tap - r * args.s - args.padding, (chunk - tap * args.chunks) * kChunk<T>, r < args.r,
            args.db != nullptr && chunk == args.r * args.s * args.chunks};
  }

  DEVICE static void load_filters(const Args& args, int first_row, int first_pixel, int end, Shared<Chunk<T>> to) {
    const int chunk = thread() % kFilterChunks, filter = first_row + chunk * kChunk<T>;
#pragma unroll
    for (int i = 0; i < Tile::depth / kFilterPixels; ++i) {
      const int depth = thread() / kFilterChunks + i * kFilterPixels, pixel = first_pixel + depth;
      const bool inside = pixel < end && filter < args.k;
      const T* from = inside ? args.dy + std::int64_t{pixel} * args.k + filter : args.dy;
      copy_chunk<vectors>(to + place_by_depth<kFilterChunks>(depth, chunk), from, inside ? args.k - filter : 0);
    }
  }

  DEVICE static void load_windows(const Args& args, const Column& column, int first_pixel, int end, Shared<Chunk<T>> to) {
    const int chunk = thread() % kWindowChunks;
#pragma unroll
    for (int i = 0; i < Tile::depth / kWindowPixels; ++i) {
      const int depth = thread() / kWindowChunks + i * kWindowPixels, pixel = first_pixel + depth;
      if (column.ones) {
        Chunk<T> one{};
        one.values[0] = Rounded<T>::of(1);
        to[place_by_depth<kWindowChunks>(depth, chunk)] = one;
        continue;
      }
      const int line = args.out_w.quotient(pixel), image = args.out_h.quotient(line);
      const int h = args.out_h.remainder(line, image) * args.stride + column.row;
      const int w = args.out_w.remainder(pixel, line) * args.stride + column.column;
      const bool inside = column.inside && pixel < end && static_cast<unsigned>(h) < static_cast<unsigned>(args.h) &&
                          static_cast<unsigned>(w) < static_cast<unsigned>(args.w);
      const T* from = inside ? args.x + ((std::int64_t{image} * args.h + h) * args.w + w) * args.c + column.channel : args.x;
      copy_chunk<vectors>(to + place_by_depth<kWindowChunks>(depth, chunk), from, inside ? args.c - column.channel : 0);
    }
  }

  template <int run>
  DEVICE static void store(const Args& args, int filter, int column, const float (&values)[run]) {
    const int chunk = column / kChunk<T>, tap = chunk / args.chunks;
    const int channel = (chunk - tap * args.chunks) * kChunk<T> + column % kChunk<T>;
    const int taps = args.r * args.s;
    if (filter >= args.k) return;
    if (args.db != nullptr && column == taps * args.chunks * kChunk<T>) write(args.db[filter], values[0], args.add);
    if (tap >= taps || channel >= args.c) return;
    float* to = args.dw + (std::int64_t{filter} * taps + tap) * args.c + channel;
    write_run<float, run>(to, values, args.c - channel, args.c % run == 0 && aligned(to, run), args.add);
  }

  DEVICE static bool aligned(const float* to, int run) { return reinterpret_cast<std::uintptr_t>(to) % (4U * run) == 0; }
};

}  // namespace apam::kernels::cuda

// Convolution forward and its gradient in x, as one product of matrices whose left operand is gathered from an image:
//   result[row][column] = sum over taps and channels of source[pixel(row, tap)][channel] * w[column][tap][channel]
// Rows are pixels of the result, columns its channels. Forward, the source is x and the result y. Backward, the source is dy,
// the result dx, and w is used with its first and last dimension exchanged.
//
// Weights are read as they are stored, (K, taps, C): forward, the depth is contiguous, and they are a tile by row; backward,
// the columns are contiguous, and they are a tile by depth.
//
// Phases. With stride s, a pixel (i, j) of dx meets the taps with r = (i + padding) mod s, likewise in j. So dx is computed in
// s^2 phases, one per (i mod s, j mod s), each with its own taps; a phase is a product with stride 1 over a part of the pixels.
// Phases without taps are zero. Forward there is one phase.
//
// The depth, taps x channels of the source, is walked in stages of 4 chunks; channels are padded to whole chunks with zeros.
// cp.async loads kStages - 1 stages ahead. Taps outside the image are filled with zeros. Without aligned chunks (channels or
// filters are not a multiple of 8 in bfloat16, 4 in float32), both operands are read element by element.
#pragma once

#include <algorithm>

#include "kernels/cuda/tile_products.h"
#include "kernels/ops/conv2d.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {

/// Sizes of a product. All positive; images have fewer than 2^31 elements, and so does a batch of pixels.
struct GatherShape {
  bool backward;
  int images;
  int h, w, c;              // of the source
  int out_h, out_w, out_c;  // of the result
  int r, s, stride, padding;
  int chunks;  // per tap
};

/// In each dimension: pixel `first + step * u` of the result reads source pixels `source + source_step * u + direction * t`
/// with taps `tap + tap_step * t`, t = 0 .. taps - 1.
struct PhaseDimension {
  int first, step, size;
  int source, source_step, direction;
  int tap, tap_step, taps;
};

constexpr PhaseDimension phase_dimension(bool backward, int phase, int out_size, int window, int stride, int padding) {
  if (!backward) return {0, 1, out_size, -padding, stride, 1, 0, 1, window};
  const int tap = (phase + padding) % stride;
  return {
      phase, stride, phase < out_size ? (out_size - phase + stride - 1) / stride : 0, (phase + padding - tap) / stride, 1, -1,
      tap,   stride, tap < window ? (window - tap + stride - 1) / stride : 0};
}

struct Phase {
  PhaseDimension down, across;
};

DEVICE Phase phase_of(const GatherShape& shape, int index) {
  return {phase_dimension(shape.backward, index / shape.stride, shape.out_h, shape.r, shape.stride, shape.padding),
          phase_dimension(shape.backward, index % shape.stride, shape.out_w, shape.s, shape.stride, shape.padding)};
}

template <class T>
struct GatherArgs {
  GatherShape shape;
  const T* source;    // (images, H, W, C)
  const T* w;         // (columns, taps, C of the source); backward (C of the source, taps, columns)
  const float* bias;  // (columns), or null
  T* result;          // (images, out H, out W, columns)
  bool add;
  bool packs;  // runs of columns are aligned in the result
};

/// `vectors`: chunks of the source and of the weights are aligned.
template <class Tile, bool vectors>
struct GatherProduct {
  using T = typename Tile::Element;
  using Args = GatherArgs<T>;
  static constexpr int threads = Tile::threads, min_blocks = Tile::min_blocks;
  static constexpr int kStages = 4;
  static constexpr int kStageChunks = (Tile::rows + Tile::columns) * kRowChunks;
  static constexpr std::uint32_t shared_bytes = kStages * kStageChunks * 16;
  static constexpr int kRowsPerPass = threads / kRowChunks;
  static constexpr int kSourceRows = Tile::rows / kRowsPerPass, kFilterRows = Tile::columns / kRowsPerPass;
  static_assert(kSourceRows * kRowsPerPass == Tile::rows && kFilterRows * kRowsPerPass == Tile::columns);
  // Backward, weights are loaded by depth: chunks of columns.
  static constexpr bool kByDepth = Tile::b_layout == Layout::by_depth;
  static constexpr int kColumnChunks = Tile::columns / kChunk<T>;
  static constexpr int kDepthsPerPass = threads / kColumnChunks, kDepthPasses = Tile::depth / kDepthsPerPass;
  static_assert(!kByDepth || (kDepthPasses * kDepthsPerPass == Tile::depth && kDepthsPerPass % kChunk<T> == 0));

  /// The first row of the source that a pixel of the result reads, for one of the rows that a thread loads.
  struct SourceRow {
    const T* image;  // null if there is no such pixel
    int h, w;
  };

  /// Walks some of the chunks of the depth.
  struct Walk {
    int chunk, tap_down, tap_across;
    DEVICE void advance(int chunks, const GatherShape& shape, const Phase& phase) {
      chunk += chunks;
      settle(shape, phase);
    }
    DEVICE void settle(const GatherShape& shape, const Phase& phase) {
      while (chunk >= shape.chunks) {
        chunk -= shape.chunks;
        if (++tap_across < phase.across.taps) continue;
        tap_across = 0;
        ++tap_down;
      }
    }
  };

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const GatherShape& shape = args.shape;
    const Phase phase = phase_of(shape, block().z);
    const int pixels = shape.images * phase.down.size * phase.across.size;
    const int first_row = block().x * Tile::rows, first_column = block().y * Tile::columns;
    if (first_row >= pixels) return;  // phases differ in size

    const auto stages = shared.array<Chunk<T>>(0, kStages * kStageChunks);
    SourceRow rows[kSourceRows];
#pragma unroll
    for (int i = 0; i < kSourceRows; ++i) {
      rows[i] = source_row(args, phase, first_row + thread() / kRowChunks + i * kRowsPerPass, pixels);
    }
    Walk walk{thread() % kRowChunks, 0, 0};                       // every fourth chunk
    Walk depth_walk{thread() / kColumnChunks / kChunk<T>, 0, 0};  // of weights by depth
    walk.settle(shape, phase);
    if constexpr (kByDepth) depth_walk.settle(shape, phase);
    const auto load = [&](int step) {
      const auto stage = stages + step % kStages * kStageChunks;
      load_source(args, phase, rows, walk, stage);
      if constexpr (kByDepth) {
        load_by_depth(args, phase, first_column, depth_walk, stage + Tile::rows * kRowChunks);
      } else {
        load_by_row(args, phase, first_column, walk, stage + Tile::rows * kRowChunks);
      }
      walk.advance(kRowChunks, shape, phase);
    };
    const int depth_chunks = phase.down.taps * phase.across.taps * shape.chunks;
    const int steps = (depth_chunks + kRowChunks - 1) / kRowChunks;

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
      tile.multiply(a, a + Tile::rows * kRowChunks);
    }
    cp_async_wait<0>();

    tile.for_each([&](int row, int column, const auto& values) {
      store(args, phase, first_row + row, pixels, first_column + column, values);
    });
  }

 private:
  DEVICE static SourceRow source_row(const Args& args, const Phase& phase, int row, int pixels) {
    if (row >= pixels) return {nullptr, 0, 0};
    const GatherShape& shape = args.shape;
    const int v = row % phase.across.size, u = row / phase.across.size % phase.down.size;
    const int image = row / phase.across.size / phase.down.size;
    return {args.source + std::int64_t{image} * shape.h * shape.w * shape.c, phase.down.source + phase.down.source_step * u,
            phase.across.source + phase.across.source_step * v};
  }

  DEVICE static bool has_tap(const Phase& phase, const Walk& walk) {
    return walk.tap_down < phase.down.taps && phase.across.taps > 0;
  }
  DEVICE static int tap_of(const GatherShape& shape, const Phase& phase, const Walk& walk) {
    return (phase.down.tap + phase.down.tap_step * walk.tap_down) * shape.s + phase.across.tap +
           phase.across.tap_step * walk.tap_across;
  }

  /// Loads this thread's chunks of the source for one stage.
  DEVICE static void load_source(const Args& args, const Phase& phase, const SourceRow (&rows)[kSourceRows], const Walk& walk,
                                 Shared<Chunk<T>> stage) {
    const GatherShape& shape = args.shape;
    const int row = thread() / kRowChunks, slot = thread() % kRowChunks;
    const int channel = walk.chunk * kChunk<T>;
#pragma unroll
    for (int i = 0; i < kSourceRows; ++i) {
      const int h = rows[i].h + phase.down.direction * walk.tap_down, w = rows[i].w + phase.across.direction * walk.tap_across;
      const bool inside = has_tap(phase, walk) && rows[i].image != nullptr &&
                          static_cast<unsigned>(h) < static_cast<unsigned>(shape.h) &&
                          static_cast<unsigned>(w) < static_cast<unsigned>(shape.w);
      const T* from = inside ? rows[i].image + (h * shape.w + w) * shape.c + channel : args.source;
      copy_chunk<vectors>(stage + place_by_row(row + i * kRowsPerPass, slot), from, inside ? shape.c - channel : 0);
    }
  }

  /// The same of weights by row.
  DEVICE static void load_by_row(const Args& args, const Phase& phase, int first_column, const Walk& walk,
                                 Shared<Chunk<T>> to) {
    const GatherShape& shape = args.shape;
    const int row = thread() / kRowChunks, slot = thread() % kRowChunks;
    const int channel = walk.chunk * kChunk<T>, taps = shape.r * shape.s;
    const int within = tap_of(shape, phase, walk) * shape.c + channel;  // the filter
#pragma unroll
    for (int i = 0; i < kFilterRows; ++i) {
      const int column = first_column + row + i * kRowsPerPass;
      const bool inside = has_tap(phase, walk) && column < shape.out_c;
      const T* from = inside ? args.w + std::int64_t{column} * taps * shape.c + within : args.w;
      copy_chunk<vectors>(to + place_by_row(row + i * kRowsPerPass, slot), from, inside ? shape.c - channel : 0);
    }
  }

  /// The same of weights by depth; moves their walk to the next stage.
  DEVICE static void load_by_depth(const Args& args, const Phase& phase, int first_column, Walk& walk, Shared<Chunk<T>> to) {
    const GatherShape& shape = args.shape;
    const int slot = thread() % kColumnChunks, depth = thread() / kColumnChunks;
    const int column = first_column + slot * kChunk<T>, taps = shape.r * shape.s;
#pragma unroll
    for (int i = 0; i < kDepthPasses; ++i) {
      const int filter = walk.chunk * kChunk<T> + depth % kChunk<T>;
      const bool inside = has_tap(phase, walk) && filter < shape.c && column < shape.out_c;
      const T* from =
          inside ? args.w + (std::int64_t{filter} * taps + tap_of(shape, phase, walk)) * shape.out_c + column : args.w;
      copy_chunk<vectors>(to + place_by_depth<kColumnChunks>(depth + i * kDepthsPerPass, slot), from,
                          inside ? shape.out_c - column : 0);
      walk.advance(kDepthsPerPass / kChunk<T>, shape, phase);
    }
  }

  template <int run>
  DEVICE static void store(const Args& args, const Phase& phase, int row, int pixels, int column, const float (&values)[run]) {
    const GatherShape& shape = args.shape;
    if (row >= pixels || column >= shape.out_c) return;
    std::int64_t pixel = row;
    if (shape.backward && shape.stride > 1) {
      const int v = row % phase.across.size, u = row / phase.across.size % phase.down.size;
      const int image = row / phase.across.size / phase.down.size;
      pixel = (std::int64_t{image} * shape.out_h + phase.down.first + phase.down.step * u) * shape.out_w + phase.across.first +
              phase.across.step * v;
    }
    float sums[run];
#pragma unroll
    for (int e = 0; e < run; ++e) {
      const bool has_bias = args.bias != nullptr && column + e < shape.out_c;
      sums[e] = values[e] + (has_bias ? args.bias[column + e] : 0);
    }
    write_run<T, run>(args.result + pixel * shape.out_c + column, sums, shape.out_c - column, args.packs, args.add);
  }
};

}  // namespace apam::kernels::cuda

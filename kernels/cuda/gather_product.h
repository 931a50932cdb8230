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
// The depth is walked in stages: 4 or 8 chunks of channels of one tap, by the tile; all taps of these channels, then the next
// channels. Where fewer chunks are left, the rest of a stage is zeros, and its products are skipped. cp.async loads kAhead
// stages ahead. Taps outside the image are filled with zeros. Without aligned chunks (channels or filters are not a multiple of
// 8 in bfloat16, 4 in float32), both operands are read element by element. Images with fewer channels than a chunk, those of
// the first layer, are packed: chunks continue in the next tap.
//
// If there are few tiles, the depth of each is split among `splits` blocks (tile_sums.h).
//
// What a thread needs for its addresses is kept as sums that move with the walk, in elements: with a multiplication or two per
// chunk, address arithmetic would take more instructions than the products.
#pragma once

#include <algorithm>

#include "kernels/cuda/divisor.h"
#include "kernels/cuda/tile_products.h"
#include "kernels/cuda/tile_sums.h"
#include "kernels/ops/conv2d.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {

/// Sizes of a product. All positive; an image, a batch of pixels and w have fewer than 2^31 elements.
struct GatherShape {
  bool backward;
  int images;
  int h, w, c;              // of the source
  int out_h, out_w, out_c;  // of the result
  int r, s, stride, padding;
  bool packed;     // the depth is (tap, channel) without padding, walked as the channels of one tap; forward only
  int depth_c;     // channels per tap of the walk: c, or r * s * c if packed
  int chunks;      // per tap of the walk
  int row_chunks;  // of those, per stage

  constexpr int groups() const { return (chunks + row_chunks - 1) / row_chunks; }
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

/// How offsets change from a tap to the next, more at the end of a row of taps, and more at the end of all taps: in elements.
struct Moves {
  int tap, row, taps;

  /// `group`: from the chunks of a stage to those after them.
  static constexpr Moves of(const PhaseDimension& down, const PhaseDimension& across, int per_row, int per_tap, int group) {
    return {per_tap, per_row - per_tap * across.taps, group - per_row * down.taps};
  }
  /// From the first stage to one that is `taps` taps farther, after so many ends.
  DEVICE int after(int taps_passed, int rows_passed, int groups_passed) const {
    return taps_passed * tap + rows_passed * row + groups_passed * taps;
  }
};

/// What the blocks of a phase share.
struct GatherPhase {
  PhaseDimension down, across;
  Divisor of_down, of_across;  // division by their sizes
  int pixels;
  Moves source, weight;
  int first_weight;  // offset of the first tap
  int stages;        // in groups of the taps

  /// `chunk`: elements; `by_depth`: how the weights are read.
  static GatherPhase of(const GatherShape& shape, int index, int chunk, bool by_depth) {
    GatherPhase phase{};
    phase.down = phase_dimension(shape.backward, index / shape.stride, shape.out_h, shape.packed ? 1 : shape.r, shape.stride,
                                 shape.padding);
    phase.across = phase_dimension(shape.backward, index % shape.stride, shape.out_w, shape.packed ? 1 : shape.s, shape.stride,
                                   shape.padding);
    const PhaseDimension &down = phase.down, &across = phase.across;
    phase.of_down = Divisor(std::max(1, down.size));
    phase.of_across = Divisor(std::max(1, across.size));
    phase.pixels = shape.images * down.size * across.size;
    const int group = shape.row_chunks * chunk, per_tap = by_depth ? shape.out_c : shape.c;
    phase.source = Moves::of(down, across, down.direction * shape.w * shape.c, across.direction * shape.c, group);
    phase.weight = Moves::of(down, across, down.tap_step * shape.s * per_tap, across.tap_step * per_tap,
                             group * (by_depth ? shape.r * shape.s * shape.out_c : 1));
    phase.first_weight = (down.tap * shape.s + across.tap) * per_tap;
    phase.stages = down.taps * across.taps * shape.groups();
    return phase;
  }
};

inline constexpr int kMostPhases = 16;  // of a launch

template <class T>
struct GatherArgs {
  GatherShape shape;
  GatherPhase phases[kMostPhases];
  int first_phase;  // of the launch
  Divisor splits;
  SplitSums sums;     // of tiles of all phases; unless there is one split
  const T* source;    // (images, H, W, C)
  const T* w;         // (columns, taps, C of the source); backward (C of the source, taps, columns)
  const float* bias;  // (columns), or null
  T* result;          // (images, out H, out W, columns)
  bool add;
  bool packs;  // runs of columns are aligned in the result
};

/// A pixel of a phase, decoded from its row of the product.
struct PhasePixel {
  int image, u, v;
};
DEVICE PhasePixel pixel_of(const GatherPhase& phase, int row) {
  const int line = phase.of_across.quotient(row), image = phase.of_down.quotient(line);
  return {image, phase.of_down.remainder(line, image), phase.of_across.remainder(row, line)};
}

/// `vectors`: chunks of the source and of the weights are aligned.
template <class Tile, bool vectors>
struct GatherProduct {
  using T = typename Tile::Element;
  using Args = GatherArgs<T>;
  static constexpr int threads = Tile::threads, min_blocks = vectors ? Tile::min_blocks : 1;  // without spills
  static constexpr bool asynchronous = Tile::asynchronous;
  using Lines = typename Tile::Lines;
  static constexpr int kRowChunks = Lines::row_chunks;
  static constexpr int kStages = Tile::stages, kAhead = kStages - 1 - Tile::in_flight;
  static constexpr int kStageChunks = (Tile::rows + Tile::columns) * kRowChunks;
  static constexpr std::uint32_t shared_bytes = kStages * kStageChunks * 16;
  static constexpr int kRowsPerPass = threads / kRowChunks;
  static constexpr int kSourceRows = Tile::rows / kRowsPerPass, kFilterRows = Tile::columns / kRowsPerPass;
  static_assert(kSourceRows * kRowsPerPass == Tile::rows && kFilterRows * kRowsPerPass == Tile::columns);
  static_assert(kRowsPerPass % 8 == 0, "the swizzle repeats after 8 rows");
  // Backward, weights are loaded by depth: chunks of columns.
  static constexpr bool kByDepth = Tile::b_layout == Layout::by_depth;
  static constexpr int kColumnChunks = Tile::columns / kChunk<T>;
  static constexpr int kDepthsPerPass = threads / kColumnChunks, kDepthPasses = Tile::depth / kDepthsPerPass;
  static constexpr int kDepthPitch = Lines::template pitch<kColumnChunks, Tile::depth>;
  static_assert(!kByDepth || (kDepthPasses * kDepthsPerPass == Tile::depth && kDepthsPerPass % 8 == 0));

  static constexpr int kNoPixel = -(1 << 29);  // above any image, for every tap

  /// For one of the rows that a thread loads: its first tap.
  struct SourceRow {
    const T* image;
    int h, w;  // kNoPixel if there is no such pixel
    int at;    // elements from the begin of the image to the thread's chunk there; negative above the image
  };

  /// The place of a stage in the depth, the same for all threads. Offsets are elements, from the first stage.
  struct Walk {
    int chunk;           // the first of the stage's in each tap
    int down, across;    // from the first tap to this one, in pixels of the source
    int source, weight;  // offsets
  };

  DEVICE static Walk begin_of(const GatherPhase& phase, int stage) {
    if (stage == 0) return {0, 0, 0, 0, phase.first_weight};
    const int tap_row = stage / phase.across.taps, tap = stage - tap_row * phase.across.taps;
    const int group = tap_row / phase.down.taps, tap_down = tap_row - group * phase.down.taps;
    return {group * kRowChunks, tap_down * phase.down.direction, tap * phase.across.direction,
            phase.source.after(stage, tap_row, group), phase.first_weight + phase.weight.after(stage, tap_row, group)};
  }

  DEVICE static void advance(Walk& walk, const GatherPhase& phase) {
    walk.across += phase.across.direction;
    walk.source += phase.source.tap;
    walk.weight += phase.weight.tap;
    if (walk.across != phase.across.direction * phase.across.taps) return;
    walk.across = 0;
    walk.down += phase.down.direction;
    walk.source += phase.source.row;
    walk.weight += phase.weight.row;
    if (walk.down != phase.down.direction * phase.down.taps) return;
    walk.down = 0;
    walk.chunk += kRowChunks;
    walk.source += phase.source.taps;
    walk.weight += phase.weight.taps;
  }

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const GatherShape& shape = args.shape;
    const int phase_index = args.splits.quotient(block().z), split = args.splits.remainder(block().z, phase_index);
    const GatherPhase& phase = args.phases[phase_index];
    const int first_row = block().x * Tile::rows, first_column = block().y * Tile::columns;
    if (first_row >= phase.pixels) return;  // phases differ in size

    const int parts = phase.stages < 1 ? 1 : phase.stages < args.splits.value() ? phase.stages : args.splits.value();
    if (split >= parts) return;  // phases differ in depth
    const int first_step = phase.stages * split / parts, steps = phase.stages * (split + 1) / parts - first_step;
    Tile tile;
    if (steps > 0) {
      const int row = thread() / kRowChunks, slot = thread() % kRowChunks;
      SourceRow rows[kSourceRows];
#pragma unroll
      for (int i = 0; i < kSourceRows; ++i) rows[i] = source_row(args, phase, first_row + row + i * kRowsPerPass, slot);
      const Filters filters(args, first_column);
      const auto stages = shared.array<Chunk<T>>(0, kStages * kStageChunks);
      const auto sources = stages + Lines::by_row(row, slot), weights = stages + Tile::rows * kRowChunks;
      Walk walk = begin_of(phase, first_step);
      const auto load = [&](int step) {
        const int stage = step % kStages * kStageChunks;
        const int valid = shape.depth_c - (walk.chunk + slot) * kChunk<T>;  // channels of this thread's chunk, if any
        if (!vectors && !kByDepth && shape.packed) {
          load_packed(shape, rows, (walk.chunk + slot) * kChunk<T>, sources + stage);
        } else {
          load_source(shape, rows, walk, valid, sources + stage);
        }
        kByDepth ? filters.load_by_depth(shape, walk, weights + stage) : filters.load_by_row(walk, valid, weights + stage);
        advance(walk, phase);
      };

      for (int step = 0; step < kAhead; ++step) {
        if (step < steps) load(step);
        cp_async_commit();  // a group per step, even if empty, so that the wait below counts steps
      }
      const int full_groups = (shape.chunks - 1) / kRowChunks;  // at least
      const int full_steps = full_groups * phase.down.taps * phase.across.taps - first_step;
      for (int step = 0; step < steps; ++step) {
        cp_async_wait<kAhead - 1>();
        tile.template before_barrier<!vectors>();
        sync_block();  // all threads' copies for this step are complete, and all have read the stage that is filled next
        const int chunks = step < full_steps ? kRowChunks : shape.chunks - full_groups * kRowChunks;
        if constexpr (asynchronous) tile.multiply(stages, weights, step % kStages * kStageChunks, chunks);
        if (step + kAhead < steps) load(step + kAhead);
        cp_async_commit();
        if constexpr (!asynchronous) tile.multiply(stages, weights, step % kStages * kStageChunks, chunks);
      }
      cp_async_wait<0>();
      tile.finish();
    }
    if (parts > 1) {
      const int place = ((args.first_phase + phase_index) * blocks().y + block().y) * blocks().x + block().x;
      if (!sum_parts(tile, args.sums, PartGroups::of(parts), split, place, shared.array<int>(0, 1))) return;
    }

    tile.for_each(
        [&](int row, int column, const auto& values) { store(args, phase, first_row + row, first_column + column, values); });
  }

 private:
  DEVICE static SourceRow source_row(const Args& args, const GatherPhase& phase, int row, int slot) {
    if (row >= phase.pixels) return {args.source, kNoPixel, kNoPixel, 0};
    const GatherShape& shape = args.shape;
    const PhasePixel pixel = pixel_of(phase, row);
    const int h = phase.down.source + phase.down.source_step * pixel.u;
    const int w = phase.across.source + phase.across.source_step * pixel.v;
    return {args.source + std::int64_t{pixel.image} * (shape.h * shape.w * shape.c), h, w,
            (h * shape.w + w) * shape.c + slot * kChunk<T>};
  }

  /// Loads this thread's chunks of the source for one stage, `valid` channels of each.
  DEVICE static void load_source(const GatherShape& shape, const SourceRow (&rows)[kSourceRows], const Walk& walk, int valid,
                                 Shared<Chunk<T>> to) {
#pragma unroll
    for (int i = 0; i < kSourceRows; ++i) {
      const SourceRow& row = rows[i];
      const bool inside = valid > 0 && static_cast<unsigned>(row.h + walk.down) < static_cast<unsigned>(shape.h) &&
                          static_cast<unsigned>(row.w + walk.across) < static_cast<unsigned>(shape.w);
      copy_chunk<vectors>(to + i * kRowsPerPass * kRowChunks,
                          row.image + (inside ? static_cast<unsigned>(row.at + walk.source) : 0U), inside ? valid : 0);
    }
  }

  /// The same if the depth is packed: this thread's chunks of every row begin `first` elements down the depth.
  DEVICE static void load_packed(const GatherShape& shape, const SourceRow (&rows)[kSourceRows], int first,
                                 Shared<Chunk<T>> to) {
    int down[kChunk<T>], across[kChunk<T>], channel[kChunk<T>];
#pragma unroll
    for (int e = 0; e < kChunk<T>; ++e) {
      const int tap = (first + e) / shape.c;
      channel[e] = first + e - tap * shape.c;
      down[e] = tap / shape.s;
      across[e] = tap - down[e] * shape.s;
    }
#pragma unroll
    for (int i = 0; i < kSourceRows; ++i) {
      Chunk<T> chunk;
#pragma unroll
      for (int e = 0; e < kChunk<T>; ++e) {
        const int h = rows[i].h + down[e], w = rows[i].w + across[e];
        const bool inside = down[e] < shape.r && static_cast<unsigned>(h) < static_cast<unsigned>(shape.h) &&
                            static_cast<unsigned>(w) < static_cast<unsigned>(shape.w);
        chunk.values[e] = inside ? rows[i].image[(h * shape.w + w) * shape.c + channel[e]] : Rounded<T>::of(0);
      }
      to[i * kRowsPerPass * kRowChunks] = chunk;
    }
  }

  /// The part of the weights that a thread loads.
  class Filters {
   public:
    DEVICE Filters(const Args& args, int first_column) : w_(args.w) {
      const int taps = args.shape.r * args.shape.s;
      if constexpr (kByDepth) {
        const int slot = thread() % kColumnChunks, column = first_column + slot * kChunk<T>;
        first_ = thread() / kColumnChunks;
        between_ = taps * args.shape.out_c;
        at_ = first_ * between_ + column;
        columns_ = args.shape.out_c - column;
        place_ = Lines::template by_depth<kColumnChunks, Tile::depth>(first_, slot);
      } else {
        const int slot = thread() % kRowChunks;
        first_ = thread() / kRowChunks;
        between_ = taps * args.shape.c;
        at_ = (first_column + first_) * between_ + slot * kChunk<T>;
        columns_ = args.shape.out_c - first_column;
        place_ = Lines::by_row(first_, slot);
      }
    }

    /// `valid` channels of this thread's chunk.
    DEVICE void load_by_row(const Walk& walk, int valid, Shared<Chunk<T>> to) const {
      const auto mine = to + place_;
#pragma unroll
      for (int i = 0; i < kFilterRows; ++i) {
        const bool inside = valid > 0 && first_ + i * kRowsPerPass < columns_;
        copy_chunk<vectors>(mine + i * kRowsPerPass * kRowChunks,
                            w_ + (inside ? static_cast<unsigned>(at_ + i * kRowsPerPass * between_ + walk.weight) : 0U),
                            inside ? valid : 0);
      }
    }
    DEVICE void load_by_depth(const GatherShape& shape, const Walk& walk, Shared<Chunk<T>> to) const {
      const auto mine = to + place_;
#pragma unroll
      for (int i = 0; i < kDepthPasses; ++i) {
        const bool inside = columns_ > 0 && walk.chunk * kChunk<T> + first_ + i * kDepthsPerPass < shape.c;
        copy_chunk<vectors>(mine + i * kDepthsPerPass * kDepthPitch,
                            w_ + (inside ? static_cast<unsigned>(at_ + i * kDepthsPerPass * between_ + walk.weight) : 0U),
                            inside ? columns_ : 0);
      }
    }

   private:
    const T* w_;
    int first_;    // of this thread's rows, or depths
    int between_;  // elements from one to the next
    int at_;       // of the first chunk, without the walk
    int columns_;  // that there are: of the tile; by depth, from this thread's chunk on
    int place_;    // in a stage
  };

  template <int run>
  DEVICE static void store(const Args& args, const GatherPhase& phase, int row, int column, const float (&values)[run]) {
    const GatherShape& shape = args.shape;
    if (row >= phase.pixels || column >= shape.out_c) return;
    std::int64_t pixel = row;
    if (shape.backward && shape.stride > 1) {
      const PhasePixel at = pixel_of(phase, row);
      pixel = (std::int64_t{at.image} * shape.out_h + phase.down.first + phase.down.step * at.u) * shape.out_w +
              phase.across.first + phase.across.step * at.v;
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

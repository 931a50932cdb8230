// What the two kernels of gathered products share (gather_product.h, tma_product.h): sizes, phases, the walk through the depth,
// the part of it that a block computes, and the end of a tile.
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

/// The place of a stage in the depth, the same for all threads. Offsets are elements, from the first stage. A stage has
/// `row_chunks` chunks of channels.
template <int row_chunks>
struct DepthWalk {
  int chunk;           // the first of the stage's in each tap
  int down, across;    // from the first tap to this one, in pixels of the source
  int source, weight;  // offsets

  DEVICE static DepthWalk begin(const GatherPhase& phase, int stage) {
    if (stage == 0) return {0, 0, 0, 0, phase.first_weight};
    const int tap_row = stage / phase.across.taps, tap = stage - tap_row * phase.across.taps;
    const int group = tap_row / phase.down.taps, tap_down = tap_row - group * phase.down.taps;
    return {group * row_chunks, tap_down * phase.down.direction, tap * phase.across.direction,
            phase.source.after(stage, tap_row, group), phase.first_weight + phase.weight.after(stage, tap_row, group)};
  }

  DEVICE void advance(const GatherPhase& phase) {
    across += phase.across.direction;
    source += phase.source.tap;
    weight += phase.weight.tap;
    if (across != phase.across.direction * phase.across.taps) return;
    across = 0;
    down += phase.down.direction;
    source += phase.source.row;
    weight += phase.weight.row;
    if (down != phase.down.direction * phase.down.taps) return;
    down = 0;
    chunk += row_chunks;
    source += phase.source.taps;
    weight += phase.weight.taps;
  }
};

/// What a block computes: a tile of one phase, and of the depth of that tile one part.
struct BlockPart {
  int phase, split, parts;
  int first_row, first_column;
  int first_step, steps;  // in stages

  template <class Tile, class T>
  DEVICE static BlockPart of(const GatherArgs<T>& args) {
    const int phase = args.splits.quotient(block().z), split = args.splits.remainder(block().z, phase);
    const int stages = args.phases[phase].stages;
    const int parts = stages < 1 ? 1 : stages < args.splits.value() ? stages : args.splits.value();
    const int first_step = stages * split / parts;
    return {phase,
            split,
            parts,
            block().x * Tile::rows,
            block().y * Tile::columns,
            first_step,
            stages * (split + 1) / parts - first_step};
  }
  /// Phases differ in size and in depth.
  template <class T>
  DEVICE bool exists(const GatherArgs<T>& args) const {
    return first_row < args.phases[phase].pixels && split < parts;
  }
};

/// Chunks of the depth in each step of a part: all of a stage, fewer after the last whole one.
struct StepChunks {
  int full_steps, full, last;

  template <int row_chunks>
  DEVICE static StepChunks of(const GatherShape& shape, const GatherPhase& phase, const BlockPart& part) {
    const int full_groups = (shape.chunks - 1) / row_chunks;  // at least
    return {full_groups * phase.down.taps * phase.across.taps - part.first_step, row_chunks,
            shape.chunks - full_groups * row_chunks};
  }
  DEVICE int operator()(int step) const { return step < full_steps ? full : last; }
};

template <class T, int run>
DEVICE void store_product(const GatherArgs<T>& args, const GatherPhase& phase, int row, int column,
                          const float (&values)[run]) {
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

/// Stores a tile. If its depth is split, the last of its blocks does, with the sum of all.
template <class Tile, class T>
DEVICE void finish_product(Tile& tile, const GatherArgs<T>& args, const BlockPart& part, Shared<int> scratch) {
  if (part.parts > 1) {
    const int place = ((args.first_phase + part.phase) * blocks().y + block().y) * blocks().x + block().x;
    if (!sum_parts(tile, args.sums, PartGroups::of(part.parts), part.split, place, scratch)) return;
  }
  tile.for_each([&](int row, int column, const auto& values) {
    store_product(args, args.phases[part.phase], part.first_row + row, part.first_column + column, values);
  });
}

}  // namespace apam::kernels::cuda

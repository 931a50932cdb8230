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

#include "kernels/cuda/gather_args.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {

/// `vectors`: chunks of the source and of the weights are aligned.
template <class Tile, bool vectors>
struct GatherProduct {
  using T = typename Tile::Element;
  using Args = GatherArgs<T>;
  static constexpr int threads = Tile::threads, min_blocks = vectors ? Tile::min_blocks : 1;  // without spills
  static constexpr bool asynchronous = Tile::asynchronous;
  using Lines = typename Tile::Lines;
  static constexpr int kRowChunks = Lines::row_chunks;
  using Walk = DepthWalk<kRowChunks>;
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

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto part = BlockPart::of<Tile>(args);
    if (!part.exists(args)) return;
    const GatherShape& shape = args.shape;
    const GatherPhase& phase = args.phases[part.phase];
    const int steps = part.steps;
    Tile tile;
    if (steps > 0) {
      const int row = thread() / kRowChunks, slot = thread() % kRowChunks;
      SourceRow rows[kSourceRows];
#pragma unroll
      for (int i = 0; i < kSourceRows; ++i) rows[i] = source_row(args, phase, part.first_row + row + i * kRowsPerPass, slot);
      const Filters filters(args, part.first_column);
      const auto stages = shared.array<Chunk<T>>(0, kStages * kStageChunks);
      const auto sources = stages + Lines::by_row(row, slot), weights = stages + Tile::rows * kRowChunks;
      auto walk = Walk::begin(phase, part.first_step);
      const auto load = [&](int step) {
        const int stage = step % kStages * kStageChunks;
        const int valid = shape.depth_c - (walk.chunk + slot) * kChunk<T>;  // channels of this thread's chunk, if any
        if (!vectors && !kByDepth && shape.packed) {
          load_packed(shape, rows, (walk.chunk + slot) * kChunk<T>, sources + stage);
        } else {
          load_source(shape, rows, walk, valid, sources + stage);
        }
        kByDepth ? filters.load_by_depth(shape, walk, weights + stage) : filters.load_by_row(walk, valid, weights + stage);
        walk.advance(phase);
      };

      for (int step = 0; step < kAhead; ++step) {
        if (step < steps) load(step);
        cp_async_commit();  // a group per step, even if empty, so that the wait below counts steps
      }
      const auto chunks = StepChunks::of<kRowChunks>(shape, phase, part);
      for (int step = 0; step < steps; ++step) {
        cp_async_wait<kAhead - 1>();
        tile.template before_barrier<!vectors>();
        sync_block();  // all threads' copies for this step are complete, and all have read the stage that is filled next
        if constexpr (asynchronous) tile.multiply(stages, weights, step % kStages * kStageChunks, chunks(step));
        if (step + kAhead < steps) load(step + kAhead);
        cp_async_commit();
        if constexpr (!asynchronous) tile.multiply(stages, weights, step % kStages * kStageChunks, chunks(step));
      }
      cp_async_wait<0>();
      tile.finish();
    }
    finish_product(tile, args, part, shared.array<int>(0, 1));
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
};

}  // namespace apam::kernels::cuda

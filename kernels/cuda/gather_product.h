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

/// Divisions by the size of a phase in one dimension: phases have the size of the first, or one less.
struct PhaseSizes {
  int largest = 1;
  Divisor of_largest, of_others;

  PhaseSizes() = default;
  explicit PhaseSizes(int largest_size)
      : largest(largest_size), of_largest(largest_size), of_others(std::max(1, largest_size - 1)) {}
  DEVICE const Divisor& divisor(int size) const { return size == largest ? of_largest : of_others; }
};

template <class T>
struct GatherArgs {
  GatherShape shape;
  PhaseSizes down, across;
  int splits;
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

template <class T>
DEVICE PhasePixel pixel_of(const GatherArgs<T>& args, const Phase& phase, int row) {
  const Divisor &across = args.across.divisor(phase.across.size), &down = args.down.divisor(phase.down.size);
  const int line = across.quotient(row), image = down.quotient(line);
  return {image, down.remainder(line, image), across.remainder(row, line)};
}

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
  static_assert(kRowsPerPass % 8 == 0, "the swizzle repeats after 8 rows");
  // Backward, weights are loaded by depth: chunks of columns.
  static constexpr bool kByDepth = Tile::b_layout == Layout::by_depth;
  static constexpr int kColumnChunks = Tile::columns / kChunk<T>;
  static constexpr int kDepthsPerPass = threads / kColumnChunks, kDepthPasses = Tile::depth / kDepthsPerPass;
  static_assert(!kByDepth || (kDepthPasses * kDepthsPerPass == Tile::depth && kDepthsPerPass % 8 == 0));

  // Rows and columns of images are fewer than kNowhere / 2.
  static constexpr int kNowhere = 1 << 30;      // below any image
  static constexpr int kNoPixel = -(1 << 29);  // above any image, and kNowhere farther down is still outside

  /// For one of the rows that a thread loads: its first tap.
  struct SourceRow {
    const T* image;
    int h, w;  // kNoPixel if there is no such pixel
    int at;    // (h * W + w) * C: its place in the image, which it may lie outside
  };

  /// How addresses move, in elements: with the next chunk of a tap, and then at its end, and at the end of a row of taps.
  struct Moves {
    int source_tap, source_row;
    int weight_chunk, weight_tap, weight_row;
  };
  DEVICE static Moves moves_of(const GatherShape& shape, const Phase& phase) {
    const PhaseDimension &down = phase.down, &across = phase.across;
    const int filter = kByDepth ? shape.out_c : shape.c;  // elements of w per tap
    const int chunk = kByDepth ? kChunk<T> * shape.r * shape.s * shape.out_c : kChunk<T>;
    return {across.direction * shape.c - shape.chunks * kChunk<T>,
            (down.direction * shape.w - across.direction * across.taps) * shape.c, chunk,
            across.tap_step * filter - shape.chunks * chunk, (down.tap_step * shape.s - across.tap_step * across.taps) * filter};
  }

  /// Walks some of the chunks of the depth.
  struct Walk {
    int chunk;           // of a tap
    int down, across;    // from the first tap to this one, in pixels of the source; down is kNowhere or below after the last tap
    int source, weight;  // from the first tap's first channel to this chunk, in elements

    DEVICE static Walk begin(const GatherShape& shape, const Phase& phase, const Moves& moves, int chunk) {
      const int first_tap = phase.down.tap * shape.s + phase.across.tap;
      Walk walk{0, 0, 0, 0, first_tap * (kByDepth ? shape.out_c : shape.c)};
      walk.advance(chunk, shape, phase, moves);
      return walk;
    }
    DEVICE void advance(int chunks, const GatherShape& shape, const Phase& phase, const Moves& moves) {
      chunk += chunks;
      source += chunks * kChunk<T>;
      weight += chunks * moves.weight_chunk;
      while (chunk >= shape.chunks) {
        chunk -= shape.chunks;
        source += moves.source_tap;
        weight += moves.weight_tap;
        across += phase.across.direction;
        if (across != phase.across.direction * phase.across.taps) continue;
        across = 0;
        source += moves.source_row;
        weight += moves.weight_row;
        down += phase.down.direction;
        if (down == phase.down.direction * phase.down.taps) down = kNowhere;
      }
    }
    DEVICE bool has_tap() const { return down < kNowhere / 2; }
  };

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const GatherShape& shape = args.shape;
    const int phase_index = block().z / args.splits, split = block().z % args.splits;
    const Phase phase = phase_of(shape, phase_index);
    const int pixels = shape.images * phase.down.size * phase.across.size;
    const int first_row = block().x * Tile::rows, first_column = block().y * Tile::columns;
    if (first_row >= pixels) return;  // phases differ in size

    const int depth_chunks = phase.down.taps * phase.across.taps * shape.chunks;
    const int all_steps = (depth_chunks + kRowChunks - 1) / kRowChunks;
    const int parts = all_steps < 1 ? 1 : all_steps < args.splits ? all_steps : args.splits;  // phases differ in depth
    if (split >= parts) return;
    const int first_step = all_steps * split / parts, steps = all_steps * (split + 1) / parts - first_step;
    Tile tile;
    if (steps > 0) {
      const Moves moves = moves_of(shape, phase);
      const int row = thread() / kRowChunks, slot = thread() % kRowChunks;
      SourceRow rows[kSourceRows];
#pragma unroll
      for (int i = 0; i < kSourceRows; ++i) rows[i] = source_row(args, phase, first_row + row + i * kRowsPerPass, pixels);
      Walk walk = Walk::begin(shape, phase, moves, first_step * kRowChunks + slot);  // every fourth chunk
      const auto stages = shared.array<Chunk<T>>(0, kStages * kStageChunks);
      const auto sources = stages + place_by_row(row, slot), weights = stages + Tile::rows * kRowChunks;
      const Filters filters(args, moves, first_column);
      Walk depth_walk = walk;  // of weights by depth
      if constexpr (kByDepth) {
        depth_walk = Walk::begin(shape, phase, moves, first_step * kRowChunks + filters.first_chunk());
      }
      const auto load = [&](int step) {
        const int stage = step % kStages * kStageChunks;
        load_source(shape, rows, walk, sources + stage);
        if constexpr (kByDepth) {
          filters.load_by_depth(shape, depth_walk, phase, moves, weights + stage);
        } else {
          filters.load_by_row(shape, walk, weights + stage);
        }
        walk.advance(kRowChunks, shape, phase, moves);
      };

      for (int step = 0; step < kStages - 1; ++step) {
        if (step < steps) load(step);
        cp_async_commit();  // a group per step, even if empty, so that the wait below counts steps
      }
      for (int step = 0; step < steps; ++step) {
        cp_async_wait<kStages - 2>();
        sync_block();  // all threads' copies for this step are complete, and all have read the stage that is filled next
        if (step + kStages - 1 < steps) load(step + kStages - 1);
        cp_async_commit();
        tile.multiply(stages, weights, step % kStages * kStageChunks);
      }
      cp_async_wait<0>();
    }
    if (parts > 1) {
      const int place = (phase_index * blocks().y + block().y) * blocks().x + block().x;
      if (!sum_parts(tile, args.sums, PartGroups::of(parts), split, place, shared.array<int>(0, 1))) return;
    }

    tile.for_each([&](int row, int column, const auto& values) {
      store(args, phase, first_row + row, pixels, first_column + column, values);
    });
  }

 private:
  DEVICE static SourceRow source_row(const Args& args, const Phase& phase, int row, int pixels) {
    if (row >= pixels) return {args.source, kNoPixel, kNoPixel, 0};
    const GatherShape& shape = args.shape;
    const PhasePixel pixel = pixel_of(args, phase, row);
    const int h = phase.down.source + phase.down.source_step * pixel.u;
    const int w = phase.across.source + phase.across.source_step * pixel.v;
    return {args.source + std::int64_t{pixel.image} * (shape.h * shape.w * shape.c), h, w, (h * shape.w + w) * shape.c};
  }

  /// Loads this thread's chunks of the source for one stage.
  DEVICE static void load_source(const GatherShape& shape, const SourceRow (&rows)[kSourceRows], const Walk& walk,
                                 Shared<Chunk<T>> to) {
#pragma unroll
    for (int i = 0; i < kSourceRows; ++i) {
      const SourceRow& row = rows[i];
      const bool inside = static_cast<unsigned>(row.h + walk.down) < static_cast<unsigned>(shape.h) &&
                          static_cast<unsigned>(row.w + walk.across) < static_cast<unsigned>(shape.w);
      copy_chunk<vectors>(to + i * kRowsPerPass * kRowChunks, row.image + (inside ? row.at + walk.source : 0),
                          inside ? shape.c - walk.chunk * kChunk<T> : 0);
    }
  }

  /// The part of the weights that a thread loads.
  class Filters {
   public:
    DEVICE Filters(const Args& args, [[maybe_unused]] const Moves& moves, int first_column) : w_(args.w) {
      if constexpr (kByDepth) {
        const int slot = thread() % kColumnChunks, depth = thread() / kColumnChunks;
        const int column = first_column + slot * kChunk<T>;
        within_ = depth % kChunk<T>;
        at_ = within_ * (moves.weight_chunk / kChunk<T>) + column;
        valid_ = args.shape.out_c - column;
        place_ = place_by_depth<kColumnChunks>(depth, slot);
      } else {
        const int row = thread() / kRowChunks;
        between_ = args.shape.r * args.shape.s * args.shape.c;
        at_ = (first_column + row) * between_;
        valid_ = args.shape.out_c - first_column - row;
        place_ = place_by_row(row, thread() % kRowChunks);
      }
    }

    /// The chunk of the depth of the first load by depth.
    DEVICE int first_chunk() const { return thread() / kColumnChunks / kChunk<T>; }

    DEVICE void load_by_row(const GatherShape& shape, const Walk& walk, Shared<Chunk<T>> to) const {
      const auto mine = to + place_;
      const bool has_tap = walk.has_tap();
#pragma unroll
      for (int i = 0; i < kFilterRows; ++i) {
        const bool inside = has_tap && i * kRowsPerPass < valid_;
        copy_chunk<vectors>(mine + i * kRowsPerPass * kRowChunks,
                            w_ + (inside ? at_ + i * kRowsPerPass * between_ + walk.weight : 0),
                            inside ? shape.c - walk.chunk * kChunk<T> : 0);
      }
    }

    /// Moves the walk to the next stage.
    DEVICE void load_by_depth(const GatherShape& shape, Walk& walk, const Phase& phase, const Moves& moves,
                              Shared<Chunk<T>> to) const {
      const auto mine = to + place_;
#pragma unroll
      for (int i = 0; i < kDepthPasses; ++i) {
        const bool inside = walk.has_tap() && valid_ > 0 && (vectors || walk.chunk * kChunk<T> + within_ < shape.c);
        copy_chunk<vectors>(mine + i * kDepthsPerPass * kColumnChunks, w_ + (inside ? at_ + walk.weight : 0),
                            inside ? valid_ : 0);
        walk.advance(kDepthsPerPass / kChunk<T>, shape, phase, moves);
      }
    }

   private:
    const T* w_;
    int at_;           // of this thread's first chunk, without the walk
    int valid_;        // columns from there on, at most 0 if there are none
    int place_;        // in the stage
    int between_ = 0;  // by row: elements from a column to the next
    int within_ = 0;   // by depth: place in the chunk of the depth
  };

  template <int run>
  DEVICE static void store(const Args& args, const Phase& phase, int row, int pixels, int column, const float (&values)[run]) {
    const GatherShape& shape = args.shape;
    if (row >= pixels || column >= shape.out_c) return;
    std::int64_t pixel = row;
    if (shape.backward && shape.stride > 1) {
      const PhasePixel at = pixel_of(args, phase, row);
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

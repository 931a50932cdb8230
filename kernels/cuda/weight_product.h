// Gradient of a convolution in w, as a product of matrices over all pixels:
//   dw[k][tap][c] = sum over n,p,q of dy[n,p,q][k] * x[n, p*stride + r - padding, q*stride + s - padding][c]
// Rows are filters, columns are (tap, channel) as in w, without padding; the depth is the pixels of dy. Both operands are
// stored by depth: a pixel's filters, or channels, are contiguous.
//
// There are few rows and columns and many pixels, so the pixels are split among blocks (grid z). Each split writes its own
// sums, in float32, and the last block of a tile adds them in a fixed order (tile_sums.h). How many splits: weight_split.h.
//
// Every tap of a pixel needs the pixel's image, row and column. They are computed once per block and stage, by one group of
// threads, and stored in shared memory next to the stage (Place): a copy of a chunk then takes two comparisons and one
// multiplication.
//
// For linear layers one more chunk of columns of x, of which the first is ones, gives the gradient of the bias: db[k] = sum of
// dy[.][k].
#pragma once

#include "kernels/cuda/tile_products.h"
#include "kernels/cuda/weight_windows.h"
#include "kernels/ops/conv2d.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {

/// `Windows`: how x is loaded. `vectors`: chunks of dy are aligned.
template <class Tile, class Windows, bool vectors>
struct WeightProduct {
  using T = typename Tile::Element;
  using Args = WeightArgs<T>;
  static constexpr int threads = Tile::threads;
  static constexpr int min_blocks = Windows::in_registers && Tile::rows * Tile::columns > 64 * 64 ? 1 : Tile::min_blocks;
  static constexpr bool asynchronous = Tile::asynchronous;
  using Lines = typename Tile::Lines;
  static constexpr int kStages = Tile::stages, kAhead = kStages - 1 - Tile::in_flight;
  static constexpr int kFilterChunks = Tile::rows / kChunk<T>, kWindowChunks = Tile::columns / kChunk<T>;  // per pixel
  static constexpr int kFilterPixels = threads / kFilterChunks;                                            // per pass
  static constexpr int kFilterPasses = Tile::depth / kFilterPixels;
  static_assert(kFilterPasses * kFilterPixels == Tile::depth);
  static constexpr int kFilterPitch = Lines::template pitch<kFilterChunks, Tile::depth>;
  static_assert(kFilterPixels % 8 == 0, "the swizzle is the same in each pass");
  static constexpr int kFillers = threads / Tile::depth;  // groups of threads that can fill the places of a stage

  // A stage in shared memory, in chunks: dy, x, and the places of its pixels.
  static constexpr int kWindowsAt = Tile::depth * kFilterChunks, kPlacesAt = kWindowsAt + Tile::depth * kWindowChunks;
  static constexpr int kStageChunks = kPlacesAt + Tile::depth;
  static_assert(sizeof(Place) == sizeof(Chunk<T>));
  static constexpr std::uint32_t shared_bytes = kStages * kStageChunks * 16;

  /// A thread's chunk of dy: advances with each stage.
  struct Filters {
    const T* from;
    int left;   // pixels to the end of the split; none if there is no such filter
    int valid;  // elements
  };

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const auto stages = shared.array<Chunk<T>>(0, kStages * kStageChunks);
    const int first_row = block().x * Tile::rows, first_column = block().y * Tile::columns;
    const int begin = block().z * args.pixels_per_split;
    const int end = args.pixels - begin > args.pixels_per_split ? begin + args.pixels_per_split : args.pixels;
    const int steps = (end - begin + Tile::depth - 1) / Tile::depth;

    const auto fill_places = [&](int step, Shared<Chunk<T>> stage) {
      const int within = thread() % Tile::depth;
      (stage + kPlacesAt).template as<Place>()[within] = place_of(args, begin + step * Tile::depth + within, end);
    };
    const int group = thread() / Tile::depth;
    for (int stage = group; stage < kStages; stage += kFillers) fill_places(stage, stages + stage * kStageChunks);
    const bool ones = fill_ones(args, first_column, stages);
    Tile::after_stores();
    sync_block();

    Filters filters = filters_of(args, first_row, begin, end);
    Windows windows(args, first_column);
    const auto load = [&](Shared<Chunk<T>> stage) {
      load_filters(args, filters, stage);
      if (!ones) windows.load(args, (stage + kPlacesAt).template as<Place>(), stage + kWindowsAt);
    };
    const auto store_windows = [&](Shared<Chunk<T>> stage) {
      if (!ones) windows.store(stage + kWindowsAt);
    };
    for (int step = 0; step < kAhead; ++step) {
      if (step < steps) {
        load(stages + step * kStageChunks);
        store_windows(stages + step * kStageChunks);
      }
      cp_async_commit();  // a group per step, even if empty, so that the wait below counts steps
    }
    Tile tile;
    int at = 0, loaded = kAhead * kStageChunks;  // the stages of this step, and of the one that is loaded
    const auto next = [](int stage) { return stage + kStageChunks < kStages * kStageChunks ? stage + kStageChunks : 0; };
    for (int step = 0; step < steps; ++step) {
      cp_async_wait<kAhead - 1>();
      tile.template before_barrier<!vectors || Windows::in_registers>();
      sync_block();  // all threads' copies for this step are complete, and all have read the stage that is filled next
      if constexpr (asynchronous) tile.multiply(stages, stages + kWindowsAt, at);
      const bool loads = step + kAhead < steps;
      if (loads) load(stages + loaded);
      cp_async_commit();
      if (group == step % kFillers) fill_places(step + kStages, stages + at);  // all threads have read those of this step
      if constexpr (!asynchronous) tile.multiply(stages, stages + kWindowsAt, at);
      if (loads) store_windows(stages + loaded);
      loaded = Tile::in_flight == 0 ? at : next(loaded);
      at = next(at);
    }
    cp_async_wait<0>();
    tile.finish();
    if constexpr (Tile::groups > 1) tile.join_groups(shared);

    if (args.splits.count > 1) {
      const int place = block().y * blocks().x + block().x;
      if (!sum_parts(tile, args.sums, args.splits, block().z, place, shared.array<int>(0, 1))) return;
    }
    tile.for_each(
        [&](int row, int within, const auto& values) { store(args, first_row + row, first_column + within, values); });
  }

 private:
  /// The column of ones, in all stages. Returns whether it is in this thread's chunks of x.
  DEVICE static bool fill_ones(const Args& args, int first_column, Shared<Chunk<T>> stages) {
    const int chunk = thread() % kWindowChunks;
    if (args.db == nullptr || first_column + chunk * kChunk<T> != ones_column(args)) return false;
    Chunk<T> one{};
    one.values[0] = Rounded<T>::of(1);
    for (int stage = 0; stage < kStages; ++stage) {
      for (int depth = thread() / kWindowChunks; depth < Tile::depth; depth += threads / kWindowChunks) {
        stages[stage * kStageChunks + kWindowsAt + Lines::template by_depth<kWindowChunks, Tile::depth>(depth, chunk)] = one;
      }
    }
    return true;
  }
  /// In the first chunk after those of the taps.
  DEVICE static int ones_column(const Args& args) { return (args.columns + kChunk<T> - 1) / kChunk<T> * kChunk<T>; }

  DEVICE static Filters filters_of(const Args& args, int first_row, int begin, int end) {
    const int filter = first_row + thread() % kFilterChunks * kChunk<T>, pixel = begin + thread() / kFilterChunks;
    return {args.dy + (std::int64_t{pixel} * args.k + filter), filter < args.k ? end - pixel : 0,
            vectors ? kChunk<T> : args.k - filter};
  }

  /// Loads this thread's chunks of dy for one stage, and moves on to the next.
  DEVICE static void load_filters(const Args& args, Filters& filters, Shared<Chunk<T>> stage) {
    const auto to =
        stage + Lines::template by_depth<kFilterChunks, Tile::depth>(thread() / kFilterChunks, thread() % kFilterChunks);
#pragma unroll
    for (int i = 0; i < kFilterPasses; ++i) {
      const bool inside = filters.left > i * kFilterPixels;
      copy_chunk<vectors>(to + i * kFilterPixels * kFilterPitch, filters.from + std::int64_t{args.k} * (i * kFilterPixels),
                          inside ? filters.valid : 0);
    }
    filters.from += std::int64_t{args.k} * Tile::depth;
    filters.left -= Tile::depth;
  }

  template <int run>
  DEVICE static void store(const Args& args, int filter, int column, const float (&values)[run]) {
    if (filter >= args.k) return;
    if (args.db != nullptr && column == ones_column(args)) write(args.db[filter], values[0], args.add);
    if (column >= args.columns) return;
    float* const to = args.dw + (std::int64_t{filter} * args.columns + column);
    write_run<float, run>(to, values, args.columns - column, args.columns % run == 0 && aligned(to, run), args.add);
  }

  DEVICE static bool aligned(const float* to, int run) { return reinterpret_cast<std::uintptr_t>(to) % (4U * run) == 0; }
};

}  // namespace apam::kernels::cuda

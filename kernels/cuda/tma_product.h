// A gathered product (gather_args.h) whose operands are copied by TMA: one thread of a block issues two or three instructions
// per stage, and the hardware finds the pixels, fills in zeros and swizzles. gather_product.h computes the same sums in the
// same order, with addresses by all threads.
//
// The source is a box of images, one per phase: its base pixels are those that the phase's rows begin with, so that a tile's
// rows are consecutive pixels of a box, over the ends of lines and images; the offset of a load is the tap. Weights are a
// matrix of (K, taps, C).
//
// An mbarrier per stage tells when both operands have arrived. The barrier of the block in each step tells that all warps have
// read the stage that is filled next.
//
// Only for GPUs of compute capability 9.0, and for channels in multiples of 8.
#pragma once

#include "kernels/cuda/gather_args.h"
#include "kernels/cuda/wgmma_tile.h"

#include <simt/macros.h>
#include <simt/tma.h>

namespace apam::kernels::cuda {

inline constexpr int kMostTmaPhases = 4;

struct TmaArgs {
  GatherArgs<BFloat16> product;
  TensorMap sources[kMostTmaPhases];  // of phases that have taps and pixels
  TensorMap w;
};

/// The base pixels of a dimension of a phase: `size` of them from `lower` on, `step` apart; tap t is `offset` + direction * t
/// pixels from them.
struct BaseLine {
  int lower, upper;  // corners, of an ImageBox
  int offset, most_offset;

  /// `extent`: of the source.
  static constexpr BaseLine of(const PhaseDimension& d, int extent) {
    const int offset = d.direction > 0 ? 0 : d.taps - 1, lower = d.source - offset;
    return {lower, lower + d.source_step * (d.size - 1) - (extent - 1), offset, d.taps - 1};
  }
  constexpr bool fits() const {
    return lower >= kLeastCorner && lower <= kMostCorner && upper >= kLeastCorner && upper <= kMostCorner &&
           most_offset <= kMostOffset;
  }
};

template <class Tile>
struct TmaProduct {
  using T = BFloat16;
  using Args = TmaArgs;
  static constexpr int threads = Tile::threads, min_blocks = Tile::min_blocks;
  static constexpr bool asynchronous = true;
  static constexpr int kRowChunks = WideLines::row_chunks;
  using Walk = DepthWalk<kRowChunks>;
  static constexpr int kStages = Tile::stages, kAhead = kStages - 1 - Tile::in_flight;
  static constexpr int kStageChunks = (Tile::rows + Tile::columns) * kRowChunks, kStageBytes = kStageChunks * 16;
  static constexpr std::uint32_t shared_bytes = kStages * (kStageBytes + sizeof(Mbarrier));

  /// Issues the copies of one stage after another; used by one thread.
  class Issuer {
   public:
    DEVICE Issuer(const Args& all, const BlockPart& part)
        : all_(all), phase_(all.product.phases[part.phase]), source_(all.sources[part.phase]), column_(part.first_column) {
      walk_ = Walk::begin(phase_, part.first_step);
      const BaseLine down = BaseLine::of(phase_.down, all.product.shape.h),
                     across = BaseLine::of(phase_.across, all.product.shape.w);
      const PhasePixel first = pixel_of(phase_, part.first_row);
      pixel_ = {0,
                across.lower + phase_.across.source_step * first.v,
                down.lower + phase_.down.source_step * first.u,
                first.image,
                across.offset,
                down.offset};
    }

    DEVICE void next(Shared<Chunk<T>> stage, Shared<Mbarrier> barrier) {
      const GatherShape& shape = all_.product.shape;
      const int depth = walk_.chunk * kChunk<T>;
      const int tap_down = phase_.down.tap + phase_.down.tap_step * phase_.down.direction * walk_.down;
      const int tap_across = phase_.across.tap + phase_.across.tap_step * phase_.across.direction * walk_.across;
      const int tap = tap_down * shape.s + tap_across;
      const auto weights = stage + Tile::rows * kRowChunks;
      mbarrier_arrive(barrier, kStageBytes);
      tma_load(stage, source_, barrier,
               ImagePlace{depth, pixel_.w, pixel_.h, pixel_.n, pixel_.offset_w + walk_.across, pixel_.offset_h + walk_.down});
      if constexpr (Tile::b_layout == Layout::by_row) {
        tma_load(weights, all_.w, barrier, MatrixPlace{depth, tap, column_});
      } else {
#pragma unroll
        for (int columns = 0; columns < Tile::columns; columns += kBoxLine) {
          tma_load(weights + columns * kRowChunks, all_.w, barrier, MatrixPlace{column_ + columns, tap, depth});
        }
      }
      walk_.advance(phase_);
    }

   private:
    const Args& all_;
    const GatherPhase& phase_;
    const TensorMap& source_;
    int column_;
    Walk walk_;
    ImagePlace pixel_;  // of the first row; its offsets are those of the first tap
  };

  DEVICE static void run(const Args& all, SharedBytes shared) {
    const GatherArgs<T>& args = all.product;
    const auto part = BlockPart::of<Tile>(args);
    if (!part.exists(args)) return;
    const GatherPhase& phase = args.phases[part.phase];
    const int steps = part.steps;
    Tile tile;
    if (steps > 0) {
      const auto stages = shared.array<Chunk<T>>(0, kStages * kStageChunks), weights = stages + Tile::rows * kRowChunks;
      const auto arrived = shared.array<Mbarrier>(kStages * kStageBytes, kStages);
      const bool issues = thread() == 0;
      Issuer issuer(all, part);
      if (issues) {
        for (int stage = 0; stage < kStages; ++stage) mbarrier_init(arrived + stage, 1);
        fence_mbarrier_init();
        for (int step = 0; step < kAhead && step < steps; ++step) issuer.next(stages + step * kStageChunks, arrived + step);
      }
      sync_block();  // all see the mbarriers

      const auto chunks = StepChunks::of<kRowChunks>(args.shape, phase, part);
      for (int step = 0; step < steps; ++step) {
        const int stage = step % kStages;
        mbarrier_wait(arrived + stage, step / kStages & 1);
        tile.template before_barrier<false>();
        sync_block();  // all have read the stage that is filled next
        tile.multiply(stages, weights, stage * kStageChunks, chunks(step));
        const int later = step + kAhead;
        if (issues && later < steps) issuer.next(stages + later % kStages * kStageChunks, arrived + later % kStages);
      }
      tile.finish();
    }
    finish_product(tile, args, part, shared.array<int>(0, 1));
  }
};

}  // namespace apam::kernels::cuda

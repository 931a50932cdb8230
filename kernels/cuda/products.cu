#include "kernels/cuda/products.h"

#include <cmath>
#include <limits>
#include <span>

#include "kernels/cuda/convert.h"
#include "kernels/cuda/gather_product.h"
#include "kernels/cuda/tma_product.h"
#include "kernels/cuda/weight_product.h"
#include "kernels/cuda/wgmma_products.h"

namespace apam::kernels::cuda {
namespace {

/// Whether a product is by wgmma. On the emulator, which has it too, only if a test asks for such a tile, or for TMA.
template <class T>
bool by_wgmma(TileSize wanted, const Exec& exec, Loads loads = Loads::by_threads) {
  if (std::is_same_v<T, float>) return false;
  if (loads == Loads::by_tma) return true;
  return wanted == TileSize::best ? Target::device == DeviceKind::cuda && has_wgmma(exec.device()) : is_wgmma(wanted);
}

/// Chunks of the depth of a stage.
constexpr int row_chunks(bool wgmma) { return wgmma ? WideLines::row_chunks : NarrowLines::row_chunks; }

/// What a gathered product has to do: of its phases, rows, depth in stages and blocks are those of the largest.
struct GatherWork {
  std::int64_t rows, columns, phases;
  std::int64_t stages;      // of the largest phase
  std::int64_t all_stages;  // of all phases
};

/// Of many blocks, four instructions are issued per cycle; of one, an instruction takes about 3.3 cycles.
constexpr TileCost kMmaCosts[] = {
    {TileSize::t128x128, 32, 480, 290, 2}, {TileSize::t128x64, 32, 540, 165, 3}, {TileSize::t64x64, 32, 400, 121, 4}};
constexpr TileCost kFmaCosts[] = {{TileSize::t64x64, 16, 1500, 560, 3}};

/// The tiles that a product may have.
template <class T>
std::span<const TileCost> tile_costs(bool wgmma) {
  if (std::is_same_v<T, float>) return kFmaCosts;
  return wgmma ? std::span<const TileCost>(kWgmmaCosts) : kMmaCosts;
}

/// Estimated cycles of a product. Blocks of different phases count as equal.
double estimated_cycles(const GatherWork& work, const TileCost& tile, int splits, std::size_t element_bytes) {
  constexpr double kJoin = 3000;  // counters and fences of a split sum
  const TileShape shape = shape_of(tile.size);
  const auto blocks =
      static_cast<double>(ceil_div(work.rows, shape.rows) * ceil_div(work.columns, shape.columns) * work.phases * splits);
  const double per_multiprocessor = std::ceil(blocks / kMultiprocessors);
  const double stages = static_cast<double>(work.all_stages) / static_cast<double>(work.phases * splits);
  const double longest = std::ceil(static_cast<double>(work.stages) / splits);
  const double busy = per_multiprocessor * (stages * tile.crowded + kBlockCycles);
  const double waiting = std::ceil(per_multiprocessor / tile.resident) * (longest * tile.alone + kBlockCycles);
  const double loads =
      blocks * stages * (shape.rows + shape.columns) * static_cast<double>(tile.depth * element_bytes) / kL2BytesPerCycle;
  const double sums = 2.0 * sizeof(float) * shape.rows * shape.columns * blocks / kL2BytesPerCycle + kJoin;
  return std::max({busy, waiting, loads}) + (splits > 1 ? sums : 0);
}

/// The division that is estimated to be fastest; `wanted` fixes the tile.
template <class T>
Division divide(TileSize wanted, bool wgmma, const GatherWork& work) {
  constexpr int kMostSplits = 8;            // their sums are joined in one level
  constexpr std::int64_t kLeastStages = 4;  // per split
  Division best;
  double least = std::numeric_limits<double>::infinity();
  for (const TileCost& tile : tile_costs<T>(wgmma)) {
    if (wanted != TileSize::best && wanted != tile.size && !std::is_same_v<T, float>) continue;
    for (int splits = 1; splits == 1 || (splits <= kMostSplits && work.stages >= splits * kLeastStages); ++splits) {
      const double cycles = estimated_cycles(work, tile, splits, sizeof(T));
      if (cycles >= least) continue;
      least = cycles;
      best = {tile.size, splits};
    }
  }
  return best;
}

/// run.template operator()<Tile>() for a size, and layouts of its two operands.
template <class T, Layout a, Layout b, class Run>
void with_tile(TileSize size, const Run& run) {
  if constexpr (std::is_same_v<T, float>) {
    run.template operator()<FmaTile<a, b>>();
  } else {
    constexpr int kGroups = a == Layout::by_depth ? 2 : 1;  // few tiles need many warps
    switch (size) {
      case TileSize::t128x128:
        return run.template operator()<MmaTile<128, 128, 64, 32, a, b>>();
      case TileSize::t128x64:
        return run.template operator()<MmaTile<128, 64, 64, 32, a, b, kGroups>>();
      case TileSize::w128x128:
        return run.template operator()<WgmmaTile<128, 128, a, b>>();
      case TileSize::w128x64:
        return run.template operator()<WgmmaTile<128, 64, a, b>>();
      case TileSize::w64x64:
        return run.template operator()<WgmmaTile<64, 64, a, b>>();
      case TileSize::t64x128:
        if constexpr (a == Layout::by_depth) return run.template operator()<MmaTile<64, 128, 64, 32, a, b, kGroups>>();
        [[fallthrough]];
      default:
        return run.template operator()<MmaTile<64, 64, 32, 32, a, b, kGroups>>();
    }
  }
}

/// Launches a kernel from the file that is compiled for it.
template <class K>
void launch_product(Exec& exec, Extent blocks, const typename K::Args& args) {
  if constexpr (K::asynchronous) {
    launch_wgmma<K>(exec, blocks, args);
  } else {
    launch<K>(exec, blocks, args);
  }
}

GatherShape gather_shape(const Conv2d::Problem& p, bool backward, int chunk, bool wgmma) {
  GatherShape shape{.backward = backward,
                    .images = p.n,
                    .h = p.h,
                    .w = p.w,
                    .c = p.c,
                    .out_h = p.out_h(),
                    .out_w = p.out_w(),
                    .out_c = p.k,
                    .r = p.r,
                    .s = p.s,
                    .stride = p.stride,
                    .padding = p.padding,
                    .packed = !backward && p.c < chunk,
                    .depth_c = 0,
                    .chunks = 0,
                    .row_chunks = row_chunks(wgmma)};
  if (backward) {
    std::swap(shape.h, shape.out_h);
    std::swap(shape.w, shape.out_w);
    std::swap(shape.c, shape.out_c);
  }
  shape.depth_c = shape.packed ? shape.r * shape.s * shape.c : shape.c;
  shape.chunks = static_cast<int>(ceil_div(shape.depth_c, chunk));
  return shape;
}

GatherPhase phase_of(const GatherShape& shape, int index, int chunk) {
  return GatherPhase::of(shape, index, chunk, shape.backward);
}

/// The phases of a gathered product, and the rows of the largest.
struct Grid {
  int phases;
  std::int64_t rows;
};
Grid grid_of(const GatherShape& shape) {
  const int step = shape.backward ? shape.stride : 1;
  return {step * step, std::int64_t{shape.images} * ceil_div(shape.out_h, step) * ceil_div(shape.out_w, step)};
}

GatherWork work_of(const GatherShape& shape, const Grid& grid) {
  const int step = shape.backward ? shape.stride : 1;
  const std::int64_t taps = shape.packed ? 1 : std::int64_t{shape.r} * shape.s;
  const std::int64_t most_taps = shape.packed ? 1 : ceil_div(shape.r, step) * ceil_div(shape.s, step);
  return {.rows = grid.rows,
          .columns = shape.out_c,
          .phases = grid.phases,
          .stages = most_taps * shape.groups(),
          .all_stages = taps * shape.groups()};
}

bool has_products(const GatherPhase& phase) { return phase.stages > 0 && phase.pixels > 0; }

/// The base pixels of a phase.
ImageBox image_box(const GatherShape& shape, const GatherPhase& phase, const BFloat16* source, int pixels) {
  const BaseLine down = BaseLine::of(phase.down, shape.h), across = BaseLine::of(phase.across, shape.w);
  return {.data = source,
          .n = shape.images,
          .h = shape.h,
          .w = shape.w,
          .c = shape.c,
          .lower = {down.lower, across.lower},
          .upper = {down.upper, across.upper},
          .step = phase.down.source_step,
          .pixels = pixels};
}

TmaArgs tma_args(Device device, const GatherArgs<BFloat16>& product, int rows, int columns) {
  const GatherShape& shape = product.shape;
  TmaArgs args{.product = product, .sources = {}, .w = {}};
  for (int i = 0; i < kMostTmaPhases; ++i) {
    if (has_products(product.phases[i]))
      args.sources[i] = tensor_map(device, image_box(shape, product.phases[i], product.source, rows));
  }
  const std::int64_t taps = std::int64_t{shape.r} * shape.s;
  args.w = tensor_map(device, shape.backward ? MatrixBox{product.w, {shape.out_c, taps, shape.c}, kBoxLine}
                                             : MatrixBox{product.w, {shape.c, taps, shape.out_c}, columns});
  return args;
}

void require_countable(std::int64_t elements) {
  require<ShapeError>(elements < std::int64_t{1} << 31U,
                      "cuda: conv2d: {} pixels, weights or elements of an image, at most 2147483647", elements);
}

}  // namespace

bool fits_tma(const Conv2d::Problem& problem, bool backward) {
  constexpr int kChannels = kChunk<BFloat16>;
  if (problem.c % kChannels != 0 || (backward && problem.k % kChannels != 0)) return false;
  const GatherShape shape = gather_shape(problem, backward, kChannels, true);
  const int phases = grid_of(shape).phases;
  if (phases > kMostTmaPhases || problem.stride > kMostBoxStep) return false;
  for (int i = 0; i < phases; ++i) {
    const GatherPhase phase = phase_of(shape, i, kChannels);
    if (!has_products(phase)) continue;
    if (!BaseLine::of(phase.down, shape.h).fits() || !BaseLine::of(phase.across, shape.w).fits()) return false;
  }
  return true;
}

template <class T>
GatherPlan<T>::GatherPlan(const Exec& exec, const Conv2d::Problem& problem, bool backward, WorkspacePlan& workspace,
                          TileSize tile, Loads loads)
    : problem_(problem), backward_(backward), loads_(loads) {
  require<KernelError>(loads == Loads::by_threads || (has_wgmma(exec.device()) && !std::is_same_v<T, float>),
                       "conv2d: TMA needs bfloat16 and a GPU of compute capability 9.0, which {} on {} is not",
                       to_string(problem.type), to_string(exec.device()));
  require<KernelError>(loads == Loads::by_threads || fits_tma(problem, backward), "conv2d: TMA cannot copy the operands of {}",
                       problem.describe());
  const bool wgmma = by_wgmma<T>(tile, exec, loads);
  const GatherShape shape = gather_shape(problem, backward, kChunk<T>, wgmma);
  const std::int64_t pixels = std::int64_t{shape.images} * shape.out_h * shape.out_w;
  require_countable(std::max(pixels, std::int64_t{shape.h} * shape.w * shape.c));
  require_countable(static_cast<std::int64_t>(problem.w_size()));
  constexpr int kMostLines = 1 << 29;  // kNoPixel is outside
  const int lines = std::max(shape.h, shape.w);
  require<ShapeError>(lines < kMostLines, "cuda: conv2d: an image of {} rows or columns, at most {}", lines, kMostLines - 1);
  if constexpr (!std::is_same_v<T, float>) rounded_ = workspace.add<T>(static_cast<std::int64_t>(problem.w_size()));
  const Grid grid = grid_of(shape);
  division_ = divide<T>(tile, wgmma, work_of(shape, grid));
  if (division_.splits == 1) return;
  const TileShape size = shape_of(division_.tile);
  const std::int64_t tiles = grid.phases * ceil_div(grid.rows, size.rows) * ceil_div(shape.out_c, size.columns);
  parts_ = workspace.add<float>(division_.splits * tiles * size.rows * size.columns);
  counters_ = Counters(exec, tiles * PartGroups::of(division_.splits).counters());
}

template <class T>
void GatherPlan<T>::run(Exec& exec, std::byte* workspace, const Operands& operands, Target) const {
  const GatherShape shape = gather_shape(problem_, backward_, kChunk<T>, by_wgmma<T>(division_.tile, exec));
  const T* w = nullptr;
  if constexpr (std::is_same_v<T, float>) {
    w = operands.w.data();
  } else if (operands.w.rounded.empty()) {
    T* const rounded = rounded_.in(workspace);
    convert(exec, operands.w.data(), rounded, static_cast<std::int64_t>(problem_.w_size()), Target());
    w = rounded;
  } else {
    w = operands.w.rounded.data();
  }
  const bool vectors = !shape.packed && shape.c % kChunk<T> == 0 && (!backward_ || shape.out_c % kChunk<T> == 0) &&
                       aligned_to(16, operands.source, w);
  const Grid grid = grid_of(shape);
  const auto run = [&]<class Tile>() {
    const auto rows = blocks_for(grid.rows, Tile::rows), columns = blocks_for(shape.out_c, Tile::columns);
    const bool packs = shape.out_c % Tile::run == 0 && aligned_to(Tile::run * sizeof(T), operands.result);
    GatherArgs<T> args{.shape = shape,
                       .phases = {},
                       .first_phase = 0,
                       .splits = Divisor(division_.splits),
                       .sums = {parts_.in(workspace), counters_.data(), static_cast<int>(rows * columns * grid.phases),
                                PartGroups::of(division_.splits).counters()},
                       .source = operands.source,
                       .w = w,
                       .bias = operands.bias,
                       .result = operands.result,
                       .add = operands.write == Write::add,
                       .packs = packs};
    for (; args.first_phase < grid.phases; args.first_phase += kMostPhases) {  // once, unless the stride is above 4
      const int count = std::min(kMostPhases, grid.phases - args.first_phase);
      for (int i = 0; i < count; ++i) {
        args.phases[i] = phase_of(shape, args.first_phase + i, kChunk<T>);
      }
      const Extent blocks{rows, columns, count * division_.splits};
      if constexpr (Tile::asynchronous) {
        if (loads_ == Loads::by_tma && vectors) {
          launch_wgmma<TmaProduct<Tile>>(exec, blocks, tma_args(exec.device(), args, Tile::rows, Tile::columns));
          continue;
        }
      }
      vectors ? launch_product<GatherProduct<Tile, true>>(exec, blocks, args)
              : launch_product<GatherProduct<Tile, false>>(exec, blocks, args);
    }
  };
  backward_ ? with_tile<T, Layout::by_row, Layout::by_depth>(division_.tile, run)
            : with_tile<T, Layout::by_row, Layout::by_row>(division_.tile, run);
}

template <class T>
WeightPlan<T>::WeightPlan(const Exec& exec, const Conv2d::Problem& p, WorkspacePlan& workspace, TileSize tile, Bias bias)
    : problem_(p), columns_(round_up(std::int64_t{p.r} * p.s * p.c, kChunk<T>) + (bias == Bias::yes ? kChunk<T> : 0)) {
  const std::int64_t pixels = std::int64_t{p.n} * p.out_h() * p.out_w();
  require_countable(std::max(pixels, std::int64_t{p.n} * (p.h + 2 * p.padding) * (p.w + 2 * p.padding)));
  require_countable(std::int64_t{p.h + p.r} * (p.w + p.s) * p.c);  // more than from a pixel to that of any tap
  const bool packed = p.c % kChunk<T> != 0 || p.k % kChunk<T> != 0;
  const bool wgmma = by_wgmma<T>(tile, exec) && (!packed || tile != TileSize::best);
  split_ = split_weight<T>(tile, {.filters = p.k, .columns = columns_, .pixels = pixels, .packed = packed, .wgmma = wgmma});
  if (split_.splits == 1) return;
  const TileShape shape = shape_of(split_.tile);
  const std::int64_t tiles = ceil_div(p.k, shape.rows) * ceil_div(columns_, shape.columns);
  parts_ = workspace.add<float>(split_.splits * tiles * shape.rows * shape.columns);
  counters_ = Counters(exec, tiles * PartGroups::of(split_.splits).counters());
}

template <class T>
void WeightPlan<T>::run(Exec& exec, std::byte* workspace, const Operands& operands, Target) const {
  const Conv2d::Problem& p = problem_;
  const bool aligned_x = p.c % kChunk<T> == 0 && aligned_to(16, operands.x);
  const bool aligned_dy = p.k % kChunk<T> == 0 && aligned_to(16, operands.dy);
  const PartGroups splits = PartGroups::of(split_.splits);
  with_tile<T, Layout::by_depth, Layout::by_depth>(split_.tile, [&]<class Tile>() {
    const Extent blocks{blocks_for(p.k, Tile::rows), blocks_for(columns_, Tile::columns), splits.count};
    const WeightArgs<T> args{.h = p.h,
                             .w = p.w,
                             .c = p.c,
                             .k = p.k,
                             .r = p.r,
                             .s = p.s,
                             .stride = p.stride,
                             .padding = p.padding,
                             .columns = p.r * p.s * p.c,
                             .pixel_bytes = p.c * static_cast<int>(sizeof(T)),
                             .pixels = p.n * p.out_h() * p.out_w(),
                             .pixels_per_split = split_.stages * Tile::depth,
                             .out_h = Divisor(p.out_h()),
                             .out_w = Divisor(p.out_w()),
                             .x = operands.x,
                             .dy = operands.dy,
                             .splits = splits,
                             .sums = {parts_.in(workspace), counters_.data(), blocks.x * blocks.y, splits.counters()},
                             .dw = operands.dw,
                             .db = operands.db,
                             .add = operands.write == Write::add};
    const auto launch_with = [&]<class Windows, bool vectors>() {
      launch_product<WeightProduct<Tile, Windows, vectors>>(exec, blocks, args);
    };
    if (aligned_x && aligned_dy) return launch_with.template operator()<AlignedWindows<Tile>, true>();
    if constexpr (Tile::rows * Tile::columns == 64 * 64 && !Tile::asynchronous) {
      if (aligned_dy) return launch_with.template operator()<PackedWindows<Tile>, true>();
    }
    launch_with.template operator()<PackedWindows<Tile>, false>();
  });
}

template class GatherPlan<float>;
template class GatherPlan<BFloat16>;
template class WeightPlan<float>;
template class WeightPlan<BFloat16>;

}  // namespace apam::kernels::cuda

#include "kernels/cuda/products.h"

#include "kernels/cuda/convert.h"
#include "kernels/cuda/gather_product.h"
#include "kernels/cuda/weight_product.h"

namespace apam::kernels::cuda {
namespace {

constexpr int kMultiprocessors = 132;  // of a large GPU; decisions depend on the problem only, so that results do

struct TileShape {
  int rows, columns;
};

constexpr TileShape shape_of(TileSize size) {
  switch (size) {
    case TileSize::t128x128:
      return {128, 128};
    case TileSize::t128x64:
      return {128, 64};
    default:
      return {64, 64};
  }
}

/// The largest tile that leaves no multiprocessor without one and wastes no half of the tiles at an edge.
template <class T>
TileSize choose(TileSize wanted, std::int64_t rows, std::int64_t columns, std::int64_t least_tiles) {
  if constexpr (std::is_same_v<T, float>) return TileSize::t64x64;
  if (wanted != TileSize::best) return wanted;
  for (const TileSize size : {TileSize::t128x128, TileSize::t128x64}) {
    const TileShape tile = shape_of(size);
    const bool fits = rows > tile.rows / 2 && columns > tile.columns / 2;
    if (fits && ceil_div(rows, tile.rows) * ceil_div(columns, tile.columns) >= least_tiles) return size;
  }
  return TileSize::t64x64;
}

/// run.template operator()<Tile>() for a size, and layouts of its two operands.
template <class T, Layout a, Layout b, class Run>
void with_tile(TileSize size, const Run& run) {
  if constexpr (std::is_same_v<T, float>) {
    run.template operator()<FmaTile<a, b>>();
  } else {
    switch (size) {
      case TileSize::t128x128:
        return run.template operator()<MmaTile<128, 128, 64, 32, a, b>>();
      case TileSize::t128x64:
        return run.template operator()<MmaTile<128, 64, 64, 32, a, b>>();
      default:
        return run.template operator()<MmaTile<64, 64, 32, 32, a, b>>();
    }
  }
}

GatherShape gather_shape(const Conv2d::Problem& p, bool backward, int chunk) {
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
                    .chunks = 0};
  if (backward) {
    std::swap(shape.h, shape.out_h);
    std::swap(shape.w, shape.out_w);
    std::swap(shape.c, shape.out_c);
  }
  shape.chunks = static_cast<int>(ceil_div(shape.c, chunk));
  return shape;
}

void require_countable(std::int64_t elements) {
  require<ShapeError>(elements < std::int64_t{1} << 31U, "cuda: conv2d: {} pixels, weights or elements of an image, at most 2^31 - 1",
                      elements);
}

}  // namespace

template <class T>
GatherPlan<T>::GatherPlan(const Conv2d::Problem& problem, bool backward, WorkspacePlan& workspace, TileSize tile)
    : problem_(problem), backward_(backward) {
  const GatherShape shape = gather_shape(problem, backward, kChunk<T>);
  const std::int64_t pixels = std::int64_t{shape.images} * shape.out_h * shape.out_w;
  require_countable(std::max(pixels, std::int64_t{shape.h} * shape.w * shape.c));
  require_countable(static_cast<std::int64_t>(problem.w_size()));
  require_countable(4 * std::int64_t{std::max(shape.h, shape.w)});  // kNowhere is outside
  if constexpr (!std::is_same_v<T, float>) rounded_ = workspace.add<T>(static_cast<std::int64_t>(problem.w_size()));
  tile_ = choose<T>(tile, pixels, shape.out_c, kMultiprocessors);
}

template <class T>
void GatherPlan<T>::run(Exec& exec, std::byte* workspace, const Operands& operands, Target) const {
  const GatherShape shape = gather_shape(problem_, backward_, kChunk<T>);
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
  const bool vectors =
      shape.c % kChunk<T> == 0 && (!backward_ || shape.out_c % kChunk<T> == 0) && aligned_to(16, operands.source, w);
  const int phases = backward_ ? shape.stride * shape.stride : 1, step = backward_ ? shape.stride : 1;
  const std::int64_t most_pixels = std::int64_t{shape.images} * ceil_div(shape.out_h, step) * ceil_div(shape.out_w, step);
  const auto run = [&]<class Tile>() {
    const bool packs = shape.out_c % Tile::run == 0 && aligned_to(Tile::run * sizeof(T), operands.result);
    const GatherArgs<T> args{.shape = shape,
                             .down = PhaseSizes(static_cast<int>(ceil_div(shape.out_h, step))),
                             .across = PhaseSizes(static_cast<int>(ceil_div(shape.out_w, step))),
                             .source = operands.source,
                             .w = w,
                             .bias = operands.bias,
                             .result = operands.result,
                             .add = operands.write == Write::add,
                             .packs = packs};
    const Extent blocks{blocks_for(most_pixels, Tile::rows), blocks_for(shape.out_c, Tile::columns), phases};
    vectors ? launch<GatherProduct<Tile, true>>(exec, blocks, args) : launch<GatherProduct<Tile, false>>(exec, blocks, args);
  };
  backward_ ? with_tile<T, Layout::by_row, Layout::by_depth>(tile_, run)
            : with_tile<T, Layout::by_row, Layout::by_row>(tile_, run);
}

template <class T>
WeightPlan<T>::WeightPlan(const Exec& exec, const Conv2d::Problem& p, WorkspacePlan& workspace, TileSize tile, Bias bias)
    : problem_(p), columns_(std::int64_t{p.r} * p.s * round_up(p.c, kChunk<T>) + (bias == Bias::yes ? kChunk<T> : 0)) {
  constexpr int kPixels = 64;       // a split has at least so many, and a multiple of this number
  constexpr int kMostBlocks = 264;  // of all splits
  const std::int64_t pixels = std::int64_t{p.n} * p.out_h() * p.out_w();
  require_countable(pixels);
  tile_ = choose<T>(tile, p.k, columns_, 1);
  const TileShape shape = shape_of(tile_);
  const std::int64_t tiles = ceil_div(p.k, shape.rows) * ceil_div(columns_, shape.columns);
  const std::int64_t most_splits = std::max<std::int64_t>(1, kMostBlocks / tiles);
  pixels_per_split_ = static_cast<int>(round_up(ceil_div(pixels, most_splits), kPixels));
  splits_ = PartGroups::of(static_cast<int>(ceil_div(pixels, pixels_per_split_)));
  if (splits_.count == 1) return;
  parts_ = workspace.add<float>(splits_.count * tiles * shape.rows * shape.columns);
  counters_ = Counters(exec, tiles * splits_.counters());
}

template <class T>
void WeightPlan<T>::run(Exec& exec, std::byte* workspace, const Operands& operands, Target) const {
  const Conv2d::Problem& p = problem_;
  const bool vectors = p.c % kChunk<T> == 0 && p.k % kChunk<T> == 0 && aligned_to(16, operands.x, operands.dy);
  const WeightArgs<T> args{.h = p.h,
                           .w = p.w,
                           .c = p.c,
                           .k = p.k,
                           .r = p.r,
                           .s = p.s,
                           .stride = p.stride,
                           .padding = p.padding,
                           .chunks = static_cast<int>(ceil_div(p.c, kChunk<T>)),
                           .pixels = p.n * p.out_h() * p.out_w(),
                           .pixels_per_split = pixels_per_split_,
                           .out_h = Divisor(p.out_h()),
                           .out_w = Divisor(p.out_w()),
                           .x = operands.x,
                           .dy = operands.dy,
                           .splits = splits_,
                           .parts = parts_.in(workspace),
                           .counters = counters_.data(),
                           .dw = operands.dw,
                           .db = operands.db,
                           .add = operands.write == Write::add};
  with_tile<T, Layout::by_depth, Layout::by_depth>(tile_, [&]<class Tile>() {
    const Extent blocks{blocks_for(p.k, Tile::rows), blocks_for(columns_, Tile::columns), splits_.count};
    vectors ? launch<WeightProduct<Tile, true>>(exec, blocks, args) : launch<WeightProduct<Tile, false>>(exec, blocks, args);
  });
}

template class GatherPlan<float>;
template class GatherPlan<BFloat16>;
template class WeightPlan<float>;
template class WeightPlan<BFloat16>;

}  // namespace apam::kernels::cuda

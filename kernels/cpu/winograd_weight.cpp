#include "kernels/cpu/winograd_weight.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/elements.h"
#include "kernels/cpu/integers.h"
#include "kernels/cpu/make.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kItemFloats = 400 << 10;         // of V, D and S together: 1.6 MiB
constexpr std::int64_t kSumBlockFloats = 80 * 80;       // per point of S, which then takes 900 KiB
constexpr std::int64_t kMinBlock = 48;                  // channels, if there are that many
constexpr std::int64_t kMaxBlockC = 80;                 // the widest panel of a register tile
constexpr std::int64_t kMaxBlockK = 128;                // allowed by kSumBlockFloats with the smallest block of C
constexpr std::int64_t kMinChunk = 16, kMaxChunk = 48;  // tiles, approximately
constexpr std::int64_t kItems = 64;                     // target; if there are fewer blocks, tiles are split into groups
constexpr std::int64_t kMinGroupChunks = 2;             // chunks per group
constexpr std::int64_t kMaxGroups = 16;                 // limits the cost of transforming each group's S to weights

/// Channels per block: whole cache lines, at most `max`. Minimises padded channels; ties go to the largest block, with which
/// the other operand is transformed least often.
std::int64_t block_channels(std::int64_t channels, std::int64_t max) {
  std::int64_t best = std::min(kMinBlock, round_up(channels, kLineFloats));
  for (std::int64_t block = best; block <= max; block += kLineFloats) {
    if (round_up(channels, block) <= round_up(channels, best)) best = block;
  }
  return best;
}

}  // namespace

template <class T>
WinogradWeight<T>::WinogradWeight(Exec& exec, const TileGrid& grid, const Isa& isa)
    : grid_(grid),
      scheme_(grid.scheme()),
      gemm_(best_tile(isa, block_channels(grid.in.channels, kMaxBlockC))),
      transforms_(activation_kernels_of<T>(isa).winograd[static_cast<std::size_t>(grid.tiling)]),
      filter_transforms_(isa.winograd_filters[static_cast<std::size_t>(grid.tiling)]),
      pointwise_(isa.float32.pointwise),
      c_(grid.in.channels),
      k_(grid.out.channels),
      block_c_(block_channels(c_, kMaxBlockC)),
      block_k_(block_channels(k_, std::min(kMaxBlockK, kSumBlockFloats / block_c_))),
      c_blocks_(ceil_div(c_, block_c_)),
      k_blocks_(ceil_div(k_, block_k_)) {
  const std::int64_t s_floats = scheme_.filters() * block_k_ * block_c_, tile_floats = scheme_.points() * (block_k_ + block_c_);
  const std::int64_t chunk = std::clamp((kItemFloats - s_floats) / tile_floats, kMinChunk, kMaxChunk);
  const std::int64_t max_groups = std::clamp<std::int64_t>(grid.count() / (kMinGroupChunks * chunk), 1, kMaxGroups);
  groups_ = std::clamp<std::int64_t>(ceil_div(kItems, blocks()), 1, max_groups);
  const std::int64_t group_tiles = ceil_div(grid.count(), groups_);
  chunk_tiles_ = ceil_div(group_tiles, ceil_div(group_tiles, chunk));
  v_plane_ = odd_lines(chunk_tiles_ * block_c_);
  d_plane_ = odd_lines(chunk_tiles_ * block_k_);
  s_plane_ = odd_lines(block_k_ * block_c_);
  zeros_ = workspace_.add<T>(std::max(c_, k_));
  copies_ = workspace_.add<float>((groups_ - 1) * weights());
  for (int thread = 0; thread < exec.threads(); ++thread) {
    // A full register tile may read beyond the last row of V and of D; those results are discarded.
    v_.push_back(workspace_.add<float>(scheme_.points() * v_plane_ + gemm_.panel));
    s_.push_back(workspace_.add<float>(scheme_.filters() * s_plane_));
    d_.push_back(workspace_.add<float>(scheme_.points() * d_plane_ + gemm_.rows));
  }
  exec.reserve_workspace(workspace_.bytes());
}

template <class T>
void WinogradWeight<T>::run(Exec& exec, const T* x, const T* dy, bool accumulate, float* dw) const {
  std::byte* workspace = exec.workspace(workspace_.bytes());
  std::memset(zeros_.in(workspace), 0, static_cast<std::size_t>(std::max(c_, k_)) * sizeof(T));
  float* copies = copies_.in(workspace);
  // The blocks of a group are consecutive items, since they read the same images.
  dynamic_loop(exec.threads(), groups_ * blocks(), [&](std::int64_t item, int thread) {
    const std::int64_t group = item / blocks();
    float* to = group == 0 ? dw : copies + (group - 1) * weights();
    run_item(block(item % blocks()), group, {x, dy, to, accumulate && group == 0, workspace},
             {v_[thread].in(workspace), d_[thread].in(workspace), s_[thread].in(workspace)});
  });
  if (groups_ > 1) add_copies(exec, copies, dw);
}

template <class T>
typename WinogradWeight<T>::Block WinogradWeight<T>::block(std::int64_t index) const {
  const std::int64_t first_k = index / c_blocks_ * block_k_, first_c = index % c_blocks_ * block_c_;
  return {first_k, std::min(block_k_, k_ - first_k), first_c, std::min(block_c_, c_ - first_c)};
}

template <class T>
void WinogradWeight<T>::run_item(const Block& block, std::int64_t group, const Operands& operands, const Scratch& to) const {
  const Range tiles = split(grid_.count(), group, groups_);
  for (std::int64_t begin = tiles.begin; begin < tiles.end; begin += chunk_tiles_) {
    const Range chunk{begin, std::min(tiles.end, begin + chunk_tiles_)};
    transform(chunk, block, operands, to);
    multiply(chunk.end - chunk.begin, block, begin > tiles.begin, to);
  }
  float* dw = operands.dw + block.first_k * 9 * c_ + block.first_c;
  for (std::int64_t row = 0; row < block.k; ++row, dw += 9 * c_) {
    filter_transforms_.weights(to.s + row * block_c_, s_plane_, {c_, block.c, operands.accumulate}, dw);
  }
}

template <class T>
void WinogradWeight<T>::transform(Range tiles, const Block& block, const Operands& operands, const Scratch& to) const {
  const T* zeros = zeros_.in(operands.workspace);
  const T *images = operands.x + block.first_c, *gradients = operands.dy + block.first_k;
  std::array<std::array<const T*, kMaxTilePixels>, 2> x, dy;
  grid_.input(images, tiles.begin, zeros, x[0].data());
  grid_.output(gradients, tiles.begin, zeros, dy[0].data());
  for (std::int64_t tile = tiles.begin, row = 0; tile < tiles.end; ++tile, ++row) {
    const std::int64_t now = row % 2, then = 1 - now, next = std::min(tile + 1, grid_.count() - 1);
    grid_.input(images, next, zeros, x[then].data());
    grid_.output(gradients, next, zeros, dy[then].data());
    transforms_.input({x[now].data(), x[then].data()}, block.c, to.v + row * block_c_, v_plane_);
    transforms_.gradient({dy[now].data(), dy[then].data()}, block.k, to.d + row * block_k_, d_plane_);
  }
}

/// S (+)= D' V over a chunk of tiles.
template <class T>
void WinogradWeight<T>::multiply(std::int64_t depth, const Block& block, bool accumulate, const Scratch& to) const {
  for (int point = 0; point < scheme_.filters(); ++point) {
    const int first = scheme_.first_point(point);
    const OuterTiles outer{.depth = depth,
                           .parts = scheme_.group_size(point),
                           .a = {block_k_, d_plane_},
                           .b = {block_c_, v_plane_},
                           .a_tile = gemm_.rows,
                           .out = to.s + point * s_plane_,
                           .out_stride = block_c_,
                           .rows = static_cast<int>(block.k)};
    for (std::int64_t column = 0; column < block.c; column += gemm_.panel) {
      const auto columns = static_cast<int>(std::min<std::int64_t>(gemm_.panel, block.c - column));
      gemm_.outer_product(outer, {column, columns, accumulate}, to.d + first * d_plane_, to.v + first * v_plane_ + column);
    }
  }
}

template <class T>
void WinogradWeight<T>::add_copies(Exec& exec, const float* copies, float* dw) const {
  parallel_for(exec.threads(), weights(), kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t group = 1; group < groups_; ++group) {
      pointwise_.add(dw + begin, copies + (group - 1) * weights() + begin, dw + begin, end - begin);
    }
  });
}

template class WinogradWeight<float>;
template class WinogradWeight<Bits16>;

}  // namespace apam::kernels::cpu

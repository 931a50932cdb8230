#include "kernels/cpu/winograd_weight.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/integers.h"
#include "kernels/cpu/make.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kItemFloats = 400 << 10;                  // of V, D and S together, 1.6 MiB
constexpr std::int64_t kBlockFloats = 80 * 80;                   // of a point of S, which then takes 900 KiB
constexpr std::int64_t kLeastBlock = 48;                         // channels, where there are so many
constexpr std::int64_t kMostBlockC = 80;                         // the widest panel of a register tile
constexpr std::int64_t kMostBlockK = 128;                        // which kBlockFloats allows with the least of c
constexpr std::int64_t kShortestChunk = 16, kLongestChunk = 48;  // tiles, about
constexpr std::int64_t kItems = 64;                              // wanted, by groups of
constexpr std::int64_t kGroupChunks = 2;                         // chunks at least, and
constexpr std::int64_t kMostGroups = 16;                         // at most, since each group's S must be turned into weights

/// Channels of a block: whole cache lines, at most `most`, so that blocks hold few channels that are none; the more, the less
/// often the other operand is transformed.
std::int64_t block_channels(std::int64_t channels, std::int64_t most) {
  std::int64_t best = std::min(kLeastBlock, round_up(channels, kLineFloats));
  for (std::int64_t block = best; block <= most; block += kLineFloats) {
    if (round_up(channels, block) <= round_up(channels, best)) best = block;
  }
  return best;
}

}  // namespace

WinogradWeight::WinogradWeight(Exec& exec, const TileGrid& grid, const Isa& isa)
    : grid_(grid),
      scheme_(grid.scheme()),
      gemm_(best_tile(isa, block_channels(grid.in.channels, kMostBlockC))),
      transforms_(isa.winograd.product[static_cast<std::size_t>(grid.tiling)]),
      weight_transforms_(isa.winograd.weight[static_cast<std::size_t>(grid.tiling)]),
      pointwise_(isa.pointwise),
      c_(grid.in.channels),
      k_(grid.out.channels),
      block_c_(block_channels(c_, kMostBlockC)),
      block_k_(block_channels(k_, std::min(kMostBlockK, kBlockFloats / block_c_))),
      c_blocks_(ceil_div(c_, block_c_)),
      k_blocks_(ceil_div(k_, block_k_)) {
  const std::int64_t s_floats = scheme_.filters() * block_k_ * block_c_, tile_floats = scheme_.points() * (block_k_ + block_c_);
  const std::int64_t chunk = std::clamp((kItemFloats - s_floats) / tile_floats, kShortestChunk, kLongestChunk);
  const std::int64_t most_groups = std::clamp<std::int64_t>(grid.count() / (kGroupChunks * chunk), 1, kMostGroups);
  groups_ = std::clamp<std::int64_t>(ceil_div(kItems, blocks()), 1, most_groups);
  const std::int64_t group_tiles = ceil_div(grid.count(), groups_);
  chunk_tiles_ = ceil_div(group_tiles, ceil_div(group_tiles, chunk));
  v_plane_ = odd_lines(chunk_tiles_ * block_c_);
  d_plane_ = odd_lines(chunk_tiles_ * block_k_);
  s_plane_ = odd_lines(block_k_ * block_c_);
  zeros_ = workspace_.add<float>(std::max(c_, k_));
  copies_ = workspace_.add<float>((groups_ - 1) * weights());
  for (int thread = 0; thread < exec.threads(); ++thread) {
    // A whole register tile may read beyond the last row of V and of D; what comes of that is dropped.
    v_.push_back(workspace_.add<float>(scheme_.points() * v_plane_ + gemm_.panel));
    s_.push_back(workspace_.add<float>(scheme_.filters() * s_plane_));
    d_.push_back(workspace_.add<float>(scheme_.points() * d_plane_ + gemm_.rows));
  }
  exec.reserve_workspace(workspace_.bytes());
}

void WinogradWeight::run(Exec& exec, const float* x, const float* dy, bool accumulate, float* dw) const {
  std::byte* workspace = exec.workspace(workspace_.bytes());
  std::memset(zeros_.in(workspace), 0, static_cast<std::size_t>(std::max(c_, k_)) * sizeof(float));
  float* copies = copies_.in(workspace);
  // Blocks of one group follow each other: they read the same images.
  dynamic_loop(exec.threads(), groups_ * blocks(), [&](std::int64_t item, int thread) {
    const std::int64_t group = item / blocks();
    float* to = group == 0 ? dw : copies + (group - 1) * weights();
    run_item(block(item % blocks()), group, {x, dy, to, accumulate && group == 0, workspace},
             {v_[thread].in(workspace), d_[thread].in(workspace), s_[thread].in(workspace)});
  });
  if (groups_ > 1) add_copies(exec, copies, dw);
}

WinogradWeight::Block WinogradWeight::block(std::int64_t index) const {
  const std::int64_t first_k = index / c_blocks_ * block_k_, first_c = index % c_blocks_ * block_c_;
  return {first_k, std::min(block_k_, k_ - first_k), first_c, std::min(block_c_, c_ - first_c)};
}

void WinogradWeight::run_item(const Block& block, std::int64_t group, const Operands& operands, const Scratch& to) const {
  const Range tiles = split(grid_.count(), group, groups_);
  for (std::int64_t begin = tiles.begin; begin < tiles.end; begin += chunk_tiles_) {
    const Range chunk{begin, std::min(tiles.end, begin + chunk_tiles_)};
    transform(chunk, block, operands, to);
    multiply(chunk.end - chunk.begin, block, begin > tiles.begin, to);
  }
  float* dw = operands.dw + block.first_k * 9 * c_ + block.first_c;
  for (std::int64_t row = 0; row < block.k; ++row, dw += 9 * c_) {
    weight_transforms_.weights(to.s + row * block_c_, s_plane_, {c_, block.c, operands.accumulate}, dw);
  }
}

void WinogradWeight::transform(Range tiles, const Block& block, const Operands& operands, const Scratch& to) const {
  const float* zeros = zeros_.in(operands.workspace);
  const float *images = operands.x + block.first_c, *gradients = operands.dy + block.first_k;
  std::array<std::array<const float*, kMostTilePixels>, 2> x, dy;
  grid_.input(images, tiles.begin, zeros, x[0].data());
  grid_.output(gradients, tiles.begin, zeros, dy[0].data());
  for (std::int64_t tile = tiles.begin, row = 0; tile < tiles.end; ++tile, ++row) {
    const std::int64_t now = row % 2, then = 1 - now, next = std::min(tile + 1, grid_.count() - 1);
    grid_.input(images, next, zeros, x[then].data());
    grid_.output(gradients, next, zeros, dy[then].data());
    transforms_.input({x[now].data(), x[then].data()}, block.c, to.v + row * block_c_, v_plane_);
    weight_transforms_.gradient({dy[now].data(), dy[then].data()}, block.k, to.d + row * block_k_, d_plane_);
  }
}

/// S (+)= D' V over a chunk of tiles.
void WinogradWeight::multiply(std::int64_t depth, const Block& block, bool accumulate, const Scratch& to) const {
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

void WinogradWeight::add_copies(Exec& exec, const float* copies, float* dw) const {
  parallel_for(exec.threads(), weights(), kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t group = 1; group < groups_; ++group) {
      pointwise_.add(dw + begin, copies + (group - 1) * weights() + begin, dw + begin, end - begin);
    }
  });
}

}  // namespace apam::kernels::cpu

#include "kernels/cpu/winograd_weight.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/integers.h"
#include "kernels/cpu/make.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kChunkPoints = 96 * 36;  // of a chunk's tiles: turning S into dw is then some 5 % of the products
constexpr std::int64_t kPointFloats = 5 << 18;  // of V and D of a chunk, 5 MiB, which a third-level cache holds
constexpr std::int64_t kFewTiles = 48;          // of a chunk: with far fewer, register tiles are written more than summed
constexpr std::int64_t kMostGroups = 16;
constexpr std::int64_t kGroupFilters = 160 * 128;     // C K up to which threads do better with points and sums of their own
constexpr std::int64_t kBlockK = 192, kBlockC = 192;  // smaller ones read V and D more often
constexpr std::int64_t kItemsPerThread = 4;

/// As many as keep threads busy, of about a chunk at least; one where there are many channels.
std::int64_t group_count(const TileGrid& grid) {
  if (std::int64_t{grid.in.channels} * grid.out.channels > kGroupFilters) return 1;
  return std::clamp<std::int64_t>(ceil_div(grid.count() * grid.scheme().points(), kChunkPoints), 1, kMostGroups);
}

/// Tiles of a chunk: a group in equal parts, whose points fit a cache or are at most half as many as S, unless that makes far
/// fewer than kFewTiles.
std::int64_t chunk_size(const TileGrid& grid, std::int64_t group_tiles) {
  const std::int64_t points = grid.scheme().points(), c = grid.in.channels, k = grid.out.channels;
  const std::int64_t tile_floats = points * (odd_lines(c) + odd_lines(k)), s_floats = grid.scheme().filters() * c * k;
  const std::int64_t fitting = std::max<std::int64_t>(std::max(kPointFloats, s_floats / 2) / tile_floats, 1);
  const std::int64_t chunks = std::max(ceil_div(group_tiles * points, kChunkPoints), ceil_div(group_tiles, fitting));
  return ceil_div(group_tiles, std::min(chunks, ceil_div(group_tiles, kFewTiles)));
}

}  // namespace

WinogradWeight::WinogradWeight(Exec& exec, const TileGrid& grid, const Isa& isa)
    : grid_(grid),
      scheme_(grid.scheme()),
      isa_(isa),
      transforms_(isa.winograd.product[static_cast<std::size_t>(grid.tiling)]),
      weight_transforms_(isa.winograd.weight[static_cast<std::size_t>(grid.tiling)]),
      c_(grid.in.channels),
      k_(grid.out.channels),
      groups_(group_count(grid)),
      chunk_tiles_(chunk_size(grid, ceil_div(grid.count(), groups_))),
      by_groups_(groups_ >= kItemsPerThread * exec.threads()),
      v_row_(odd_lines(c_)),
      v_plane_(odd_lines(chunk_tiles_ * v_row_)),
      d_row_(odd_lines(k_)),
      d_plane_(odd_lines(chunk_tiles_ * d_row_)) {
  const std::int64_t wanted = by_groups_ ? 1 : kItemsPerThread * exec.threads();
  c_blocks_ = ceil_div(c_, kBlockC);
  k_blocks_ = std::max(ceil_div(k_, kBlockK), std::min(ceil_div(wanted, c_blocks_), ceil_div(k_, isa.gemm.rows)));
  block_c_ = round_up(ceil_div(c_, c_blocks_), isa.gemm.panel);
  block_k_ = round_up(ceil_div(k_, k_blocks_), isa.gemm.rows);
  c_blocks_ = ceil_div(c_, block_c_);
  k_blocks_ = ceil_div(k_, block_k_);
  s_row_ = odd_lines(block_c_);
  s_plane_ = odd_lines(block_k_ * s_row_);
  zeros_ = workspace_.add<float>(std::max(c_, k_));
  copies_ = workspace_.add<float>((by_groups_ ? groups_ - 1 : std::min<std::int64_t>(groups_ - 1, 1)) * weights());
  for (int thread = 0; thread < exec.threads(); ++thread) {
    s_.push_back(workspace_.add<float>(scheme_.filters() * s_plane_));
    if (!by_groups_ && thread > 0) continue;
    v_.push_back(workspace_.add<float>(scheme_.points() * v_plane_));
    d_.push_back(
        workspace_.add<float>(scheme_.points() * d_plane_ + isa.gemm.rows));  // the last row's last tile reads beyond it
  }
  exec.reserve_workspace(workspace_.bytes());
}

void WinogradWeight::run(Exec& exec, const float* x, const float* dy, bool accumulate, float* dw) const {
  const Operands operands{x, dy, dw, accumulate, exec.workspace(workspace_.bytes())};
  std::memset(zeros_.in(operands.workspace), 0, static_cast<std::size_t>(std::max(c_, k_)) * sizeof(float));
  by_groups_ ? run_groups(exec, operands) : run_blocks(exec, operands);
}

void WinogradWeight::run_groups(Exec& exec, const Operands& operands) const {
  float* copies = copies_.in(operands.workspace);
  dynamic_loop(exec.threads(), groups_, [&](std::int64_t group, int thread) {
    const Points points{v_[thread].in(operands.workspace), d_[thread].in(operands.workspace)};
    const Range tiles = group_tiles(group);
    for (std::int64_t begin = tiles.begin; begin < tiles.end; begin += chunk_tiles_) {
      const Range chunk{begin, std::min(tiles.end, begin + chunk_tiles_)};
      transform(chunk, operands, points);
      for (std::int64_t block = 0; block < blocks(); ++block) {
        const bool accumulate = begin > tiles.begin || (group == 0 && operands.accumulate);
        multiply(block, chunk.end - chunk.begin, points, accumulate, s_[thread].in(operands.workspace),
                 group == 0 ? operands.dw : copies + (group - 1) * weights());
      }
    }
  });
  for (std::int64_t group = 1; group < groups_; ++group) add_copy(exec, copies + (group - 1) * weights(), operands.dw);
}

void WinogradWeight::run_blocks(Exec& exec, const Operands& operands) const {
  const Points points{v_[0].in(operands.workspace), d_[0].in(operands.workspace)};
  float* copy = copies_.in(operands.workspace);
  for (std::int64_t group = 0; group < groups_; ++group) {
    const Range tiles = group_tiles(group);
    for (std::int64_t begin = tiles.begin; begin < tiles.end; begin += chunk_tiles_) {
      const std::int64_t depth = std::min(tiles.end - begin, chunk_tiles_);
      dynamic_loop(exec.threads(), depth, [&](std::int64_t i, int) {
        transform({begin + i, begin + i + 1}, operands, {points.v + i * v_row_, points.d + i * d_row_});
      });
      dynamic_loop(exec.threads(), blocks(), [&](std::int64_t block, int thread) {
        const bool accumulate = begin > tiles.begin || (group == 0 && operands.accumulate);
        multiply(block, depth, points, accumulate, s_[thread].in(operands.workspace), group == 0 ? operands.dw : copy);
      });
    }
    if (group > 0) add_copy(exec, copy, operands.dw);
  }
}

void WinogradWeight::transform(Range tiles, const Operands& operands, const Points& to) const {
  const float* zeros = zeros_.in(operands.workspace);
  std::array<std::array<const float*, kMostTilePixels>, 2> x, dy;
  grid_.input(operands.x, tiles.begin, zeros, x[0].data());
  grid_.output(operands.dy, tiles.begin, zeros, dy[0].data());
  for (std::int64_t tile = tiles.begin, row = 0; tile < tiles.end; ++tile, ++row) {
    const std::int64_t now = row % 2, then = 1 - now, next = std::min(tile + 1, grid_.count() - 1);
    grid_.input(operands.x, next, zeros, x[then].data());
    grid_.output(operands.dy, next, zeros, dy[then].data());
    transforms_.input({x[now].data(), x[then].data()}, c_, to.v + row * v_row_, v_plane_);
    weight_transforms_.gradient({dy[now].data(), dy[then].data()}, k_, to.d + row * d_row_, d_plane_);
  }
}

/// One block of S over all tiles of a chunk, and the block of dw that comes of it.
void WinogradWeight::multiply(std::int64_t block, std::int64_t depth, const Points& points, bool accumulate, float* s,
                              float* dw) const {
  const GemmKernels& gemm = isa_.gemm;
  const std::int64_t first_k = block / c_blocks_ * block_k_, first_c = block % c_blocks_ * block_c_;
  const std::int64_t k = std::min(block_k_, k_ - first_k), c = std::min(block_c_, c_ - first_c);
  for (int point = 0; point < scheme_.filters(); ++point) {
    const int first = scheme_.first_point(point), size = scheme_.group_size(point);
    const OuterTiles outer{depth, gemm.rows, d_row_, v_row_, s + point * s_plane_, s_row_, static_cast<int>(k)};
    const float* d = points.d + first * d_plane_ + first_k;
    const float* v = points.v + first * v_plane_ + first_c;
    for (std::int64_t column = 0; column < c; column += gemm.panel) {
      const auto columns = static_cast<int>(std::min<std::int64_t>(gemm.panel, c - column));
      for (int member = 0; member < size; ++member) {
        gemm.outer_product(outer, {column, columns, member > 0}, d + member * d_plane_, v + member * v_plane_ + column);
      }
    }
  }
  for (std::int64_t row = 0; row < k; ++row) {
    weight_transforms_.weights(s + row * s_row_, s_plane_, {c_, c, accumulate}, dw + (first_k + row) * 9 * c_ + first_c);
  }
}

void WinogradWeight::add_copy(Exec& exec, const float* copy, float* dw) const {
  parallel_for(exec.threads(), weights(), kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    isa_.pointwise.add(dw + begin, copy + begin, dw + begin, end - begin);
  });
}

}  // namespace apam::kernels::cpu

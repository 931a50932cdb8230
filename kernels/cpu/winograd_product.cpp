#include "kernels/cpu/winograd_product.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cpu/dynamic_loop.h"
#include "kernels/cpu/elements.h"
#include "kernels/cpu/integers.h"
#include "kernels/cpu/rounded_weights.h"
#include "kernels/cpu/streaming.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kFilterPieceFloats = 8192;                // of a panel of U: 32 KiB; shorter pieces re-read M more often
constexpr std::int64_t kMaxPanelTiles = 128;                     // to divide the work by panels
constexpr std::int64_t kMinPanelChannels = 128;                  // to divide the work by panels
constexpr std::int64_t kSliceColumns = 64;                       // of M
constexpr std::int64_t kNarrowChannels = 96;                     // up to this many, blocks are small
constexpr std::int64_t kSmallBlock = 24 * 36, kBlock = 48 * 36;  // points of a block's tiles
constexpr std::int64_t kStridedBlock = 32 * 36;                  // with stride 2; 48 * 36 was 2 to 8 % slower
constexpr std::int64_t kFilterItems = 4;                         // per thread, to compute U

/// Whether weights are rounded to the type of the activations.
template <class T>
constexpr bool kRounds = std::is_same_v<T, Bits16>;

/// Tiles per block: about `target`, such that every thread gets the same number of blocks of the same size.
std::int64_t even_block(std::int64_t tiles, std::int64_t target, int threads, int rows) {
  const std::int64_t rounds = ceil_div(tiles, target * threads);
  return round_up(ceil_div(tiles, rounds * threads), rows);
}

}  // namespace

template <class T>
WinogradProduct<T>::WinogradProduct(Exec& exec, const TileGrid& grid, FilterUse use, const Isa& isa)
    : grid_(grid),
      scheme_(grid.scheme()),
      use_(use),
      isa_(isa),
      gemm_(best_tile(isa, grid.out.channels)),
      transforms_(activation_kernels_of<T>(isa).winograd[static_cast<std::size_t>(grid.tiling)]),
      filter_transforms_(isa.winograd_filters[static_cast<std::size_t>(grid.tiling)]),
      channels_(grid.in.channels),
      columns_(grid.out.channels),
      panels_(ceil_div(columns_, gemm_.panel)),
      by_panels_(grid.count() <= kMaxPanelTiles && std::min(channels_, columns_) >= kMinPanelChannels),
      slice_panels_(by_panels_ ? 1 : std::max<std::int64_t>(1, kSliceColumns / gemm_.panel)),
      v_row_(odd_lines(channels_)),
      m_row_(odd_lines(slice_panels_ * gemm_.panel)),
      piece_(ceil_div(channels_, ceil_div(channels_, kFilterPieceFloats / gemm_.panel))),
      u_plane_(odd_lines((by_panels_ ? piece_ : channels_) * gemm_.panel)) {
  const std::int64_t large = scheme_.largest_group() > 1 ? kStridedBlock : kBlock;
  const std::int64_t target = (channels_ <= kNarrowChannels ? kSmallBlock : large) / scheme_.points();
  block_tiles_ = by_panels_ ? round_up(grid.count(), gemm_.rows) : even_block(grid.count(), target, exec.threads(), gemm_.rows);
  v_plane_ = odd_lines(block_tiles_ * v_row_);
  m_plane_ = odd_lines(block_tiles_ * m_row_);
  zeros_ = workspace_.add<T>(channels_);
  rounded_ = workspace_.add<float>(kRounds<T> ? weights() : 0);
  filters_ = workspace_.add<float>((by_panels_ ? exec.threads() : panels_) * panel_points());
  shared_input_ = workspace_.add<float>(by_panels_ ? scheme_.points() * v_plane_ : 0);
  for (int thread = 0; thread < exec.threads(); ++thread) {
    input_.push_back(workspace_.add<float>(by_panels_ ? 0 : scheme_.points() * v_plane_));
    products_.push_back(workspace_.add<float>(scheme_.points() * m_plane_));
    transposed_.push_back(
        workspace_.add<float>(use_ == FilterUse::forward ? 9 * (by_panels_ ? piece_ : channels_) * gemm_.panel : 0));
    discarded_.push_back(workspace_.add<T>(columns_));
    rows_in_.push_back(workspace_.add<const float*>(scheme_.largest_group() * block_tiles_));
    rows_out_.push_back(workspace_.add<float*>(scheme_.largest_group() * block_tiles_));
  }
  exec.reserve_workspace(workspace_.bytes());
}

template <class T>
void WinogradProduct<T>::run(Exec& exec, const T* in, const float* w, bool accumulate, T* out) const {
  const std::int64_t pixels = std::int64_t{grid_.images} * grid_.out.h * grid_.out.w;
  const bool stream =
      !kRounds<T> && !accumulate && isa_.streams && grid_.covers_output() && worth_streaming(out, pixels, columns_);
  Operands operands{in, w, out, accumulate, stream, exec.workspace(workspace_.bytes())};
  if constexpr (kRounds<T>) {
    float* rounded = rounded_.in(operands.workspace);
    round_weights(exec, w, weights(), rounded);
    operands.w = rounded;
  }
  std::memset(zeros_.in(operands.workspace), 0, static_cast<std::size_t>(channels_) * sizeof(T));
  by_panels_ ? run_panels(exec, operands) : run_tile_blocks(exec, operands);
}

template <class T>
void WinogradProduct<T>::run_tile_blocks(Exec& exec, const Operands& operands) const {
  float* u = filters_.in(operands.workspace);
  const std::int64_t parts = std::min(ceil_div(kFilterItems * exec.threads(), panels_), ceil_div(channels_, kLineFloats));
  dynamic_loop(exec.threads(), panels_ * parts, [&](std::int64_t item, int thread) {
    const std::int64_t panel = item / parts;
    const Range channels = split(channels_, item % parts, parts, kLineFloats);
    transform_filter(panel, channels, operands, thread, u + panel * panel_points() + channels.begin * gemm_.panel);
  });
  const std::int64_t count = grid_.count();
  dynamic_loop(exec.threads(), ceil_div(count, block_tiles_), [&](std::int64_t block, int thread) {
    const Range tiles{block * block_tiles_, std::min(count, (block + 1) * block_tiles_)};
    float* v = input_[thread].in(operands.workspace);
    transform_input(tiles, operands, v);
    for (std::int64_t panel = 0; panel < panels_; panel += slice_panels_) {
      const Range panels{panel, std::min(panels_, panel + slice_panels_)};
      multiply(tiles, panels, {0, channels_}, {v, u + panel * panel_points()}, thread, operands.workspace);
      transform_output(tiles, panels, operands, thread);
    }
  });
}

template <class T>
void WinogradProduct<T>::run_panels(Exec& exec, const Operands& operands) const {
  const Range tiles{0, grid_.count()};
  float* v = shared_input_.in(operands.workspace);
  dynamic_loop(exec.threads(), tiles.end, [&](std::int64_t tile, int) {
    transform_input({tile, tile + 1}, operands, v + tile * v_row_);
  });
  dynamic_loop(exec.threads(), panels_, [&](std::int64_t panel, int thread) {
    float* u = filters_.in(operands.workspace) + thread * panel_points();
    for (std::int64_t begin = 0; begin < channels_; begin += piece_) {
      const Range channels{begin, std::min(channels_, begin + piece_)};
      transform_filter(panel, channels, operands, thread, u);
      multiply(tiles, {panel, panel + 1}, channels, {v, u}, thread, operands.workspace);
    }
    transform_output(tiles, {panel, panel + 1}, operands, thread);
  });
}

/// Transforms some channels of one panel of filters. Vectors run along the output columns: the channels of dx, which are
/// contiguous in w (K, 3, 3, C), or those of y, for which the panel is transposed first.
template <class T>
void WinogradProduct<T>::transform_filter(std::int64_t panel, Range channels, const Operands& operands, int thread,
                                          float* to) const {
  const std::int64_t width = gemm_.panel, first = panel * width;
  const std::int64_t columns = std::min(width, columns_ - first), count = channels.end - channels.begin;
  if (use_ == FilterUse::rotated) {
    const float* w = operands.w + (9 * channels.begin + 8) * columns_ + first;
    filter_transforms_.filter({w, -columns_, 9 * columns_, count, columns}, width, to, u_plane_);
    return;
  }
  float* transposed = transposed_[thread].in(operands.workspace);
  for (std::int64_t tap = 0; tap < 9; ++tap) {
    const float* w = operands.w + (first * 9 + tap) * channels_ + channels.begin;
    isa_.transpose({w, 9 * channels_, columns, count}, transposed + tap * count * width, width);
  }
  filter_transforms_.filter({transposed, count * width, width, count, columns}, width, to, u_plane_);
}

template <class T>
void WinogradProduct<T>::transform_input(Range tiles, const Operands& operands, float* to) const {
  const T* zeros = zeros_.in(operands.workspace);
  std::array<std::array<const T*, kMaxTilePixels>, 2> pixels;
  grid_.input(operands.in, tiles.begin, zeros, pixels[0].data());
  for (std::int64_t tile = tiles.begin, i = 0; tile < tiles.end; ++tile, ++i, to += v_row_) {
    grid_.input(operands.in, std::min(tile + 1, grid_.count() - 1), zeros, pixels[(i + 1) % 2].data());
    transforms_.input({pixels[i % 2].data(), pixels[(i + 1) % 2].data()}, channels_, to, v_plane_);
  }
}

/// M (+)= V U for the tiles and panels of an item and some channels; the first channels overwrite M, the others accumulate.
/// Padded rows are computed too and discarded.
template <class T>
void WinogradProduct<T>::multiply(Range tiles, Range panels, Range channels, const Factors& factors, int thread,
                                  std::byte* workspace) const {
  const std::int64_t rows = round_up(tiles.end - tiles.begin, gemm_.rows), count = panels.end - panels.begin;
  const float** in = rows_in_[thread].in(workspace);
  float** out = rows_out_[thread].in(workspace);
  float* m = products_[thread].in(workspace);
  for (int member = 0; member < scheme_.largest_group(); ++member) {
    for (std::int64_t row = 0; row < rows; ++row) {
      in[member * rows + row] = factors.v + member * v_plane_ + row * v_row_;
      out[member * rows + row] = m + member * m_plane_ + row * m_row_;
    }
  }
  for (int point = 0; point < scheme_.filters(); ++point) {
    const int first = scheme_.first_point(point);
    const RowTiles block{in, out, static_cast<int>(scheme_.group_size(point) * rows / gemm_.rows), 1};
    for (std::int64_t panel = 0; panel < count; ++panel) {
      const float* filter = factors.u + panel * panel_points() + point * u_plane_;
      // Next: the same point of the slice's next panel, else the next point of its first panel, else the next slice.
      const bool last_panel = panel + 1 == count, last_point = point + 1 == scheme_.filters();
      const float* next_filter = factors.u + (last_panel ? (last_point ? count * panel_points() : (point + 1) * u_plane_)
                                                         : (panel + 1) * panel_points() + point * u_plane_);
      const std::int64_t left = columns_ - (panels.begin + panel) * gemm_.panel;
      const auto columns = static_cast<int>(std::min<std::int64_t>(gemm_.panel, round_up(left, isa_.width)));
      for (std::int64_t begin = channels.begin; begin < channels.end; begin += piece_) {
        const std::int64_t depth = std::min(piece_, channels.end - begin);
        const float* at = filter + (begin - channels.begin) * gemm_.panel;
        gemm_.row_product(block, {0, 1, first * v_plane_ + begin, depth},
                          {first * m_plane_ + panel * gemm_.panel, columns, begin > 0},
                          {at, begin + depth < channels.end ? at + depth * gemm_.panel : next_filter});
      }
    }
  }
}

template <class T>
void WinogradProduct<T>::transform_output(Range tiles, Range panels, const Operands& operands, int thread) const {
  const std::int64_t first = panels.begin * gemm_.panel;
  const auto columns = static_cast<int>(std::min(columns_, panels.end * gemm_.panel) - first);
  const float* m = products_[thread].in(operands.workspace);
  std::array<T*, kMaxTilePixels> pixels;
  for (std::int64_t tile = tiles.begin; tile < tiles.end; ++tile, m += m_row_) {
    grid_.output(operands.out, tile, discarded_[thread].in(operands.workspace), pixels.data());
    transforms_.output(m, m_plane_, {first, columns, operands.accumulate, operands.stream}, pixels.data());
  }
  if (operands.stream) isa_.store_fence();
}

template class WinogradProduct<float>;
template class WinogradProduct<Bits16>;

}  // namespace apam::kernels::cpu

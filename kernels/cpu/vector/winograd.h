// Winograd transforms of whole tiles, channels across the lanes. A two-dimensional transform applies the one-dimensional one of
// vector/winograd_transforms.h to all columns, then to all rows:
//   y = A' [ (G w G') * (B' x B) ] A          dw = G' [ (A dy A') * (B' x B) ] G
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"
#include "kernels/cpu/vector/winograd_transforms.h"

namespace apam::kernels::cpu {

/// Transforms one vector of channels in both dimensions: load(i, j) of in x in, store(i, j, value) of out x out.
template <class V, class F, class Load, class Store>
inline __attribute__((always_inline)) void transform(Load load, Store store) {
  using Float = typename V::Float;
  Float half[F::out][F::in];
#pragma GCC unroll 9
  for (int j = 0; j < F::in; ++j) {
    Float column[F::in], points[F::out];
#pragma GCC unroll 9
    for (int i = 0; i < F::in; ++i) column[i] = load(i, j);
    F::template apply<V>(column, points);
#pragma GCC unroll 9
    for (int i = 0; i < F::out; ++i) half[i][j] = points[i];
  }
#pragma GCC unroll 9
  for (int i = 0; i < F::out; ++i) {
    Float points[F::out];
    F::template apply<V>(half[i], points);
#pragma GCC unroll 9
    for (int j = 0; j < F::out; ++j) store(i, j, points[j]);
  }
}

/// Transforms a tile of pixels, F::in x F::in pointers to (channels), to the points of `scheme`, planes of `to`. Prefetches the
/// pixels of the next tile, one cache line at a time.
template <class V, class T, class F, Tiling tiling>
void pixels_to_points(const TilePixels<T>& tile, std::int64_t channels, float* to, std::int64_t plane) {
  constexpr TileScheme scheme = kTileSchemes[static_cast<int>(tiling)];
  constexpr int kLine = kLineFloats * static_cast<int>(sizeof(float) / sizeof(T));  // elements
  for_each_vector<V>(channels, [=, &tile](std::int64_t l, auto lanes) {
    if (l % kLine == 0) {
#pragma GCC unroll 81
      for (int i = 0; i < F::in * F::in; ++i) __builtin_prefetch(tile.next[i] + l);
    }
    transform<V, F>([=, &tile](int i, int j) { return lanes.load(tile.pixels[i * F::in + j] + l); },
                    [=](int i, int j, typename V::Float value) { lanes.store(to + scheme.point(i, j) * plane + l, value); });
  });
}

/// Points to output with non-temporal stores of whole cache lines; narrower vectors are buffered first.
template <class V, class F, Tiling tiling>
void points_to_lines(const float* from, std::int64_t plane, const PanelOut& out, float* const* pixels) {
  constexpr TileScheme scheme = kTileSchemes[static_cast<int>(tiling)];
  alignas(kLineFloats * sizeof(float)) float lines[F::out * F::out][kLineFloats];
  for (std::int64_t l = 0; l < out.columns; l += kLineFloats) {
    for (int part = 0; part < kLineFloats; part += V::width) {
      transform<V, F>([=](int i, int j) { return V::load(from + scheme.point(i, j) * plane + l + part); },
                      [=, &out, &lines](int i, int j, typename V::Float value) {
                        const int pixel = i * F::out + j;
                        V::width == kLineFloats ? V::stream(pixels[pixel] + out.first + l, value)
                                                : V::store(lines[pixel] + part, value);
                      });
    }
    if constexpr (V::width < kLineFloats) {
      for (int pixel = 0; pixel < F::out * F::out; ++pixel) {
        float* to = pixels[pixel] + out.first + l;
        for (int part = 0; part < kLineFloats; part += V::width) V::stream(to + part, V::load(lines[pixel] + part));
      }
    }
  }
}

template <class V, class T, class F, Tiling tiling>
void points_to_output(const float* from, std::int64_t plane, const PanelOut& out, T* const* pixels) {
  if constexpr (V::streams && sizeof(T) == sizeof(float)) {
    if (out.stream) return points_to_lines<V, F, tiling>(from, plane, out, pixels);
  }
  constexpr TileScheme scheme = kTileSchemes[static_cast<int>(tiling)];
  for_each_vector<V>(out.columns, [=, &out](std::int64_t l, auto lanes) {
    transform<V, F>([=](int i, int j) { return lanes.load(from + scheme.point(i, j) * plane + l); },
                    [=, &out](int i, int j, typename V::Float value) {
                      T* to = pixels[i * F::out + j] + out.first + l;
                      lanes.store(to, out.accumulate ? V::add(lanes.load(to), value) : value);
                    });
  });
}

template <class V, class F, Tiling tiling>
void filter_to_points(const FilterRows& rows, std::int64_t panel, float* to, std::int64_t plane) {
  constexpr TileScheme scheme = kTileSchemes[static_cast<int>(tiling)];
  constexpr int kRowsAhead = 2;
  for (std::int64_t row = 0; row < rows.count; ++row, to += panel) {
    const float* from = rows.from + row * rows.row_stride;
    for_each_vector<V>(rows.columns, [=, &rows](std::int64_t l, auto lanes) {
      if (l % kLineFloats == 0) {
#pragma GCC unroll 9
        for (int i = 0; i < 9; ++i) __builtin_prefetch(from + kRowsAhead * rows.row_stride + i * rows.tap_stride + l);
      }
      // Stores whole vectors: padded columns are zero.
      transform<V, F>([=, &rows](int i, int j) { return lanes.load(from + (i * 3 + j) * rows.tap_stride + l); },
                      [=](int i, int j, typename V::Float value) { V::store(to + scheme.filter(i, j) * plane + l, value); });
    });
    for (std::int64_t l = (rows.columns + V::width - 1) / V::width * V::width; l < panel; l += V::width) {
      for (int point = 0; point < scheme.filters(); ++point) V::store(to + point * plane + l, V::zero());
    }
  }
}

template <class V, class F, Tiling tiling>
void points_to_weights(const float* from, std::int64_t plane, const WeightsOut& out, float* to) {
  constexpr TileScheme scheme = kTileSchemes[static_cast<int>(tiling)];
  for_each_vector<V>(out.columns, [=, &out](std::int64_t l, auto lanes) {
    transform<V, F>([=](int i, int j) { return lanes.load(from + scheme.filter(i, j) * plane + l); },
                    [=, &out](int i, int j, typename V::Float value) {
                      float* at = to + (i * 3 + j) * out.tap_stride + l;
                      lanes.store(at, out.accumulate ? V::add(lanes.load(at), value) : value);
                    });
  });
}

template <class V, class T, class Input, class Output, class Gradient, Tiling tiling>
constexpr WinogradKernels<T> winograd_kernels() {
  return {pixels_to_points<V, T, Input, tiling>, points_to_output<V, T, Output, tiling>,
          pixels_to_points<V, T, Gradient, tiling>};
}

/// The kernels of every Tiling, in order.
template <class V, class T>
constexpr ActivationKernels<T> with_winograd(ActivationKernels<T> kernels) {
  constexpr Tiling same = Tiling::same, small = Tiling::same_small, down = Tiling::down, up = Tiling::up;
  kernels.winograd[0] = winograd_kernels<V, T, stride_1::Input, stride_1::Output, stride_1::Gradient, same>();
  kernels.winograd[1] =
      winograd_kernels<V, T, stride_1_small::Input, stride_1_small::Output, stride_1_small::Gradient, small>();
  kernels.winograd[2] = winograd_kernels<V, T, stride_2::Input, stride_2::Output, stride_2::Gradient, down>();
  kernels.winograd[3] = {pixels_to_points<V, T, stride_2::BackwardInput, up>,
                         points_to_output<V, T, stride_2::BackwardOutput, up>, nullptr};
  return kernels;
}
template <class V>
constexpr Isa with_winograd_filters(Isa isa) {
  constexpr Tiling same = Tiling::same, small = Tiling::same_small, down = Tiling::down, up = Tiling::up;
  isa.winograd_filters[0] = {filter_to_points<V, stride_1::Filter, same>, points_to_weights<V, stride_1::Weights, same>};
  isa.winograd_filters[1] = {filter_to_points<V, stride_1_small::Filter, small>,
                             points_to_weights<V, stride_1_small::Weights, small>};
  isa.winograd_filters[2] = {filter_to_points<V, stride_2::Filter, down>, points_to_weights<V, stride_2::Weights, down>};
  isa.winograd_filters[3] = {filter_to_points<V, stride_2::Filter, up>, nullptr};
  return isa;
}

}  // namespace apam::kernels::cpu

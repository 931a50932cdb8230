// The transforms of Winograd convolution F(4x4, 3x3), channels across the lanes (Lavin, Gray, "Fast algorithms for
// convolutional neural networks", 2016). One tile of 4x4 outputs comes from 6x6 inputs:
//   y = A' [ (G w G') * (B' x B) ] A          dw = G' [ (A dy A') * (B' x B) ] G
// where * multiplies element by element and ' transposes. The matrices follow from evaluating polynomials at six points
// (Toom, Cook): here 0, +-1/sqrt(2), +-sqrt(2) and infinity, which cost what the usual 0, +-1, +-2 cost and lose half as
// many digits. With m(t) = t (t^2 - 1/2) (t^2 - 2) and points t_j:
//   B' row j: coefficients of m(t) / (t - t_j), last row of m(t)     A row j: 1 t_j t_j^2 t_j^3, last row 0 0 0 1
//   G  row j: (1 t_j t_j^2) / m'(t_j), last row 0 0 1                m'(0) = 1, m'(+-1/sqrt(2)) = -3/2, m'(+-sqrt(2)) = 6
// A transform in two dimensions is the one below in each: down the columns, then along the rows.
#pragma once

#include "kernels/cpu/vector/lanes.h"
#include "kernels/cpu/vector/tables.h"

namespace apam::kernels::cpu {

inline constexpr float kPoint = 0.70710678118654752F;    // 1 / sqrt(2)
inline constexpr float kInverse = 1.41421356237309505F;  // sqrt(2)
inline constexpr float kThird = -2.0F / 3.0F;            // 1 / m'(+-1/sqrt(2))
inline constexpr float kSixth = 1.0F / 6.0F;             // 1 / m'(+-sqrt(2))

/// even +- factor * odd, which is how the two points of a pair differ.
template <class V>
inline void pair(float factor, typename V::Float even, typename V::Float odd, typename V::Float* to) {
  to[0] = V::fma(V::all(factor), odd, even);
  to[1] = V::fma(V::all(-factor), odd, even);
}

/// B': 6 inputs to 6 points.
struct InputTransform {
  static constexpr int in = 6, out = 6;
  template <class V>
  static void apply(const typename V::Float* x, typename V::Float* to) {
    to[0] = V::fma(V::all(-2.5F), x[2], V::add(x[0], x[4]));
    pair<V>(kPoint, V::fma(V::all(-2.0F), x[2], x[4]), V::fma(V::all(-2.0F), x[1], x[3]), to + 1);
    pair<V>(kInverse, V::fma(V::all(-0.5F), x[2], x[4]), V::fma(V::all(-0.5F), x[1], x[3]), to + 3);
    to[5] = V::fma(V::all(-2.5F), x[3], V::add(x[1], x[5]));
  }
};

/// A: 4 output gradients to 6 points.
struct GradientTransform {
  static constexpr int in = 4, out = 6;
  template <class V>
  static void apply(const typename V::Float* dy, typename V::Float* to) {
    to[0] = dy[0];
    pair<V>(kPoint, V::fma(V::all(0.5F), dy[2], dy[0]), V::fma(V::all(0.5F), dy[3], dy[1]), to + 1);
    pair<V>(kInverse, V::fma(V::all(2.0F), dy[2], dy[0]), V::fma(V::all(2.0F), dy[3], dy[1]), to + 3);
    to[5] = dy[3];
  }
};

/// G: 3 weights to 6 points.
struct FilterTransform {
  static constexpr int in = 3, out = 6;
  template <class V>
  static void apply(const typename V::Float* w, typename V::Float* to) {
    to[0] = w[0];
    const auto near = V::mul(V::all(kThird), V::fma(V::all(0.5F), w[2], w[0]));
    const auto far = V::mul(V::all(kSixth), V::fma(V::all(2.0F), w[2], w[0]));
    pair<V>(kThird * kPoint, near, w[1], to + 1);
    pair<V>(kSixth * kInverse, far, w[1], to + 3);
    to[5] = w[2];
  }
};

/// A': 6 points to 4 outputs.
struct OutputTransform {
  static constexpr int in = 6, out = 4;
  template <class V>
  static void apply(const typename V::Float* m, typename V::Float* to) {
    const auto near_sum = V::add(m[1], m[2]), near_difference = V::sub(m[1], m[2]);
    const auto far_sum = V::add(m[3], m[4]), far_difference = V::sub(m[3], m[4]);
    to[0] = V::add(m[0], V::add(near_sum, far_sum));
    to[1] = V::fma(V::all(kPoint), near_difference, V::mul(V::all(kInverse), far_difference));
    to[2] = V::fma(V::all(0.5F), near_sum, V::mul(V::all(2.0F), far_sum));
    to[3] = V::fma(V::all(0.5F * kPoint), near_difference, V::fma(V::all(2.0F * kInverse), far_difference, m[5]));
  }
};

/// G': 6 points to 3 weight gradients.
struct WeightTransform {
  static constexpr int in = 6, out = 3;
  template <class V>
  static void apply(const typename V::Float* m, typename V::Float* to) {
    const auto near_sum = V::mul(V::all(kThird), V::add(m[1], m[2]));
    const auto far_sum = V::mul(V::all(kSixth), V::add(m[3], m[4]));
    to[0] = V::add(m[0], V::add(near_sum, far_sum));
    to[1] = V::fma(V::all(kThird * kPoint), V::sub(m[1], m[2]), V::mul(V::all(kSixth * kInverse), V::sub(m[3], m[4])));
    to[2] = V::fma(V::all(0.5F), near_sum, V::fma(V::all(2.0F), far_sum, m[5]));
  }
};

/// One vector of channels through a transform in both dimensions: load(i, j) of in x in, store(i, j, value) of out x out.
template <class V, class T, class Load, class Store>
inline __attribute__((always_inline)) void transform(Load load, Store store) {
  using Float = typename V::Float;
  Float half[T::out][T::in];
#pragma GCC unroll 6
  for (int j = 0; j < T::in; ++j) {
    Float column[T::in], points[T::out];
#pragma GCC unroll 6
    for (int i = 0; i < T::in; ++i) column[i] = load(i, j);
    T::template apply<V>(column, points);
#pragma GCC unroll 6
    for (int i = 0; i < T::out; ++i) half[i][j] = points[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < T::out; ++i) {
    Float points[T::out];
    T::template apply<V>(half[i], points);
#pragma GCC unroll 6
    for (int j = 0; j < T::out; ++j) store(i, j, points[j]);
  }
}

/// A tile of pixels, T::in x T::in pointers to (channels), to the 36 planes of `to`. The pixels of the tile that comes next
/// are asked for a cache line at a time on the way.
template <class V, class T>
void pixels_to_points(const TilePixels& tile, std::int64_t channels, float* to, std::int64_t plane) {
  constexpr int kLineFloats = 16;
  for_each_vector<V>(channels, [=, &tile](std::int64_t l, auto lanes) {
    if (l % kLineFloats == 0) {
#pragma GCC unroll 36
      for (int i = 0; i < T::in * T::in; ++i) __builtin_prefetch(tile.next[i] + l);
    }
    transform<V, T>([=, &tile](int i, int j) { return lanes.load(tile.pixels[i * T::in + j] + l); },
                    [=](int i, int j, typename V::Float value) { lanes.store(to + (i * T::out + j) * plane + l, value); });
  });
}

template <class V>
void points_to_output(const float* from, std::int64_t plane, const PanelOut& out, float* const* pixels) {
  for_each_vector<V>(out.columns, [=, &out](std::int64_t l, auto lanes) {
    transform<V, OutputTransform>([=](int i, int j) { return lanes.load(from + (i * 6 + j) * plane + l); },
                                  [=, &out](int i, int j, typename V::Float value) {
                                    float* to = pixels[i * 4 + j] + out.first + l;
                                    lanes.store(to, out.accumulate ? V::add(lanes.load(to), value) : value);
                                  });
  });
}

template <class V>
void filter_to_points(const FilterRows& rows, std::int64_t panel, float* to, std::int64_t plane) {
  for (std::int64_t row = 0; row < rows.count; ++row, to += panel) {
    const float* from = rows.from + row * rows.row_stride;
    for_each_vector<V>(rows.columns, [=, &rows](std::int64_t l, auto lanes) {
      // Beyond the last column the panel is filled with zeros: a whole vector is stored.
      transform<V, FilterTransform>(
          [=, &rows](int i, int j) { return lanes.load(from + (i * 3 + j) * rows.tap_stride + l); },
          [=](int i, int j, typename V::Float value) { V::store(to + (i * 6 + j) * plane + l, value); });
    });
    for (std::int64_t l = (rows.columns + V::width - 1) / V::width * V::width; l < panel; l += V::width) {
      for (int point = 0; point < 36; ++point) V::store(to + point * plane + l, V::zero());
    }
  }
}

template <class V>
void points_to_weights(const float* from, std::int64_t plane, const WeightsOut& out, float* to) {
  for_each_vector<V>(out.columns, [=, &out](std::int64_t l, auto lanes) {
    transform<V, WeightTransform>([=](int i, int j) { return lanes.load(from + (i * 6 + j) * plane + l); },
                                  [=, &out](int i, int j, typename V::Float value) {
                                    float* at = to + (i * 3 + j) * out.tap_stride + l;
                                    lanes.store(at, out.accumulate ? V::add(lanes.load(at), value) : value);
                                  });
  });
}

template <class V>
constexpr WinogradKernels winograd_kernels() {
  return {pixels_to_points<V, InputTransform>, pixels_to_points<V, GradientTransform>, filter_to_points<V>, points_to_output<V>,
          points_to_weights<V>};
}

}  // namespace apam::kernels::cpu

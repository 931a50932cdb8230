// One-dimensional transforms of Winograd convolution (Lavin, Gray, "Fast algorithms for convolutional neural networks", 2016).
// They evaluate polynomials at points t_j and at infinity (Toom, Cook). With m(t) = product of t - t_j:
//   B' row j: coefficients of m(t) / (t - t_j), last row of m(t)     A row j: 1 t_j t_j^2 .., last row 0 .. 0 1
//   G  row j: (1 t_j t_j^2) / m'(t_j), last row 0 0 1
//   y = A' [ (G w) * (B' x) ]          dw = G' [ (A dy) * (B' x) ]
// where * multiplies element by element and ' transposes.
//
// Stride 1, F(4, 3): 4 outputs with a filter of 3 from 6 inputs and 6 points: 0, +-1/sqrt(2), +-sqrt(2) and infinity. They cost
// as much as the usual 0, +-1, +-2 and lose half as many digits: m'(0) = 1, m'(+-1/sqrt(2)) = -3/2, m'(+-sqrt(2)) = 6.
//
// Stride 1, F(3, 3), if tiles of 3 outputs fit the image better: 3 outputs from 5 inputs and 5 points: +-1/2, +-5/4 and
// infinity, the simple fractions that lose the fewest digits: m'(+-1/2) = -+21/16, m'(+-5/4) = +-105/32.
//
// Stride 2: y_i = (w0 x_2i + w2 x_2i+2) + w1 x_2i+1. The even inputs are convolved with a filter of 2 at stride 1, F(4, 2): 4
// outputs from 5 inputs and the same 5 points. The odd inputs are multiplied with w1 only: 4 plain products, which share a
// filter point. In total 9 products for 4 outputs, instead of 12 for a direct sum. The input gradient is the reverse: of 8
// inputs, those multiplied with w1 are plain products with dy; those in between are an F(4, 2) with the filter (w2, w0).
#pragma once

namespace apam::kernels::cpu {

/// even +- factor * odd: a pair of points +-t.
template <class V>
inline void pair(float factor, typename V::Float even, typename V::Float odd, typename V::Float* to) {
  to[0] = V::fma(V::set1(factor), odd, even);
  to[1] = V::fma(V::set1(-factor), odd, even);
}

namespace stride_1 {

inline constexpr float kPoint = 0.70710678118654752F;    // 1 / sqrt(2)
inline constexpr float kInverse = 1.41421356237309505F;  // sqrt(2)
inline constexpr float kThird = -2.0F / 3.0F;            // 1 / m'(+-1/sqrt(2))
inline constexpr float kSixth = 1.0F / 6.0F;             // 1 / m'(+-sqrt(2))

/// B': 6 inputs to 6 points.
struct Input {
  static constexpr int in = 6, out = 6;
  template <class V>
  static void apply(const typename V::Float* x, typename V::Float* to) {
    to[0] = V::fma(V::set1(-2.5F), x[2], V::add(x[0], x[4]));
    pair<V>(kPoint, V::fma(V::set1(-2.0F), x[2], x[4]), V::fma(V::set1(-2.0F), x[1], x[3]), to + 1);
    pair<V>(kInverse, V::fma(V::set1(-0.5F), x[2], x[4]), V::fma(V::set1(-0.5F), x[1], x[3]), to + 3);
    to[5] = V::fma(V::set1(-2.5F), x[3], V::add(x[1], x[5]));
  }
};

/// A: 4 output gradients to 6 points.
struct Gradient {
  static constexpr int in = 4, out = 6;
  template <class V>
  static void apply(const typename V::Float* dy, typename V::Float* to) {
    to[0] = dy[0];
    pair<V>(kPoint, V::fma(V::set1(0.5F), dy[2], dy[0]), V::fma(V::set1(0.5F), dy[3], dy[1]), to + 1);
    pair<V>(kInverse, V::fma(V::set1(2.0F), dy[2], dy[0]), V::fma(V::set1(2.0F), dy[3], dy[1]), to + 3);
    to[5] = dy[3];
  }
};

/// G: 3 weights to 6 points.
struct Filter {
  static constexpr int in = 3, out = 6;
  template <class V>
  static void apply(const typename V::Float* w, typename V::Float* to) {
    to[0] = w[0];
    const auto near = V::mul(V::set1(kThird), V::fma(V::set1(0.5F), w[2], w[0]));
    const auto far = V::mul(V::set1(kSixth), V::fma(V::set1(2.0F), w[2], w[0]));
    pair<V>(kThird * kPoint, near, w[1], to + 1);
    pair<V>(kSixth * kInverse, far, w[1], to + 3);
    to[5] = w[2];
  }
};

/// A': 6 points to 4 outputs.
struct Output {
  static constexpr int in = 6, out = 4;
  template <class V>
  static void apply(const typename V::Float* m, typename V::Float* to) {
    const auto near_sum = V::add(m[1], m[2]), near_difference = V::sub(m[1], m[2]);
    const auto far_sum = V::add(m[3], m[4]), far_difference = V::sub(m[3], m[4]);
    to[0] = V::add(m[0], V::add(near_sum, far_sum));
    to[1] = V::fma(V::set1(kPoint), near_difference, V::mul(V::set1(kInverse), far_difference));
    to[2] = V::fma(V::set1(0.5F), near_sum, V::mul(V::set1(2.0F), far_sum));
    to[3] = V::fma(V::set1(0.5F * kPoint), near_difference, V::fma(V::set1(2.0F * kInverse), far_difference, m[5]));
  }
};

/// G': 6 points to 3 weight gradients.
struct Weights {
  static constexpr int in = 6, out = 3;
  template <class V>
  static void apply(const typename V::Float* m, typename V::Float* to) {
    const auto near_sum = V::mul(V::set1(kThird), V::add(m[1], m[2]));
    const auto far_sum = V::mul(V::set1(kSixth), V::add(m[3], m[4]));
    to[0] = V::add(m[0], V::add(near_sum, far_sum));
    to[1] = V::fma(V::set1(kThird * kPoint), V::sub(m[1], m[2]), V::mul(V::set1(kSixth * kInverse), V::sub(m[3], m[4])));
    to[2] = V::fma(V::set1(0.5F), near_sum, V::fma(V::set1(2.0F), far_sum, m[5]));
  }
};

}  // namespace stride_1

namespace five_points {

inline constexpr float kNear = 0.5F, kFar = 1.25F;                         // points
inline constexpr float kNear2 = kNear * kNear, kFar2 = kFar * kFar;        // their squares
inline constexpr float kNearShare = -16.0F / 21, kFarShare = 32.0F / 105;  // 1 / m'(t) at the positive points

/// B': 5 inputs, `step` apart, to 5 points.
template <class V, int step>
inline void input(const typename V::Float* x, typename V::Float* to) {
  const auto x0 = x[0], x1 = x[step], x2 = x[2 * step], x3 = x[3 * step], x4 = x[4 * step];
  pair<V>(kNear, V::fma(V::set1(-kFar2), x1, x3), V::fma(V::set1(-kFar2), x0, x2), to);
  pair<V>(kFar, V::fma(V::set1(-kNear2), x1, x3), V::fma(V::set1(-kNear2), x0, x2), to + 2);
  to[4] = V::fma(V::set1(kNear2 * kFar2), x0, V::fma(V::set1(-kNear2 - kFar2), x2, x4));
}

}  // namespace five_points

namespace stride_1_small {

using namespace five_points;

/// B': 5 inputs to 5 points.
struct Input {
  static constexpr int in = 5, out = 5;
  template <class V>
  static void apply(const typename V::Float* x, typename V::Float* to) {
    input<V, 1>(x, to);
  }
};

/// A: 3 output gradients to 5 points.
struct Gradient {
  static constexpr int in = 3, out = 5;
  template <class V>
  static void apply(const typename V::Float* dy, typename V::Float* to) {
    pair<V>(kNear, V::fma(V::set1(kNear2), dy[2], dy[0]), dy[1], to);
    pair<V>(kFar, V::fma(V::set1(kFar2), dy[2], dy[0]), dy[1], to + 2);
    to[4] = dy[2];
  }
};

/// G: 3 weights to 5 points.
struct Filter {
  static constexpr int in = 3, out = 5;
  template <class V>
  static void apply(const typename V::Float* w, typename V::Float* to) {
    pair<V>(kNearShare, V::mul(V::set1(kNearShare * kNear), w[1]), V::fma(V::set1(kNear2), w[2], w[0]), to);
    pair<V>(kFarShare, V::mul(V::set1(kFarShare * kFar), w[1]), V::fma(V::set1(kFar2), w[2], w[0]), to + 2);
    to[4] = w[2];
  }
};

/// A': 5 points to 3 outputs.
struct Output {
  static constexpr int in = 5, out = 3;
  template <class V>
  static void apply(const typename V::Float* m, typename V::Float* to) {
    const auto near_sum = V::add(m[0], m[1]), far_sum = V::add(m[2], m[3]);
    to[0] = V::add(near_sum, far_sum);
    to[1] = V::fma(V::set1(kNear), V::sub(m[0], m[1]), V::mul(V::set1(kFar), V::sub(m[2], m[3])));
    to[2] = V::fma(V::set1(kNear2), near_sum, V::fma(V::set1(kFar2), far_sum, m[4]));
  }
};

/// G': 5 points to 3 weight gradients.
struct Weights {
  static constexpr int in = 5, out = 3;
  template <class V>
  static void apply(const typename V::Float* s, typename V::Float* to) {
    const auto near = V::mul(V::set1(kNearShare), V::sub(s[0], s[1])), far = V::mul(V::set1(kFarShare), V::sub(s[2], s[3]));
    to[0] = V::add(near, far);
    to[1] = V::fma(V::set1(kNearShare * kNear), V::add(s[0], s[1]), V::mul(V::set1(kFarShare * kFar), V::add(s[2], s[3])));
    to[2] = V::fma(V::set1(kNear2), near, V::fma(V::set1(kFar2), far, s[4]));
  }
};

}  // namespace stride_1_small

namespace stride_2 {

using namespace five_points;

/// A' of F(4, 2): 5 points to 4 outputs.
template <class V>
inline void even_output(const typename V::Float* m, typename V::Float* to) {
  const auto near_sum = V::add(m[0], m[1]), near_difference = V::sub(m[0], m[1]);
  const auto far_sum = V::add(m[2], m[3]), far_difference = V::sub(m[2], m[3]);
  to[0] = V::add(near_sum, far_sum);
  to[1] = V::fma(V::set1(kNear), near_difference, V::mul(V::set1(kFar), far_difference));
  to[2] = V::fma(V::set1(kNear2), near_sum, V::mul(V::set1(kFar2), far_sum));
  to[3] = V::fma(V::set1(kNear2 * kNear), near_difference, V::fma(V::set1(kFar2 * kFar), far_difference, m[4]));
}

/// 9 inputs to 9 points.
struct Input {
  static constexpr int in = 9, out = 9;
  template <class V>
  static void apply(const typename V::Float* x, typename V::Float* to) {
    input<V, 2>(x, to);
    for (int i = 0; i < 4; ++i) to[5 + i] = x[2 * i + 1];
  }
};

/// 5 output gradients, as inputs of backward-input, to 9 points.
struct BackwardInput {
  static constexpr int in = 5, out = 9;
  template <class V>
  static void apply(const typename V::Float* dy, typename V::Float* to) {
    input<V, 1>(dy, to);
    for (int i = 0; i < 4; ++i) to[5 + i] = dy[i];
  }
};

/// 4 output gradients to 9 points.
struct Gradient {
  static constexpr int in = 4, out = 9;
  template <class V>
  static void apply(const typename V::Float* dy, typename V::Float* to) {
    pair<V>(kNear, V::fma(V::set1(kNear2), dy[2], dy[0]), V::fma(V::set1(kNear2), dy[3], dy[1]), to);
    pair<V>(kFar, V::fma(V::set1(kFar2), dy[2], dy[0]), V::fma(V::set1(kFar2), dy[3], dy[1]), to + 2);
    to[4] = dy[3];
    for (int i = 0; i < 4; ++i) to[5 + i] = dy[i];
  }
};

/// 3 weights to 6 filter points.
struct Filter {
  static constexpr int in = 3, out = 6;
  template <class V>
  static void apply(const typename V::Float* w, typename V::Float* to) {
    pair<V>(kNearShare, V::mul(V::set1(kNearShare * kNear), w[2]), w[0], to);
    pair<V>(kFarShare, V::mul(V::set1(kFarShare * kFar), w[2]), w[0], to + 2);
    to[4] = w[2];
    to[5] = w[1];
  }
};

/// 9 points to 4 outputs.
struct Output {
  static constexpr int in = 9, out = 4;
  template <class V>
  static void apply(const typename V::Float* m, typename V::Float* to) {
    even_output<V>(m, to);
    for (int i = 0; i < 4; ++i) to[i] = V::add(to[i], m[5 + i]);
  }
};

/// 9 points to 8 input gradients, the first under the filter's centre.
struct BackwardOutput {
  static constexpr int in = 9, out = 8;
  template <class V>
  static void apply(const typename V::Float* m, typename V::Float* to) {
    typename V::Float even[4];
    even_output<V>(m, even);
    for (int i = 0; i < 4; ++i) {
      to[2 * i] = m[5 + i];
      to[2 * i + 1] = even[i];
    }
  }
};

/// 6 filter points to 3 weight gradients.
struct Weights {
  static constexpr int in = 6, out = 3;
  template <class V>
  static void apply(const typename V::Float* s, typename V::Float* to) {
    to[0] = V::fma(V::set1(kNearShare), V::sub(s[0], s[1]), V::mul(V::set1(kFarShare), V::sub(s[2], s[3])));
    to[1] = s[5];
    to[2] =
        V::fma(V::set1(kNearShare * kNear), V::add(s[0], s[1]), V::fma(V::set1(kFarShare * kFar), V::add(s[2], s[3]), s[4]));
  }
};

}  // namespace stride_2
}  // namespace apam::kernels::cpu

// The vector kernels of every instruction set of this processor: element-wise ones must equal their formula in scalar code bit
// for bit, at every position of a vector and in every partial vector.
#include "kernels/cpu/isa.h"
#include "kernels/runtime/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cfenv>
#include <cmath>
#include <limits>
#include <map>
#include <string_view>
#include <vector>

#include "kernels/runtime/error.h"
#include "kernels/runtime/philox.h"
#include "tests/kernels/cpu/each_isa.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kLongest = 70;  // several vectors of the widest instruction set and every partial one
constexpr float kFence = -12345.0F;    // after every output; must not be overwritten

constexpr float kRate = 0.01F;
constexpr StepScalars scalars_of(float weight_decay) {
  return {.weight_decay = weight_decay,
          .beta1 = 0.9F,
          .one_minus_beta1 = 0.1F,
          .beta2 = 0.999F,
          .one_minus_beta2 = 0.001F,
          .eps = 1e-8F,
          .momentum = 0.9F};
}
constexpr StepScalars kScalars = scalars_of(0.001F), kPlain = scalars_of(0);

std::vector<OptimizerKernels::Steps> all_steps(const OptimizerKernels& kernels) {
  return {kernels.sgd, kernels.momentum, kernels.nesterov, kernels.adam, kernels.amsgrad};
}

/// One step by one gradient, at kRate.
void in_place(OptimizerKernels::Steps steps, const StepScalars& scalars, const std::vector<float>& g, const StepOutputs& out,
              std::int64_t count) {
  const float* const gradient = g.data();
  steps(scalars, {.count = 1, .rates = &kRate, .g = &gradient, .from = out.w}, out, 0, count);
}

std::vector<float> normals(std::uint64_t stream, std::int64_t count) {
  const Random random(1, Purpose::sample, stream);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = random.normal(i);
  return values;
}

class Vectors : public testing::TestWithParam<const Isa*> {
 protected:
  /// a * b + c with the rounding of this instruction set: once with fused multiply-add, twice without.
  float fma(float a, float b, float c) const { return isa().fused ? std::fma(a, b, c) : a * b + c; }
  static const Isa& isa() { return *GetParam(); }
  /// Runs body(count) for every length, so that each kind of vector is used.
  template <class Body>
  void for_each_length(const Body& body) const {
    for (std::int64_t count = 1; count <= kLongest; ++count) {
      SCOPED_TRACE(count);
      body(count);
    }
  }
};

void expect_same_bits(float expected, float got, std::int64_t i) {
  EXPECT_EQ(std::bit_cast<std::uint32_t>(expected), std::bit_cast<std::uint32_t>(got))
      << expected << " != " << got << " at " << i;
}

TEST_P(Vectors, pointwise_kernels_round_as_scalar_code) {
  const auto& k = isa().float32.pointwise;
  const auto a = normals(0, kLongest), b = normals(1, kLongest);
  for_each_length([&](std::int64_t count) {
    std::vector<float> sum(kLongest + 1, kFence), scaled = sum, positive = sum, gradient = sum, added = b, running = b;
    k.add(a.data(), b.data(), sum.data(), count);
    k.scale(0.3F, a.data(), scaled.data(), count);
    k.relu(a.data(), positive.data(), count);
    k.relu_backward(a.data(), b.data(), gradient.data(), false, count);
    k.relu_backward(a.data(), b.data(), added.data(), true, count);
    isa().optimizer.running_average(0.1F, a.data(), running.data(), count);
    for (std::int64_t i = 0; i < count; ++i) {
      expect_same_bits(a[i] + b[i], sum[i], i);
      expect_same_bits(0.3F * a[i], scaled[i], i);
      expect_same_bits(a[i] > 0 ? a[i] : 0.0F, positive[i], i);
      expect_same_bits(b[i] > 0 ? a[i] : 0.0F, gradient[i], i);
      expect_same_bits(b[i] > 0 ? b[i] + a[i] : b[i], added[i], i);
      expect_same_bits(fma(0.1F, a[i] - b[i], b[i]), running[i], i);
    }
    for (const auto* output : {&sum, &scaled, &positive, &gradient}) EXPECT_EQ((*output)[count], kFence);
  });
}

TEST_P(Vectors, conversion_rounds_as_scalar_code) {
  // All patterns of the upper half, with lower halves at and next to a tie.
  const auto& k = isa().bfloat16.pointwise;
  std::vector<float> values;
  for (std::uint32_t upper = 0; upper < 0x10000U; ++upper) {
    for (const std::uint32_t lower : {0U, 1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      values.push_back(std::bit_cast<float>(upper << 16U | lower));
    }
  }
  const auto size = static_cast<std::int64_t>(values.size());
  std::vector<std::uint16_t> rounded(values.size());
  std::vector<float> back(values.size());
  k.from_float(values.data(), rounded.data(), size);
  k.to_float(rounded.data(), back.data(), size);
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_EQ(rounded[i], BFloat16(values[i]).bits()) << std::hex << std::bit_cast<std::uint32_t>(values[i]);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(back[i]), std::uint32_t{rounded[i]} << 16U);
  }
}

TEST_P(Vectors, kernels_on_bfloat16_compute_in_float_and_round_once) {
  const auto& k = isa().bfloat16.pointwise;
  const auto a = normals(0, kLongest), b = normals(1, kLongest);
  std::vector<std::uint16_t> as(kLongest), bs(kLongest);
  k.from_float(a.data(), as.data(), kLongest);
  k.from_float(b.data(), bs.data(), kLongest);
  for_each_length([&](std::int64_t count) {
    constexpr std::uint16_t kUntouched = 0x1234;
    std::vector<std::uint16_t> sum(kLongest + 1, kUntouched), scaled = sum, positive = sum;
    k.add(as.data(), bs.data(), sum.data(), count);
    k.scale(0.3F, as.data(), scaled.data(), count);
    k.relu(as.data(), positive.data(), count);
    for (std::int64_t i = 0; i < count; ++i) {
      const float x = BFloat16::from_bits(as[i]), y = BFloat16::from_bits(bs[i]);
      ASSERT_EQ(sum[i], BFloat16(x + y).bits());
      ASSERT_EQ(scaled[i], BFloat16(0.3F * x).bits());
      ASSERT_EQ(positive[i], BFloat16(x > 0 ? x : 0.0F).bits());
    }
    for (const auto* output : {&sum, &scaled, &positive}) EXPECT_EQ((*output)[count], kUntouched);
  });
}

TEST_P(Vectors, optimizer_kernels_round_as_scalar_code) {
  const auto g = normals(0, kLongest), w0 = normals(1, kLongest), m0 = normals(2, kLongest);
  auto v0 = normals(3, kLongest), vh0 = normals(4, kLongest);
  for (auto& value : v0) value *= value;
  for (auto& value : vh0) value *= value;
  for_each_length([&](std::int64_t count) {
    const StepScalars& s = count % 2 == 0 ? kScalars : kPlain;
    auto sgd = w0, momentum = w0, nesterov = w0, adam = w0, amsgrad = w0;
    auto b1 = m0, b2 = m0, m1 = m0, v1 = v0, m2 = m0, v2 = v0, vh = vh0;
    in_place(isa().optimizer.sgd, s, g, {sgd.data(), nullptr, nullptr, nullptr}, count);
    in_place(isa().optimizer.momentum, s, g, {momentum.data(), b1.data(), nullptr, nullptr}, count);
    in_place(isa().optimizer.nesterov, s, g, {nesterov.data(), b2.data(), nullptr, nullptr}, count);
    in_place(isa().optimizer.adam, s, g, {adam.data(), m1.data(), v1.data(), nullptr}, count);
    in_place(isa().optimizer.amsgrad, s, g, {amsgrad.data(), m2.data(), v2.data(), vh.data()}, count);
    for (std::int64_t i = 0; i < kLongest; ++i) {
      if (i >= count) {
        for (const auto* weights : {&sgd, &momentum, &nesterov, &adam, &amsgrad}) expect_same_bits(w0[i], (*weights)[i], i);
        for (const auto* moment : {&b1, &b2, &m1, &m2}) expect_same_bits(m0[i], (*moment)[i], i);
        continue;
      }
      const float gradient = fma(s.weight_decay, w0[i], g[i]);
      const float m = fma(s.beta1, m0[i], s.one_minus_beta1 * gradient);
      const float v = fma(s.beta2, v0[i], s.one_minus_beta2 * gradient * gradient);
      const float largest = std::max(vh0[i], v);
      const float b = fma(s.momentum, m0[i], gradient);
      expect_same_bits(fma(-kRate, gradient, w0[i]), sgd[i], i);
      expect_same_bits(fma(-kRate, b, w0[i]), momentum[i], i);
      expect_same_bits(fma(-kRate, fma(s.momentum, b, gradient), w0[i]), nesterov[i], i);
      expect_same_bits(b, b1[i], i);
      expect_same_bits(b, b2[i], i);
      expect_same_bits(fma(-kRate, m / (std::sqrt(v) + s.eps), w0[i]), adam[i], i);
      expect_same_bits(fma(-kRate, m / (std::sqrt(largest) + s.eps), w0[i]), amsgrad[i], i);
      expect_same_bits(m, m2[i], i);
      expect_same_bits(v, v2[i], i);
      expect_same_bits(largest, vh[i], i);
    }
  });
}

TEST_P(Vectors, steps_at_once_round_as_single_steps) {
  constexpr std::int64_t kSize = 300;  // several groups of vectors, some vectors and a partial one
  std::vector<std::vector<float>> g;
  for (std::uint64_t k = 0; k < 8; ++k) g.push_back(normals(k, kSize));
  for (const StepScalars& scalars : {kScalars, kPlain})
    for (const auto steps : all_steps(isa().optimizer)) {
      for (int count = 1; count <= 8; ++count) {
        std::vector<float> w1 = normals(9, kSize), m1(kSize), v1 = m1, vh1 = m1, w2 = w1, m2 = m1, v2 = m1, vh2 = m1;
        std::vector<const float*> gradients;
        for (int k = 0; k < count; ++k) {
          gradients.push_back(g[static_cast<std::size_t>(k)].data());
          in_place(steps, scalars, g[static_cast<std::size_t>(k)], {w1.data(), m1.data(), v1.data(), vh1.data()}, kSize);
        }
        const std::vector<float> rates(8, kRate);
        const GradientSteps at_once{count, rates.data(), gradients.data(), w2.data()};
        steps(scalars, at_once, {w2.data(), m2.data(), v2.data(), vh2.data()}, 0, kSize);
        EXPECT_EQ(w1, w2);
        EXPECT_EQ(m1, m2);
        EXPECT_EQ(v1, v2);
        EXPECT_EQ(vh1, vh2);
      }
    }
}

TEST_P(Vectors, nan_propagates) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> x(kLongest, nan), ones(kLongest, 1.0F);
  std::vector<float> y(kLongest), w = ones, m = ones, v = ones, vh = ones;
  isa().float32.pointwise.relu(x.data(), y.data(), kLongest);
  in_place(isa().optimizer.amsgrad, kScalars, x, {w.data(), m.data(), v.data(), vh.data()}, kLongest);
  for (std::int64_t i = 0; i < kLongest; ++i) {
    EXPECT_TRUE(std::isnan(y[i])) << i;
    EXPECT_TRUE(std::isnan(vh[i])) << i;
    EXPECT_TRUE(std::isnan(w[i])) << i;
  }
}

// For a gate of NaN the gradient passes, as in PyTorch.
TEST_P(Vectors, gate_is_open_at_nan) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const float states[] = {kNan, -1.0F, 0.0F, -0.0F, 1.0F, std::numeric_limits<float>::infinity(), 1e-40F};
  const bool open[] = {true, false, false, false, true, true, true};
  std::vector<float> y(kLongest), dx(kLongest), zeros(kLongest), d_residual(kLongest), unused(kLongest);
  const auto dy = normals(0, kLongest);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = states[i % 7];
  isa().float32.pointwise.relu_backward(dy.data(), y.data(), dx.data(), false, kLongest);
  std::vector<Gate> gate(static_cast<std::size_t>((kLongest + isa().width - 1) / isa().width * gate_bytes(isa().width)));
  std::vector<float> sum_g(kLongest), sum_gx(kLongest);
  const GradientIn<float> in{dy.data(), zeros.data()};
  isa().float32.batch_norm.gradient_sums(in, y.data(), gate.data(), {zeros.data(), sum_g.data(), sum_gx.data()}, 1, kLongest);
  isa().float32.batch_norm.gradient({zeros.data(), zeros.data(), zeros.data(), zeros.data()}, in, gate.data(),
                                    {unused.data(), d_residual.data(), false, false}, 1, kLongest);
  for (std::int64_t i = 0; i < kLongest; ++i) {
    const float expected = open[i % 7] ? dy[i] : 0.0F;
    EXPECT_EQ(dx[i], expected) << i;
    EXPECT_EQ(sum_g[i], expected) << i;
    EXPECT_EQ(d_residual[i], expected) << i;
  }
}

// Gradients of all sizes for some steps, then none until the slowest moment has decayed to zero. No moment is ever denormal.
TEST_P(Vectors, moments_without_gradient_decay_to_zero) {
  constexpr std::int64_t kCount = 45;
  std::vector<float> w1(kCount, 1.0F), m1(kCount), v1(kCount), w2 = w1, m2 = m1, v2 = v1, vh(kCount), g(kCount);
  std::vector<float> w3 = w1, w4 = w1, b1(kCount), b2(kCount);
  const auto step = [&] {
    in_place(isa().optimizer.momentum, kPlain, g, {w3.data(), b1.data(), nullptr, nullptr}, kCount);
    in_place(isa().optimizer.nesterov, kPlain, g, {w4.data(), b2.data(), nullptr, nullptr}, kCount);
    in_place(isa().optimizer.adam, kPlain, g, {w1.data(), m1.data(), v1.data(), nullptr}, kCount);
    in_place(isa().optimizer.amsgrad, kPlain, g, {w2.data(), m2.data(), v2.data(), vh.data()}, kCount);
  };
  const auto denormals = [&] {
    std::int64_t found = 0;
    for (const auto* moments : {&m1, &v1, &m2, &v2, &vh, &b1, &b2}) {
      for (const float moment : *moments) found += std::fpclassify(moment) == FP_SUBNORMAL ? 1 : 0;
    }
    return found;
  };
  for (std::uint64_t t = 0; t < 20; ++t) {
    const auto noise = normals(t, kCount);
    for (std::int64_t i = 0; i < kCount; ++i) g[i] = noise[i] * std::pow(10.0F, static_cast<float>(-i % 40));
    step();
    ASSERT_EQ(denormals(), 0) << t;
  }
  EXPECT_GT(m1[0] * m1[0], 0.0F);
  std::fill(g.begin(), g.end(), 0.0F);
  for (int t = 0; t < 100'000; ++t) {
    step();
    ASSERT_EQ(denormals(), 0) << t;
  }
  for (const auto* moments : {&m1, &v1, &m2, &v2, &b1, &b2}) EXPECT_EQ(*moments, std::vector<float>(kCount));
  EXPECT_GT(vh[0], 0.0F);
  std::feclearexcept(FE_ALL_EXCEPT);
  step();
  EXPECT_EQ(std::fetestexcept(FE_UNDERFLOW), 0);
}

TEST_P(Vectors, moments_do_not_cancel_for_a_large_mean) {
  constexpr std::int64_t kRows = 257, kChannels = 21;
  constexpr float kMean = 4096.0F;  // spacing of floats there: 2^-11
  auto x = normals(0, kRows * kChannels);
  for (auto& value : x) value = kMean + value / 16.0F;
  std::vector<float> origin(kChannels + 1, kFence), mean = origin, m2 = origin;
  isa().float32.batch_norm.moments(x.data(), kRows, kChannels, origin.data(), mean.data(), m2.data());
  for (std::int64_t j = 0; j < kChannels; ++j) {
    double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < kRows; ++i) sum += double{x[i * kChannels + j]};
    for (std::int64_t i = 0; i < kRows; ++i) squares += std::pow(double{x[i * kChannels + j]} - sum / kRows, 2);
    // Differences from the first row are exact and below 1. Their sum is below 2^9 and rounds by at most 2^-16 per row; the
    // mean rounds by half a spacing. m2 grows by rows * error^2, and its own sum rounds.
    const double error = 0x1p-16 + 0x1p-12;
    EXPECT_NEAR(mean[j], sum / kRows, error);
    EXPECT_NEAR(m2[j], squares, kRows * error * error + squares * kRows * 0x1p-24);
  }
  EXPECT_EQ(mean[kChannels], kFence);
  EXPECT_EQ(m2[kChannels], kFence);
}

INSTANTIATE_TEST_SUITE_P(each, Vectors, each_isa(), isa_name);

TEST(Isa, portable_always_runs) { EXPECT_STREQ(available_isas().front()->name, "portable"); }

TEST(Isa, takes_the_register_tile_with_the_least_cost_per_row) {
  // Instruction set -> columns -> expected panel: the one with the fewest padded columns, except that a narrow tile, which is
  // bound by loads, is not worth a small saving (216 for AVX2, 592 for AVX-512). The widest wins ties (64).
  const std::map<std::string_view, std::map<int, int>> expected{
      {"portable", {{4, 4}, {8, 8}, {64, 8}}},
      {"avx2", {{8, 8}, {10, 16}, {64, 16}, {216, 16}}},
      {"avx512", {{10, 16}, {16, 16}, {32, 32}, {64, 64}, {80, 80}, {96, 48}, {160, 80}, {192, 64}, {512, 64}, {592, 32}}}};
  for (const Isa* isa : available_isas()) {
    for (const auto& [columns, panel] : expected.at(isa->name)) {
      EXPECT_EQ(best_tile(*isa, columns).panel, panel) << isa->name << ' ' << columns;
    }
  }
}

TEST(Isa, is_found_by_name) {
  for (const Isa* isa : all_isas()) EXPECT_EQ(&find_isa(isa->name), isa);
  EXPECT_THROW(find_isa("mmx"), InputError);
}

}  // namespace
}  // namespace apam::kernels::cpu

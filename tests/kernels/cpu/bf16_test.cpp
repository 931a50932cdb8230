// Convolution in products of bfloat16: on emulated tiles everywhere, and with the instructions that the processor has. Results
// are compared with the naive loops in double on the same rounded operands.
//
// Tolerance: the one of sums in float32 (tests/support/tolerance.h); rounding to bfloat16 adds half a unit in the last place,
// at most 2^-8 of the result.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/bf16/builds.h"
#include "kernels/cpu/make.h"
#include "kernels/reference/conv2d.h"
#include "tests/cases/cases.h"
#include "tests/kernels/cpu/bf16_case.h"
#include "tests/support/tolerance.h"
#include "tests/support/verify.h"

namespace apam::kernels::cpu {
namespace {

using namespace bf16_case;

std::vector<double> widen(const auto& values) {
  std::vector<double> wide;
  wide.reserve(values.size());
  for (const auto value : values) wide.push_back(double{static_cast<float>(value)});
  return wide;
}

/// A pass by the naive loops.
std::vector<double> reference_of(const Problem& problem, Pass pass, const std::vector<double>& x, const std::vector<double>& w,
                                 const std::vector<double>& dy) {
  std::vector<double> out(pass == Pass::forward          ? problem.y_size()
                          : pass == Pass::backward_input ? problem.x_size()
                                                         : problem.w_size());
  if (pass == Pass::forward) reference::conv2d_forward(problem, x.data(), w.data(), out.data());
  if (pass == Pass::backward_input) {
    reference::conv2d_backward_input(problem, dy.data(), w.data(), out.data(), Write::overwrite);
  }
  if (pass == Pass::backward_weight) {
    reference::conv2d_backward_weight(problem, x.data(), dy.data(), out.data(), Write::overwrite);
  }
  return out;
}

struct Expected {
  std::vector<double> sums;
  support::Tolerance tolerance;
  bool rounded;  // to bfloat16

  double allowed(std::size_t e, double target) const {
    const double sum = tolerance.of(sums[e]) + support::Tolerance::rounding(target);
    return sum + (rounded ? (std::abs(target) + sum) * 0x1p-8 : 0);
  }
};

std::int64_t terms_of(const Problem& problem, Pass pass) {
  const std::int64_t taps = std::int64_t{problem.r} * problem.s;
  if (pass == Pass::forward) return taps * problem.c;
  if (pass == Pass::backward_input) return taps * problem.k;
  return std::int64_t{problem.n} * problem.out_h() * problem.out_w();
}

Expected expect(const Problem& problem, Pass pass, const Operands& operands) {
  const std::vector<BFloat16> w(operands.w.begin(), operands.w.end());
  std::vector<double> sums = reference_of(problem, pass, widen(operands.x), widen(w), widen(operands.dy));
  const support::Tolerance tolerance(terms_of(problem, pass), support::root_mean_square(sums));
  return {std::move(sums), tolerance, pass != Pass::backward_weight};
}

void expect_near(const std::vector<float>& actual, const Expected& expected, const std::vector<float>& before = {}) {
  ASSERT_EQ(actual.size(), expected.sums.size());
  for (std::size_t e = 0; e < actual.size(); ++e) {
    const double target = expected.sums[e] + (before.empty() ? 0.0 : double{before[e]});
    ASSERT_NEAR(double{actual[e]}, target, expected.allowed(e, target)) << '[' << e << ']';
  }
}

void check(const Problem& problem, const TileKernels16& kernels) {
  const Operands operands(problem);
  for (const Pass pass : kPasses) {
    SCOPED_TRACE(fmt::format("{} {} on {}", problem.describe(), name_of(pass), kernels.name));
    const Expected expected = expect(problem, pass, operands);
    const std::vector<float> one = run(problem, pass, operands, {kernels});
    expect_near(one, expected);
    expect_same_bits(one, run(problem, pass, operands, {kernels, 3, Fence::before}));
    std::vector<BFloat16> old;
    Operands::fill(old, one.size(), 3, 1);
    const std::vector<float> before(old.begin(), old.end());
    const std::vector<float> added = run(problem, pass, operands, {kernels}, before);
    expect_near(added, expected, before);
    expect_same_bits(added, run(problem, pass, operands, {kernels, 3, Fence::before}, before));
  }
}

/// Too large for one band, chunk or slice.
std::vector<Problem> large_problems() {
  return {square(1, 48, 256, 32, 1, 1, 0), square(1, 40, 288, 20),  square(40, 4, 288, 160),       square(33, 8, 36, 36),
          square(40, 32, 16, 16),          square(36, 2, 512, 256), square(1, 6, 608, 16, 1, 1, 0)};
}

/// The kernels on a unit, or null if they cannot run.
struct Unit {
  std::string name;
  const TileKernels16* kernels;
};
void PrintTo(const Unit& unit, std::ostream* out) { *out << unit.name; }

class Bf16Convolution : public testing::TestWithParam<Unit> {
 protected:
  void SetUp() override {
    if (GetParam().kernels == nullptr) GTEST_SKIP() << "the processor has no AVX512-BF16";
  }
  static const TileKernels16& kernels() { return *GetParam().kernels; }
  /// A signal per instruction takes too long for many products.
  static bool trapped() { return GetParam().kernels == trapped_amx_tiles(); }
};

TEST_P(Bf16Convolution, is_right_and_the_same_on_any_number_of_threads) {
  if (trapped()) GTEST_SKIP() << "slow without AMX; AmxUnit compares the bits";
  for (const Problem& problem : problems()) check(problem, kernels());
}

TEST_P(Bf16Convolution, is_right_in_several_bands_chunks_and_slices) {
  if (trapped()) GTEST_SKIP() << "slow without AMX; AmxUnit compares the bits";
  for (const Problem& problem : large_problems()) check(problem, kernels());
}

/// Changes one element of an operand to NaN. Only outputs in its reach may change, and those that the naive loops make NaN are.
void check_reach(const Problem& problem, Pass pass, const TileKernels16& kernels, auto poison, auto reached) {
  SCOPED_TRACE(fmt::format("{} {} on {}", problem.describe(), name_of(pass), kernels.name));
  Operands operands(problem);
  const std::vector<float> clean = run(problem, pass, operands, {kernels});
  poison(operands);
  const Expected expected = expect(problem, pass, operands);
  const std::vector<float> actual = run(problem, pass, operands, {kernels});
  bool any = false;
  for (std::size_t e = 0; e < actual.size(); ++e) {
    if (std::isnan(expected.sums[e])) {
      ASSERT_TRUE(std::isnan(actual[e])) << e;
      any = true;
    } else if (!reached(e)) {
      ASSERT_EQ(actual[e], clean[e]) << e;
    }
  }
  EXPECT_TRUE(any);
}

TEST_P(Bf16Convolution, keeps_nan_in_its_image_filter_or_channel) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Problem& problem : {square(5, 6, 35, 18), square(20, 4, 33, 20), square(3, 16, 16, 16), square(4, 9, 3, 20, 3, 2),
                                 square(18, 8, 20, 20, 3, 2)}) {
    const std::size_t x_image = problem.x_size() / problem.n, y_image = problem.y_size() / problem.n;
    const std::size_t filter = problem.w_size() / problem.k, c = problem.c, k = problem.k;
    check_reach(
        problem, Pass::forward, kernels(), [&](Operands& o) { o.x[x_image * 2 + 5 * c] = BFloat16(nan); },
        [&](std::size_t e) { return e / y_image == 2; });
    check_reach(
        problem, Pass::forward, kernels(), [&](Operands& o) { o.w[filter * 3 + 1] = nan; },
        [&](std::size_t e) { return e % k == 3; });
    check_reach(
        problem, Pass::backward_input, kernels(), [&](Operands& o) { o.dy[y_image * 2 + k + 1] = BFloat16(nan); },
        [&](std::size_t e) { return e / x_image == 2; });
    check_reach(
        problem, Pass::backward_input, kernels(), [&](Operands& o) { o.w[filter * 3 + 4 * c + 1] = nan; },
        [&](std::size_t e) { return e % c == 1; });
    check_reach(
        problem, Pass::backward_weight, kernels(), [&](Operands& o) { o.x[x_image + (problem.w + 1) * c + 2] = BFloat16(nan); },
        [&](std::size_t e) { return e % c == 2; });
    check_reach(
        problem, Pass::backward_weight, kernels(), [&](Operands& o) { o.dy[y_image + k + 7] = BFloat16(nan); },
        [&](std::size_t e) { return e / filter == 7; });
  }
}

/// Denormal operands are zero, huge ones overflow to infinity, halves round to even.
TEST_P(Bf16Convolution, rounds_like_bfloat16) {
  const Problem problem = square(1, 1, 2, 1, 1, 1, 0);
  Operands operands(problem);
  const auto forward = [&](float x0, float w0, float x1, float w1) {
    operands.x = {BFloat16(x0), BFloat16(x1)};
    operands.w = {w0, w1};
    return run(problem, Pass::forward, operands, {kernels()})[0];
  };
  EXPECT_EQ(forward(0x1p-130F, 0x1p100F, 0, 0), 0.0F);
  EXPECT_EQ(forward(0, 0, 0x1p100F, 0x1p-130F), 0.0F);
  EXPECT_EQ(forward(0x1p-100F, 0x1p-30F, 0, 0), 0.0F);
  EXPECT_EQ(forward(0x1p100F, 0x1p100F, 0, 0), std::numeric_limits<float>::infinity());
  EXPECT_EQ(forward(1, 1, 0x1p-8F, 1), 1.0F);            // a tie, to even
  EXPECT_EQ(forward(1, 1, 0x1.8p-7F, 1), 0x1.04p0F);     // a tie, to even
  EXPECT_EQ(forward(1, 1, 0x1.02p-8F, 1), 1 + 0x1p-7F);  // above it
  EXPECT_EQ(forward(1, 1 + 0x1p-8F, 0, 0), 1.0F);        // the weight is rounded
}

INSTANTIATE_TEST_SUITE_P(on, Bf16Convolution,
                         testing::Values(Unit{"emulated", &emulated_tiles()}, Unit{"avx512_bf16", kernels_on("avx512_bf16")},
                                         Unit{"amx", kernels_on("amx")}),
                         [](const auto& unit) { return unit.param.name; });

/// Two depth blocks, the second partial, in panels of all sizes.
TEST(DotUnit, adds_the_odd_element_of_a_pair_first) {
  const TileKernels16* dot = kernels_on("avx512_bf16");
  if (dot == nullptr) GTEST_SKIP() << "the processor has no AVX512-BF16";
  for (const int columns : {16, 32, 40, 56}) {
    const Problem problem = square(1, 6, 51, columns, 1, 1, 0);
    const Operands operands(problem);
    std::vector<float> expected;
    for (int row = 0; row < problem.h * problem.w; ++row) {
      for (int k = 0; k < columns; ++k) {
        const auto x = [&](int c) { return c < problem.c ? float{operands.x[row * problem.c + c]} : 0.0F; };
        const auto w = [&](int c) { return c < problem.c ? float{BFloat16(operands.w[k * problem.c + c])} : 0.0F; };
        float sum = 0;
        for (int pair = 0; pair < 32; ++pair) {
          for (const int c : {2 * pair + 1, 2 * pair}) sum = std::fma(x(c), w(c), sum);
        }
        expected.push_back(BFloat16(sum));
      }
    }
    expect_same_bits(expected, run(problem, Pass::forward, operands, {*dot}));
  }
}

TEST(Bf16Kernels, compute_every_edge_case_on_an_emulated_unit) {
  for (const auto& named : cases::edge_cases<Conv2d>()) {
    Conv2d::Problem problem = named.problem;
    problem.type = DType::bfloat16;
    Exec exec({.threads = 2});
    support::KernelCheck<Conv2d> samples(exec, problem);
    for (const Pass pass : kPasses) {
      const auto kernel = make_bf16_products(exec, problem, pass, emulated_tiles());
      const auto expected = samples.expected(pass);
      for (const Write write : {Write::overwrite, Write::add}) {
        EXPECT_EQ(support::verify(exec, samples, *kernel, pass, expected, write), "")
            << problem.describe() << ' ' << name_of(pass);
      }
    }
  }
}

/// Products at twice the rate of float32, and at 16 times.
TEST(Bf16Kernels, are_used_where_they_are_faster) {
  TileKernels16 twice = emulated_tiles(), many = twice;
  twice.rate = 2;
  many.rate = 16;
  const auto used = [](const Problem& problem, const TileKernels16& tiles) {
    Isa isa = *available_isas().back();
    isa.tiles = &tiles;
    std::string passes;
    for (const Pass pass : kPasses) passes += bf16_products_pay(problem, pass, isa) ? 'p' : '-';
    return passes;
  };
  // Forward, backward_input, backward_weight.
  EXPECT_EQ(used(square(80, 32, 64, 64), twice), "---");  // Winograd saves more
  EXPECT_EQ(used(square(80, 32, 64, 64), many), "ppp");
  EXPECT_EQ(used(square(80, 8, 64, 64, 3, 1, 0), twice), "---");
  EXPECT_EQ(used(square(80, 32, 64, 128, 3, 2), twice), "ppp");  // Winograd saves less
  EXPECT_EQ(used(square(80, 32, 64, 128, 1, 2, 0), twice), "ppp");
  EXPECT_EQ(used(square(80, 32, 16, 80, 1, 1, 0), twice), "ppp");  // half of a depth block is padding
  EXPECT_EQ(used(square(80, 32, 15, 80, 1, 1, 0), twice), "-pp");
  EXPECT_EQ(used(square(80, 6, 192, 10, 1, 1, 0), twice), "p-p");
  EXPECT_EQ(used(square(80, 6, 192, 10, 1, 1, 0), many), "ppp");
  EXPECT_EQ(used(square(80, 32, 3, 64), twice), "pp-");  // windows; the weight gradient of small filters
  EXPECT_EQ(used(square(80, 32, 3, 16), twice), "pp-");
  EXPECT_EQ(used(square(80, 32, 3, 15), twice), "--p");
  Isa without = *available_isas().back();
  without.tiles = nullptr;
  EXPECT_FALSE(bf16_products_pay(square(80, 32, 64, 128, 3, 2), Pass::forward, without));
}

}  // namespace
}  // namespace apam::kernels::cpu

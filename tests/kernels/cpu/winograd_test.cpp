// The rounding error of Winograd convolution, against the naive loops in double, on the channels and images of the nets. It
// grows with the channels: 4e-7 to 1.8e-6 with fma, 2.4e-6 without. A wrong constant in a transform gives far larger errors.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/cpu/winograd_product.h"
#include "kernels/cpu/winograd_weight.h"
#include "kernels/reference/conv2d.h"
#include "kernels/runtime/philox.h"

namespace apam::kernels::cpu {
namespace {

constexpr double kBound = 5e-6;  // of ||error|| / ||expected||

enum class Inputs { normal, rectified };

template <class T>
using Values = std::vector<T>;

struct Operands {
  Values<float> x, w, dy;

  Operands(const Conv2d::Problem& problem, Inputs inputs) : x(problem.x_size()), w(problem.w_size()), dy(problem.y_size()) {
    fill(x, 0, 1);
    fill(w, 1, 1 / std::sqrt(9.0 * problem.c));
    fill(dy, 2, 1);
    if (inputs == Inputs::rectified) {
      for (auto& value : x) value = std::max(value, 0.0F);
    }
  }

 private:
  static void fill(Values<float>& values, std::uint64_t stream, double deviation) {
    const Random random(3, Purpose::sample, stream);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(deviation * random.normal(i));
  }
};

Values<double> doubles(const Values<float>& values) { return {values.begin(), values.end()}; }

double relative_error(const Values<float>& actual, const Values<double>& expected) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    error += std::pow(double{actual[i]} - expected[i], 2);
    size += expected[i] * expected[i];
  }
  return std::sqrt(error / size);
}

void check(const Conv2d::Problem& problem, Inputs inputs) {
  const Operands operands(problem, inputs);
  const auto x = doubles(operands.x), w = doubles(operands.w), dy = doubles(operands.dy);
  Values<double> y(dy.size()), dx(x.size()), dw(w.size());
  reference::conv2d_forward(problem, x.data(), w.data(), y.data());
  reference::conv2d_backward_input(problem, dy.data(), w.data(), dx.data(), Write::overwrite);
  reference::conv2d_backward_weight(problem, x.data(), dy.data(), dw.data(), Write::overwrite);
  for (const Isa* isa : available_isas()) {
    SCOPED_TRACE(fmt::format("{} on {}", problem.describe(), isa->name));
    Exec exec({.threads = 2});
    Values<float> y_actual(y.size()), dx_actual(dx.size()), dw_actual(dw.size());
    const WinogradProduct<float> forward(exec, forward_grid(problem), FilterUse::forward, *isa);
    const WinogradProduct<float> backward_input(exec, backward_input_grid(problem), FilterUse::rotated, *isa);
    const WinogradWeight<float> backward_weight(exec, forward_grid(problem), *isa);
    forward.run(exec, operands.x.data(), operands.w.data(), false, y_actual.data());
    backward_input.run(exec, operands.dy.data(), operands.w.data(), false, dx_actual.data());
    backward_weight.run(exec, operands.x.data(), operands.dy.data(), false, dw_actual.data());
    EXPECT_LT(relative_error(y_actual, y), kBound) << "forward";
    EXPECT_LT(relative_error(dx_actual, dx), kBound) << "backward_input";
    EXPECT_LT(relative_error(dw_actual, dw), kBound) << "backward_weight";
  }
}

class WinogradAccuracy : public testing::TestWithParam<Conv2d::Problem> {};

TEST_P(WinogradAccuracy, of_normal_inputs) { check(GetParam(), Inputs::normal); }
TEST_P(WinogradAccuracy, of_rectified_inputs) { check(GetParam(), Inputs::rectified); }

Conv2d::Problem square(int n, int image, int c, int k, int stride = 1, int padding = 1) {
  return {.n = n, .h = image, .w = image, .c = c, .k = k, .r = 3, .s = 3, .stride = stride, .padding = padding};
}

std::string name_of(const testing::TestParamInfo<Conv2d::Problem>& test) {
  const Conv2d::Problem& p = test.param;
  return fmt::format("{}x{}_{}_to_{}_padding_{}", p.h, p.w, p.c, p.k, p.padding);
}

/// Uses its workspace up to the last byte, so that a sanitizer detects a read beyond it: two chunks of 25 tiles of 80 channels
/// of dy are an odd number of cache lines, and 64 channels of x are not a multiple of the register tile.
TEST(WinogradWeight, stays_inside_its_workspace) {
  const Conv2d::Problem problem = square(2, 20, 64, 80);
  const Operands operands(problem, Inputs::normal);
  const auto x = doubles(operands.x), dy = doubles(operands.dy);
  Values<double> expected(operands.w.size());
  reference::conv2d_backward_weight(problem, x.data(), dy.data(), expected.data(), Write::overwrite);
  for (const Isa* isa : available_isas()) {
    Exec exec({.threads = 1});
    const WinogradWeight<float> backward_weight(exec, forward_grid(problem), *isa);
    Values<float> actual(expected.size());
    backward_weight.run(exec, operands.x.data(), operands.dy.data(), false, actual.data());
    EXPECT_LT(relative_error(actual, expected), kBound) << isa->name;
  }
}

std::vector<Bits16> rounded(const Values<float>& values) {
  std::vector<Bits16> bits;
  for (const float value : values) bits.push_back(BFloat16(value).bits());
  return bits;
}
Values<float> widen(const std::vector<Bits16>& bits) {
  Values<float> values;
  for (const Bits16 one : bits) values.push_back(BFloat16::from_bits(one));
  return values;
}

/// In bfloat16 the sums are those of float32 on the same operands; the results are rounded once.
TEST_P(WinogradAccuracy, of_bfloat16_is_that_of_float32) {
  const Conv2d::Problem& problem = GetParam();
  const Operands operands(problem, Inputs::normal);
  const std::vector<Bits16> x = rounded(operands.x), dy = rounded(operands.dy);
  const Values<float> w = widen(rounded(operands.w)), x_values = widen(x), dy_values = widen(dy);
  for (const Isa* isa : available_isas()) {
    SCOPED_TRACE(isa->name);
    Exec exec({.threads = 2});
    const TileGrid forward = forward_grid(problem), backward = backward_input_grid(problem);
    Values<float> y(dy.size()), dx = x_values, dw(w.size()), dw16(w.size());
    std::vector<Bits16> y16(y.size()), dx16 = x;
    WinogradProduct<float>(exec, forward, FilterUse::forward, *isa).run(exec, x_values.data(), w.data(), false, y.data());
    WinogradProduct<Bits16>(exec, forward, FilterUse::forward, *isa).run(exec, x.data(), operands.w.data(), false, y16.data());
    EXPECT_EQ(y16, rounded(y));
    WinogradProduct<float>(exec, backward, FilterUse::rotated, *isa).run(exec, dy_values.data(), w.data(), true, dx.data());
    WinogradProduct<Bits16>(exec, backward, FilterUse::rotated, *isa)
        .run(exec, dy.data(), operands.w.data(), true, dx16.data());
    EXPECT_EQ(dx16, rounded(dx));
    WinogradWeight<float>(exec, forward, *isa).run(exec, x_values.data(), dy_values.data(), false, dw.data());
    WinogradWeight<Bits16>(exec, forward, *isa).run(exec, x.data(), dy.data(), false, dw16.data());
    EXPECT_EQ(dw16, dw);
  }
}

INSTANTIATE_TEST_SUITE_P(stride_1, WinogradAccuracy,
                         testing::Values(square(1, 32, 64, 64), square(1, 32, 96, 96), square(1, 32, 16, 80),
                                         square(1, 32, 80, 80), square(1, 16, 96, 192), square(1, 16, 128, 128),
                                         square(1, 16, 160, 160), square(2, 8, 192, 192), square(2, 8, 256, 256),
                                         square(1, 8, 320, 320), square(4, 4, 512, 512), square(2, 8, 192, 192, 1, 0),
                                         square(2, 6, 192, 192)),
                         name_of);

INSTANTIATE_TEST_SUITE_P(stride_2, WinogradAccuracy,
                         testing::Values(square(1, 32, 64, 128, 2), square(1, 32, 96, 96, 2), square(1, 32, 80, 160, 2),
                                         square(1, 16, 128, 256, 2), square(1, 16, 160, 320, 2), square(1, 16, 192, 192, 2),
                                         square(3, 8, 256, 512, 2), square(1, 19, 24, 20, 2, 0), square(1, 18, 24, 20, 2, 0),
                                         square(1, 17, 24, 20, 2, 1), square(1, 18, 24, 20, 2, 2)),
                         name_of);

}  // namespace
}  // namespace apam::kernels::cpu

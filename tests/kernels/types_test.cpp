// Types of elements: rounding to bfloat16, views that know their type, and operations that are given the wrong one.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/ops/kernel.h"
#include "tests/support/throws.h"

namespace apam::kernels {
namespace {

using support::throws;

float rounded(float value) { return BFloat16(value); }

TEST(BFloat16, rounds_to_nearest_and_ties_to_even) {
  constexpr float kUnit = 0x1p-7F;  // between 1 and 2
  EXPECT_EQ(rounded(1.0F), 1.0F);
  EXPECT_EQ(rounded(1 + kUnit / 2), 1.0F);  // a tie: the last bit of 1 is even
  EXPECT_EQ(rounded(std::nextafter(1 + kUnit / 2, 2.0F)), 1 + kUnit);
  EXPECT_EQ(rounded(1 + 3 * kUnit / 2), 1 + 2 * kUnit);  // a tie: up to even
  EXPECT_EQ(rounded(-1 - 3 * kUnit / 2), -1 - 2 * kUnit);
  EXPECT_EQ(rounded(-0.0F), 0.0F);
  EXPECT_TRUE(std::signbit(rounded(-0.0F)));
  EXPECT_EQ(rounded(0x1p-130F), 0x1p-130F);  // denormal numbers are kept
}

TEST(BFloat16, overflows_to_infinity_and_keeps_nan) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), kInf);
  EXPECT_EQ(rounded(-kInf), -kInf);
  EXPECT_TRUE(std::isnan(rounded(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(rounded(std::bit_cast<float>(0x7F800001U))));  // a payload in the lower half only
}

TEST(BFloat16, is_exact_as_a_float) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto number = BFloat16::from_bits(static_cast<std::uint16_t>(bits));
    if (std::isnan(float{number})) continue;
    ASSERT_EQ(BFloat16(float{number}).bits(), bits);
  }
}

TEST(Array, knows_its_type) {
  std::vector<BFloat16> numbers(6, BFloat16(1.5F));
  const Out array{std::span(numbers)};
  EXPECT_EQ(array.type(), DType::bfloat16);
  EXPECT_EQ(array.size_bytes(), 12U);
  EXPECT_EQ(array.subspan(2, 3).as<BFloat16>("numbers").data(), numbers.data() + 2);
  EXPECT_THROW((void)array.subspan(5, 2), ShapeError);
  EXPECT_TRUE(throws<TypeError>({"relu: x is bfloat16, expected float32"}, [&] { (void)In(array).as<float>("relu: x"); }));
  EXPECT_TRUE(In().as<BFloat16>("nothing").empty());
  EXPECT_TRUE(In().as<float>("nothing").empty());
}

TEST(Array, copies_only_to_the_same_type) {
  std::vector<BFloat16> numbers(3, BFloat16(2.0F)), arrived(3);
  std::vector<float> floats(3);
  copy(In(std::span<const BFloat16>(numbers)), Out(std::span(arrived)));
  EXPECT_EQ(float{arrived[2]}, 2.0F);
  EXPECT_TRUE(throws<TypeError>({"copy", "bfloat16", "float32"},
                                [&] { copy(In(std::span<const BFloat16>(numbers)), Out(std::span(floats))); }));
}

TEST(Precision, is_read_from_text) {
  EXPECT_EQ(parse_precision("float32"), DType::float32);
  EXPECT_EQ(parse_precision("bf16"), DType::bfloat16);
  EXPECT_TRUE(throws<InputError>({"precision", "float32", "bf16", "half"}, [] { (void)parse_precision("half"); }));
}

/// Memory of both types. Every operand of a problem is one of these, large enough for all of them.
struct Operands {
  std::vector<float> floats = std::vector<float>(64, 1.0F);
  std::vector<BFloat16> numbers = std::vector<BFloat16>(64, BFloat16(1.0F));
  std::vector<std::int32_t> labels = std::vector<std::int32_t>(4);
  Out of(DType type, std::size_t size) {
    return type == DType::float32 ? Out(std::span(floats)).subspan(0, size) : Out(std::span(numbers)).subspan(0, size);
  }
  Span<float> weights(std::size_t size) { return Span<float>(std::span(floats)).subspan(0, size); }
};

/// Expects that every CPU provider that supports the problem refuses operands of the other type, and names both types.
template <class Op, class Run>
void expect_refused(typename Op::Problem problem, typename Op::Pass pass, const Run& run) {
  for (const DType type : {DType::float32, DType::bfloat16}) {
    const DType other = type == DType::float32 ? DType::bfloat16 : DType::float32;
    problem.type = type;
    for (const auto& implementation : implementations<Op>()) {
      if (implementation.device != DeviceKind::cpu || !implementation.supports(problem, pass)) continue;
      Exec exec;
      const auto kernel = implementation.make(exec, problem, pass);
      EXPECT_TRUE(throws<TypeError>({Op::name, to_string(other), to_string(type)}, [&] { run(exec, *kernel, other); }))
          << problem.describe() << ' ' << Op::pass_names[static_cast<std::size_t>(pass)] << " by " << implementation.provider;
    }
  }
}

TEST(WrongType, is_refused_by_every_operation) {
  Operands o;
  expect_refused<Relu>({.size = 8}, Relu::Pass::forward,
                       [&](Exec& exec, Relu::Kernel& k, DType t) { k.forward(exec, o.of(t, 8), o.of(t, 8)); });
  expect_refused<Relu>({.size = 8}, Relu::Pass::backward, [&](Exec& exec, Relu::Kernel& k, DType t) {
    k.backward(exec, o.of(t, 8), o.of(t, 8), o.of(t, 8), Write::overwrite);
  });
  expect_refused<Add>({.size = 8}, Add::Pass::forward,
                      [&](Exec& exec, Add::Kernel& k, DType t) { k.forward(exec, o.of(t, 8), o.of(t, 8), o.of(t, 8)); });
  expect_refused<Scale>({.size = 8, .factor = 2}, Scale::Pass::forward,
                        [&](Exec& exec, Scale::Kernel& k, DType t) { k.forward(exec, o.of(t, 8), o.of(t, 8)); });
  expect_refused<AvgPool>({.n = 1, .h = 2, .w = 2, .c = 2, .window = 2}, AvgPool::Pass::forward,
                          [&](Exec& exec, AvgPool::Kernel& k, DType t) { k.forward(exec, o.of(t, 8), o.of(t, 2)); });
  expect_refused<Conv2d>(
      {.n = 1, .h = 2, .w = 2, .c = 2, .k = 2, .r = 1, .s = 1}, Conv2d::Pass::forward,
      [&](Exec& exec, Conv2d::Kernel& k, DType t) { k.forward(exec, o.of(t, 8), o.weights(4), o.of(t, 8)); });
  expect_refused<Conv2d>({.n = 1, .h = 2, .w = 2, .c = 2, .k = 2, .r = 1, .s = 1}, Conv2d::Pass::backward_weight,
                         [&](Exec& exec, Conv2d::Kernel& k, DType t) {
                           k.backward_weight(exec, o.of(t, 8), o.of(t, 8), o.weights(4), Write::overwrite);
                         });
  expect_refused<Linear>({.n = 2, .c = 4, .k = 2}, Linear::Pass::forward, [&](Exec& exec, Linear::Kernel& k, DType t) {
    k.forward(exec, o.of(t, 8), o.weights(8), o.weights(2), o.of(t, 4));
  });
  expect_refused<BatchNorm>({.rows = 4, .c = 2}, BatchNorm::Pass::forward_training,
                            [&](Exec& exec, BatchNorm::Kernel& k, DType t) {
                              k.forward_training(exec, o.of(t, 8), {}, o.weights(2), o.weights(2), o.of(t, 8),
                                                 {o.weights(2), o.weights(2), o.weights(2)});
                            });
  expect_refused<SoftmaxCrossEntropy>({.n = 4, .classes = 2}, SoftmaxCrossEntropy::Pass::forward,
                                      [&](Exec& exec, SoftmaxCrossEntropy::Kernel& k, DType t) {
                                        k.forward(exec, o.of(t, 8), Labels(std::span(o.labels)), o.weights(8), o.weights(3));
                                      });
}

}  // namespace
}  // namespace apam::kernels

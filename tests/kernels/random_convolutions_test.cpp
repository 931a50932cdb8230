// Random convolutions: filters, strides, paddings, channels and images of all sizes, each pass on every instruction set and
// with every other provider, against the naive loops in double.
//
//   kernels_random_convolutions [PROBLEMS [FIRST]]
//
// draws problems FIRST .. FIRST + PROBLEMS - 1. A problem depends on its number only. A failure names the number, and
// `kernels_random_convolutions 1 NUMBER` repeats it.
#include <gtest/gtest.h>

#include <charconv>

#include "kernels/cpu/bf16/amx_support.h"
#include "kernels/cpu/make.h"
#include "kernels/ops/kernel.h"
#include "kernels/runtime/philox.h"
#include "tests/kernels/cpu/each_isa.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

constexpr double kMostFlops = 2e7;  // per pass: about 20 ms of the naive loops

struct Numbers {
  std::uint64_t count = 300, first = 0;
};
Numbers& numbers() {
  static Numbers chosen;
  return chosen;
}

/// Draws the numbers of a problem in sequence.
class Draw {
 public:
  explicit Draw(std::uint64_t number) : random_(number, Purpose::sample, 0) {}

  int between(int least, int most) {
    return least + static_cast<int>(random_.below(static_cast<std::uint32_t>(most - least + 1), index_++));
  }
  /// About equally often from each order of magnitude.
  int scaled(int most) {
    const double exponent = between(0, 1 << 20) / double(1 << 20);
    return static_cast<int>(std::pow(most + 0.99, exponent));
  }

 private:
  Random random_;
  std::uint64_t index_ = 0;
};

/// Half of the filters are 3x3 with stride 1 or 2, for which several methods exist.
Conv2d::Problem draw_any(Draw& draw) {
  Conv2d::Problem p{.n = draw.scaled(24),
                    .h = draw.scaled(40),
                    .w = draw.scaled(40),
                    .c = draw.scaled(300),
                    .k = draw.scaled(300),
                    .r = 3,
                    .s = 3};
  p.stride = draw.between(1, 2);
  if (draw.between(0, 1) == 0) {
    p.r = draw.between(1, 7);
    p.s = draw.between(0, 2) == 0 ? draw.between(1, 7) : p.r;
    p.stride = draw.between(1, 4);
  }
  p.padding = draw.between(0, 3);
  p.type = draw.between(0, 2) == 0 ? DType::bfloat16 : DType::float32;
  return p;
}

bool usable(const Conv2d::Problem& p) {
  return p.h + 2 * p.padding >= p.r && p.w + 2 * p.padding >= p.s && p.flops() <= kMostFlops;
}

Conv2d::Problem draw_problem(Draw& draw) {
  Conv2d::Problem problem = draw_any(draw);
  while (!usable(problem)) problem = draw_any(draw);
  return problem;
}

void check(std::uint64_t number) {
  Draw draw(number);
  const Conv2d::Problem problem = draw_problem(draw);
  Exec exec({.threads = draw.between(1, 3)});
  support::KernelCheck<Conv2d> samples(exec, problem, number);
  for (std::size_t index = 0; index < Conv2d::pass_names.size(); ++index) {
    const auto pass = static_cast<Conv2d::Pass>(index);
    const Write write = draw.between(0, 1) == 0 ? Write::overwrite : Write::add;
    const auto expected = samples.expected(pass);
    const auto verify = [&](std::string_view who, Conv2d::Kernel& kernel) {
      EXPECT_EQ(support::verify(exec, samples, kernel, pass, expected, write), "")
          << "problem " << number << ": " << problem.describe() << ", " << Conv2d::pass_names[index]
          << (write == Write::add ? ", added" : "") << ", " << who << " on " << exec.threads() << " threads";
    };
    for (const cpu::Isa* isa : cpu::isas_for(problem)) verify(isa->name, *cpu::make(exec, problem, pass, *isa));
    // The rule of kernels/onednn/conv2d.cpp is for AVX512-BF16; AMX is not yet examined.
    if (problem.type == DType::bfloat16 && cpu::amx_absence().empty()) continue;
    for (const auto& implementation : implementations<Conv2d>()) {
      const bool other = implementation.provider != "native" && implementation.provider != "reference";
      if (implementation.device != DeviceKind::cpu || !other || !implementation.supports(problem, pass)) continue;
      verify(implementation.provider, *implementation.make(exec, problem, pass));
    }
  }
}

TEST(RandomConvolutions, are_right) {
  ASSERT_GE(numbers().count, 1U);
  for (std::uint64_t i = 0; i < numbers().count; ++i) check(numbers().first + i);
}

bool parse(const char* text, std::uint64_t& number) {
  const std::string_view digits(text);
  const auto [end, error] = std::from_chars(digits.begin(), digits.end(), number);
  return error == std::errc() && end == digits.end();
}

}  // namespace
}  // namespace apam::kernels

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto& numbers = apam::kernels::numbers();
  if (argc > 3 || (argc > 1 && !apam::kernels::parse(argv[1], numbers.count)) ||
      (argc > 2 && !apam::kernels::parse(argv[2], numbers.first))) {
    std::puts("usage: kernels_random_convolutions [PROBLEMS [FIRST]]");
    return 2;
  }
  return RUN_ALL_TESTS();
}

// NaN, infinities, huge and denormal numbers in every operand of every operation, pass and edge case: every provider, and
// native on every instruction set, must follow the rule in kernels/ops/operation.h.
#include "tests/support/extremes.h"

#include <gtest/gtest.h>

#include "kernels/cpu/make.h"
#include "tests/cases/cases.h"
#include "tests/kernels/cpu/each_isa.h"
#include "tests/support/operation_types.h"

namespace apam::kernels {
namespace {

/// In addition to the edge cases: problems for Winograd convolution, with several images.
template <class Op>
std::vector<cases::Case<Op>> more_cases() {
  return {};
}
template <>
std::vector<cases::Case<Conv2d>> more_cases() {
  return {{"tiles", {.n = 3, .h = 13, .w = 14, .c = 20, .k = 18, .r = 3, .s = 3, .padding = 1}},
          {"small_tiles", {.n = 20, .h = 6, .w = 3, .c = 17, .k = 16, .r = 3, .s = 3, .padding = 1}},
          {"tiles_stride_2", {.n = 5, .h = 12, .w = 13, .c = 17, .k = 16, .r = 3, .s = 3, .stride = 2, .padding = 1}}};
}

/// Calls try_one(kernel's name, run) for every provider that supports the pass, and for native on every instruction set.
template <class Op, class TryOne>
void for_all_kernels(Exec& exec, support::KernelCheck<Op>& samples, const typename Op::Problem& problem, typename Op::Pass pass,
                     const TryOne& try_one) {
  for (const auto& implementation : implementations<Op>()) {
    if (implementation.device != DeviceKind::cpu || !implementation.supports(problem, pass)) continue;
    const auto kernel = implementation.make(exec, problem, pass);
    try_one(std::string(implementation.provider), [&] { samples.run(exec, *kernel, pass); });
  }
  if constexpr (cpu::Offered<Op>) {
    for (const cpu::Isa* isa : cpu::isas_for(problem)) {
      const auto kernel = cpu::make(exec, problem, pass, *isa);
      try_one(isa->name, [&] { samples.run(exec, *kernel, pass); });
    }
  }
}

/// Larger operands are not tested: they show nothing new.
constexpr std::size_t kMostElements = 20'000;

template <class Op>
bool small(support::KernelCheck<Op>& samples) {
  const auto inputs = samples.inputs(typename Op::Pass{});
  return std::all_of(inputs.begin(), inputs.end(), [](const auto& input) { return input.values.size() <= kMostElements; });
}

template <class Op>
void check(const cases::Case<Op>& named) {
  Exec exec;
  support::KernelCheck<Op> samples(exec, named.problem);
  if (!small(samples)) return;
  for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
    const auto pass = static_cast<typename Op::Pass>(index);
    support::check_extremes(
        samples, pass, [&](const auto& try_one) { for_all_kernels(exec, samples, named.problem, pass, try_one); },
        [&](const std::string& who, const std::string& faults) {
          EXPECT_EQ(faults, "") << named.name << ' ' << Op::pass_names[index] << ' ' << named.problem.describe() << ": " << who;
        });
  }
}

template <class Op>
class Extremes : public testing::Test {};
TYPED_TEST_SUITE(Extremes, support::OperationTypes, support::OperationName);

TYPED_TEST(Extremes, follow_the_rule) {
  for (const auto& named : cases::in_each_type(cases::edge_cases<TypeParam>())) check<TypeParam>(named);
  for (const auto& named : cases::in_each_type(more_cases<TypeParam>())) check<TypeParam>(named);
}

}  // namespace
}  // namespace apam::kernels

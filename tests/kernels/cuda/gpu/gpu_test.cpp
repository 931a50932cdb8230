// Every CUDA kernel on the first GPU: edge cases and the nets' problems, each type and pass, against the naive loops in double.
#include <gtest/gtest.h>

#include "kernels/providers.h"
#include "tests/cases/cases.h"
#include "tests/support/operation_types.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

constexpr Device kGpu{DeviceKind::cuda, 0};
constexpr int kBatch = 2;  // images per problem of a net

template <class Op>
class OnGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (gpu_names().empty()) GTEST_SKIP() << "no GPU";
  }

  static void check(const std::string& name, const typename Op::Problem& problem) {
    const auto table = std::get<Table<Op>>(cuda::tables());
    ASSERT_EQ(table.size(), 1U);
    Exec exec({.device = kGpu});
    support::KernelCheck<Op> samples(exec, problem);
    for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
      const auto pass = static_cast<typename Op::Pass>(index);
      const auto kernel = table.front().make(exec, problem, pass);
      const auto expected = samples.expected(pass);
      for (const Write write : {Write::overwrite, Write::add}) {
        EXPECT_EQ(support::verify(exec, samples, *kernel, pass, expected, write), "") << name << ' ' << Op::pass_names[index];
      }
    }
  }
};
TYPED_TEST_SUITE(OnGpu, support::OperationTypes, support::OperationName);

TYPED_TEST(OnGpu, edge_cases_are_right) {
  for (const auto& named : cases::in_each_type(cases::edge_cases<TypeParam>())) this->check(named.name, named.problem);
}

TYPED_TEST(OnGpu, problems_of_the_nets_are_right) {
  for (const auto& named : cases::in_each_type(cases::net_cases<TypeParam>(kBatch))) this->check(named.name, named.problem);
}

}  // namespace
}  // namespace apam::kernels

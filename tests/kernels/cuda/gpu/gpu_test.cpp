// Every CUDA kernel on the first GPU: edge cases and the nets' problems, each type and pass, against the naive loops in double.
// Convolution by TMA has tests of its own, so that a fault there hides no other.
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

  /// Of implementation number `index` of the table. Returns how many passes it supports.
  static int check(const std::string& name, const typename Op::Problem& problem, std::size_t index = 0) {
    const auto table = std::get<Table<Op>>(cuda::tables());
    if (index >= table.size()) {
      ADD_FAILURE() << "no implementation " << index;
      return 0;
    }
    const Implementation<Op>& implementation = table[index];
    Exec exec({.device = kGpu});
    support::KernelCheck<Op> samples(exec, problem);
    int supported = 0;
    for (std::size_t number = 0; number < Op::pass_names.size(); ++number) {
      const auto pass = static_cast<typename Op::Pass>(number);
      if (!implementation.supports(problem, pass)) continue;
      ++supported;
      const auto kernel = implementation.make(exec, problem, pass);
      const auto expected = samples.expected(pass);
      for (const Write write : {Write::overwrite, Write::add}) {
        EXPECT_EQ(support::verify(exec, samples, *kernel, pass, expected, write), "")
            << implementation.provider << ' ' << name << ' ' << Op::pass_names[number];
      }
    }
    return supported;
  }
};
TYPED_TEST_SUITE(OnGpu, support::OperationTypes, support::OperationName);

template <class Op>
constexpr int kPasses = static_cast<int>(Op::pass_names.size());

TYPED_TEST(OnGpu, edge_cases_are_right) {
  for (const auto& named : cases::in_each_type(cases::edge_cases<TypeParam>())) {
    EXPECT_EQ(this->check(named.name, named.problem), kPasses<TypeParam>);
  }
}

TYPED_TEST(OnGpu, problems_of_the_nets_are_right) {
  for (const auto& named : cases::in_each_type(cases::net_cases<TypeParam>(kBatch))) {
    EXPECT_EQ(this->check(named.name, named.problem), kPasses<TypeParam>);
  }
}

class ConvolutionByTma : public OnGpu<Conv2d> {
 protected:
  void SetUp() override {
    OnGpu::SetUp();
    if (IsSkipped()) return;
    Exec exec({.device = kGpu});
    Conv2d::Problem problem{.n = 1, .h = 1, .w = 1, .c = 8, .k = 8, .r = 1, .s = 1, .type = DType::bfloat16};
    try {
      (void)by_tma().make(exec, problem, Conv2d::Pass::forward);
    } catch (const KernelError& refusal) {
      const std::string why = refusal.what();
      if (why.find("needs bfloat16 and a GPU of compute capability 9.0") == why.npos) throw;
      GTEST_SKIP() << why;
    }
  }
  static const Implementation<Conv2d>& by_tma() { return std::get<Table<Conv2d>>(cuda::tables())[kByTma]; }
  /// Returns how many passes of all problems it supports.
  static int check_all(const std::vector<cases::Case<Conv2d>>& all) {
    int supported = 0;
    for (const auto& named : cases::in_each_type(all)) supported += check(named.name, named.problem, kByTma);
    return supported;
  }

 private:
  static constexpr std::size_t kByTma = 1;  // in the table
};

TEST_F(ConvolutionByTma, edge_cases_are_right) { EXPECT_GT(check_all(cases::edge_cases<Conv2d>()), 0); }

TEST_F(ConvolutionByTma, problems_of_the_nets_are_right) { EXPECT_GT(check_all(cases::net_cases<Conv2d>(kBatch)), 30); }

}  // namespace
}  // namespace apam::kernels

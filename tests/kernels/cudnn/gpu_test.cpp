// cuDNN's kernels on the first GPU: edge cases and the nets' problems that it supports, each type and pass, against the naive
// loops in double; extreme operands; and every plan that `auto` may take. Skipped without a GPU or without cuDNN.
#include <gtest/gtest.h>

#include "kernels/cudnn/call.h"
#include "kernels/cudnn/library.h"
#include "kernels/providers.h"
#include "tests/cases/cases.h"
#include "tests/support/extremes.h"
#include "tests/support/operation_types.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

constexpr Device kGpu{DeviceKind::cuda, 0};
constexpr int kBatch = 2;                      // images per problem of a net
constexpr std::size_t kMostElements = 20'000;  // of operands with extreme numbers

template <class Op>
class CudnnOnGpu : public testing::Test {
 protected:
  void SetUp() override {
    if (gpu_names().empty()) GTEST_SKIP() << "no GPU";
    if (!cudnn::absence().empty()) GTEST_SKIP() << cudnn::absence();
  }

  static const Implementation<Op>& provider() { return std::get<Table<Op>>(cudnn::tables()).front(); }

  /// Named, so that no plan is timed.
  static Exec exec() { return Exec({.device = kGpu, .kernels = KernelSelection::parse("*=cudnn")}); }

  /// Calls visit(exec, samples, pass) for each pass that cuDNN supports.
  template <class Visit>
  static void for_passes(const typename Op::Problem& problem, const Visit& visit) {
    Exec on_gpu = exec();
    support::KernelCheck<Op> samples(on_gpu, problem);
    for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
      const auto pass = static_cast<typename Op::Pass>(index);
      if (provider().supports(problem, pass)) visit(on_gpu, samples, pass);
    }
  }

  static void check(const std::string& name, const typename Op::Problem& problem) {
    for_passes(problem, [&](Exec& on_gpu, support::KernelCheck<Op>& samples, typename Op::Pass pass) {
      const auto kernel = provider().make(on_gpu, problem, pass);
      const auto expected = samples.expected(pass);
      for (const Write write : {Write::overwrite, Write::add}) {
        EXPECT_EQ(support::verify(on_gpu, samples, *kernel, pass, expected, write), "")
            << name << ' ' << Op::pass_names[static_cast<std::size_t>(pass)];
      }
    });
  }
};
using Offered = testing::Types<Conv2d, BatchNorm>;
TYPED_TEST_SUITE(CudnnOnGpu, Offered, support::OperationName);

TYPED_TEST(CudnnOnGpu, edge_cases_are_right) {
  for (const auto& named : cases::in_each_type(cases::edge_cases<TypeParam>())) this->check(named.name, named.problem);
}

TYPED_TEST(CudnnOnGpu, problems_of_the_nets_are_right) {
  for (const auto& named : cases::in_each_type(cases::net_cases<TypeParam>(kBatch))) this->check(named.name, named.problem);
}

TYPED_TEST(CudnnOnGpu, extreme_operands_follow_the_rule) {
  for (const auto& named : cases::in_each_type(cases::edge_cases<TypeParam>())) {
    this->for_passes(named.problem, [&](Exec& exec, support::KernelCheck<TypeParam>& samples, typename TypeParam::Pass pass) {
      const auto inputs = samples.inputs(pass);
      if (std::any_of(inputs.begin(), inputs.end(), [](const auto& in) { return in.values.size() > kMostElements; })) return;
      const auto kernel = this->provider().make(exec, named.problem, pass);
      support::check_extremes(
          samples, pass,
          [&](const auto& try_one) {
            try_one(std::string("cudnn"), [&] {
              samples.run(exec, *kernel, pass);
              exec.synchronize();
            });
          },
          [&](const std::string& who, const std::string& faults) { EXPECT_EQ(faults, "") << named.name << ": " << who; });
    });
  }
}

/// Every candidate of the first step, where the other steps take their first.
TYPED_TEST(CudnnOnGpu, every_plan_is_right) {
  for (const auto& named : cases::in_each_type(cases::net_cases<TypeParam>(kBatch))) {
    this->for_passes(named.problem, [&](Exec& exec, support::KernelCheck<TypeParam>& samples, typename TypeParam::Pass pass) {
      const auto expected = samples.expected(pass);
      const auto name = TypeParam::pass_names[static_cast<std::size_t>(pass)];
      const std::string key = plan_key(
          "cudnn", DecisionKey{std::string(TypeParam::name), named.problem.describe(), std::string(name), kGpu, 1}.to_text());
      const auto all_steps = cudnn::steps(named.problem, pass);
      const auto& device = exec.cache<cudnn::Session>().properties(exec);
      std::string others;
      for (std::size_t i = 1; i < all_steps.size(); ++i) {
        others += " | " + cudnn::candidates(*all_steps[i].graph, device, all_steps[i].rules).front().engine.to_text();
      }
      for (const auto& candidate : cudnn::candidates(*all_steps[0].graph, device, all_steps[0].rules)) {
        exec.plans()[key] = fmt::format("{} | {}{}", cudnn::library().version, candidate.engine.to_text(), others);
        const auto kernel = this->provider().make(exec, named.problem, pass);
        EXPECT_EQ(support::verify(exec, samples, *kernel, pass, expected), "") << named.name << ' ' << exec.plans()[key];
      }
    });
  }
}

/// Two runs, and a run on a second Exec that follows the recorded plan.
TYPED_TEST(CudnnOnGpu, runs_are_bit_equal) {
  for (const auto& named : cases::in_each_type(cases::net_cases<TypeParam>(kBatch))) {
    this->for_passes(named.problem, [&](Exec& exec, support::KernelCheck<TypeParam>& samples, typename TypeParam::Pass pass) {
      const auto kernel = this->provider().make(exec, named.problem, pass);
      Exec second = this->exec();
      second.plans() = exec.plans();
      const auto again = this->provider().make(second, named.problem, pass);
      EXPECT_EQ(second.plans(), exec.plans());
      const auto results = [&](Exec& on, auto& with) {
        samples.prepare(pass);
        samples.run(on, with, pass);
        on.synchronize();
        std::vector<std::vector<float>> values;
        for (const auto& output : samples.outputs(pass)) values.push_back(support::on_host(output.values));
        return values;
      };
      const auto first = results(exec, *kernel);
      EXPECT_EQ(results(exec, *kernel), first) << named.name;
      EXPECT_EQ(results(second, *again), first) << named.name;
    });
  }
}

/// `auto` times plans; what it takes is recorded with the decision, and another Exec follows it.
TEST(CudnnDecisions, carry_the_plan) {
  if (gpu_names().empty()) GTEST_SKIP() << "no GPU";
  if (!cudnn::absence().empty()) GTEST_SKIP() << cudnn::absence();
  const Conv2d::Problem problem{
      .n = 80, .h = 16, .w = 16, .c = 128, .k = 128, .r = 3, .s = 3, .padding = 1, .type = DType::bfloat16};
  Exec exec({.device = kGpu});
  kernel<Conv2d>(exec, problem, Conv2d::Pass::forward);
  const auto& decisions = exec.decisions().all();
  for (const auto& [key, decision] : decisions) EXPECT_EQ(decision.plan.empty(), decision.provider != "cudnn") << key;
  Exec second({.device = kGpu});
  second.adopt(KernelDecisions::from_text(exec.decisions().to_text()));
  kernel<Conv2d>(second, problem, Conv2d::Pass::forward);
  EXPECT_EQ(second.decisions(), exec.decisions());
}

}  // namespace
}  // namespace apam::kernels

// cuDNN's kernels on the first GPU: edge cases and the nets' problems that it supports, each type and pass, against the naive
// loops in double; extreme operands; and plans that `auto` may take. Skipped without a GPU or without cuDNN. Each suite has a
// share of the problems, so that processes can divide them (GTEST_TOTAL_SHARDS).
#include <gtest/gtest.h>

#include "kernels/cudnn/call.h"
#include "kernels/cudnn/library.h"
#include "kernels/cudnn/remembered.h"
#include "kernels/providers.h"
#include "tests/cases/cases.h"
#include "tests/support/extremes.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

constexpr Device kGpu{DeviceKind::cuda, 0};
constexpr int kBatch = 2;                      // images per problem of a net
constexpr std::size_t kMostElements = 20'000;  // of operands with extreme numbers
constexpr std::size_t kMostPlans = 3;          // per problem and pass
constexpr std::size_t kShares = 8;             // of the problems of an operation

/// Every kShares-th problem of an operation, from `share`.
template <class Operation, std::size_t share>
struct Share {
  using Op = Operation;
  static std::string name() { return fmt::format("{}_{}", Op::name, share); }

  static std::vector<cases::Case<Op>> of(std::vector<cases::Case<Op>> all) {
    const auto typed = cases::in_each_type(std::move(all));
    std::vector<cases::Case<Op>> mine;
    for (std::size_t i = share; i < typed.size(); i += kShares) mine.push_back(typed[i]);
    return mine;
  }
  static auto edge_cases() { return of(cases::edge_cases<Op>()); }
  static auto net_cases() { return of(cases::net_cases<Op>(kBatch)); }
  /// Plans of batch norm take half a second each: one problem in each type.
  static auto few_net_cases() {
    auto all = net_cases();
    if constexpr (std::is_same_v<Op, BatchNorm>) {
      if (all.size() > 2) all.erase(all.begin() + 1, all.end() - 1);
    }
    return all;
  }
};

template <std::size_t... shares>
testing::Types<Share<Conv2d, shares>..., Share<BatchNorm, shares>...> all_shares(std::index_sequence<shares...>);
using Shares = decltype(all_shares(std::make_index_sequence<kShares>()));

struct ShareName {
  template <class Share>
  static std::string GetName(int) {
    return Share::name();
  }
};

bool skipped() { return gpu_names().empty() || !cudnn::absence().empty(); }

template <class Share>
class CudnnOnGpu : public testing::Test {
 protected:
  using Operation = typename Share::Op;

  void SetUp() override {
    if (skipped()) GTEST_SKIP() << (gpu_names().empty() ? "no GPU" : cudnn::absence());
  }

  static const Implementation<Operation>& provider() { return std::get<Table<Operation>>(cudnn::tables()).front(); }

  /// Named, so that no plan is timed.
  static Exec exec() { return Exec({.device = kGpu, .kernels = KernelSelection::parse("*=cudnn")}); }

  /// Calls visit(exec, samples, pass) for each pass that cuDNN supports.
  template <class Visit>
  static void for_passes(const typename Operation::Problem& problem, const Visit& visit) {
    Exec on_gpu = exec();
    support::KernelCheck<Operation> samples(on_gpu, problem);
    for (std::size_t index = 0; index < Operation::pass_names.size(); ++index) {
      const auto pass = static_cast<typename Operation::Pass>(index);
      if (provider().supports(problem, pass)) visit(on_gpu, samples, pass);
    }
  }

  static void check(const std::string& name, const typename Operation::Problem& problem) {
    for_passes(problem, [&](Exec& on_gpu, support::KernelCheck<Operation>& samples, typename Operation::Pass pass) {
      const auto kernel = provider().make(on_gpu, problem, pass);
      const auto expected = samples.expected(pass);
      for (const Write write : {Write::overwrite, Write::add}) {
        EXPECT_EQ(support::verify(on_gpu, samples, *kernel, pass, expected, write), "")
            << name << ' ' << Operation::pass_names[static_cast<std::size_t>(pass)] << (write == Write::add ? ", add" : "");
      }
    });
  }
};
TYPED_TEST_SUITE(CudnnOnGpu, Shares, ShareName);

TYPED_TEST(CudnnOnGpu, edge_cases_are_right) {
  for (const auto& named : TypeParam::edge_cases()) this->check(named.name, named.problem);
}

TYPED_TEST(CudnnOnGpu, problems_of_the_nets_are_right) {
  for (const auto& named : TypeParam::net_cases()) this->check(named.name, named.problem);
}

TYPED_TEST(CudnnOnGpu, extreme_operands_follow_the_rule) {
  using Op = typename TypeParam::Op;
  for (const auto& named : TypeParam::edge_cases()) {
    this->for_passes(named.problem, [&](Exec& exec, support::KernelCheck<Op>& samples, typename Op::Pass pass) {
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

/// The first candidates of the first step that pass its trial, where the other steps take theirs.
TYPED_TEST(CudnnOnGpu, plans_are_right) {
  using Op = typename TypeParam::Op;
  for (const auto& named : TypeParam::few_net_cases()) {
    this->for_passes(named.problem, [&](Exec& exec, support::KernelCheck<Op>& samples, typename Op::Pass pass) {
      const auto expected = samples.expected(pass);
      const auto name = std::string(Op::pass_names[static_cast<std::size_t>(pass)]);
      const std::string key =
          plan_key("cudnn", DecisionKey{std::string(Op::name), named.problem.describe(), name, kGpu, 1}.to_text());
      const auto first = this->provider().make(exec, named.problem, pass);
      const std::string recorded = exec.plans()[key];
      const auto rest = recorded.find(" | ", recorded.find(" | ") + 1);  // the engines of the other steps
      const auto step = cudnn::steps(named.problem, pass).front();
      std::size_t tried = 0;
      for (const auto& candidate : cudnn::first_candidates(*step.graph, kGpu.index, step.rules)) {
        if (tried == kMostPlans) break;
        auto plan = cudnn::choose(exec, step, false, &candidate.engine);
        if (!plan || plan->engine() != candidate.engine) continue;
        cudnn::give_back(*std::move(plan), kGpu.index);  // for make(): some take half a second
        ++tried;
        exec.plans()[key] = fmt::format("{} | {}{}", cudnn::library().version, candidate.engine.to_text(),
                                        rest == std::string::npos ? "" : recorded.substr(rest));
        const auto kernel = this->provider().make(exec, named.problem, pass);
        EXPECT_EQ(support::verify(exec, samples, *kernel, pass, expected), "") << named.name << ' ' << exec.plans()[key];
      }
      EXPECT_GT(tried, 0U) << named.name << ' ' << name;
    });
  }
}

/// Two runs, and a run on a second Exec that follows the recorded plan.
TYPED_TEST(CudnnOnGpu, runs_are_bit_equal) {
  using Op = typename TypeParam::Op;
  for (const auto& named : TypeParam::few_net_cases()) {
    this->for_passes(named.problem, [&](Exec& exec, support::KernelCheck<Op>& samples, typename Op::Pass pass) {
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

/// `auto` times plans; what it takes is recorded with the decision, and another Exec follows it. Batch norm is not compared.
TEST(CudnnDecisions, carry_the_plan) {
  if (skipped()) GTEST_SKIP() << (gpu_names().empty() ? "no GPU" : cudnn::absence());
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
  kernel<BatchNorm>(exec, {.rows = 2048, .c = 64, .type = DType::bfloat16}, BatchNorm::Pass::forward_training);
  EXPECT_EQ(exec.report().back().provider, "native");
}

}  // namespace
}  // namespace apam::kernels

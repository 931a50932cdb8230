// Every provider x every case x every pass against the naive loops in double. Tests are named
//   OPERATION.CASE/PASS/PROVIDER        e.g. conv2d.resnet18/layer2.0.conv1/backward_weight/onednn
// so that --gtest_filter=*onednn* picks a provider. Outputs start as NaN (nothing may be left unwritten), stand between
// fences, and are written both ways: over NaN, and added to old values.
#include <gtest/gtest.h>

#include "kernels/ops/trial.h"
#include "tests/cases/cases.h"
#include "tests/support/tolerance.h"

namespace apam::kernels {
namespace {

constexpr int kBatch = 2;  // of the nets' problems: their channels and images, few of them
constexpr int kThreads = 2;

std::vector<float> host_values(In values) {
  std::vector<float> host(values.size());
  copy(values, Out(host.data(), host.size()));
  return host;
}

/// One case, drawn once: its tests run one after the other for all passes and providers.
template <class Op>
class Subject {
 public:
  explicit Subject(const typename Op::Problem& problem)
      : exec_({.threads = kThreads}), trial_(exec_, problem), problem_(problem), expected_(Op::pass_names.size()) {}

  /// Runs one pass and compares every element of every output.
  void check(const Implementation<Op>& implementation, typename Op::Pass pass, Write write) {
    auto& expected = expected_[static_cast<std::size_t>(pass)];
    if (expected.empty()) expected = trial_.expected(pass);
    const auto kernel = implementation.make(exec_, problem_);
    trial_.prepare(pass, write);
    std::vector<std::vector<float>> before;
    for (const auto& output : trial_.outputs(pass)) before.push_back(host_values(output.values));
    trial_.run(exec_, *kernel, pass, write);
    exec_.synchronize();
    const auto outputs = trial_.outputs(pass);
    ASSERT_EQ(outputs.size(), expected.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      compare(outputs[i], expected[i], write == Write::add ? before[i] : std::vector<float>());
    }
    EXPECT_TRUE(trial_.fences_intact()) << "something was written outside the operands";
  }

 private:
  /// Reports how many elements are off, and the worst.
  void compare(const TrialOutput& output, const std::vector<double>& expected, const std::vector<float>& before) {
    const auto actual = host_values(output.values);
    ASSERT_EQ(actual.size(), expected.size()) << output.name;
    const support::Tolerance tolerance(output.terms, std::max(output.magnitude, support::root_mean_square(expected)));
    std::size_t wrong = 0, worst = 0;
    double worst_ratio = 1;
    for (std::size_t e = 0; e < actual.size(); ++e) {
      const double old = before.empty() ? 0 : before[e];
      const double target = old + expected[e];
      // Adding to what is there rounds once more.
      const double allowed = tolerance.of(expected[e]) + (before.empty() ? 0 : support::Tolerance::kEps * std::abs(target));
      const double off = std::abs(actual[e] - target);
      if (off <= allowed) continue;
      ++wrong;
      const double ratio = allowed > 0 && !std::isnan(off) ? off / allowed : std::numeric_limits<double>::max();
      if (ratio > worst_ratio) {
        worst_ratio = ratio;
        worst = e;
      }
    }
    const double target = expected[worst] + (before.empty() ? 0 : before[worst]);
    EXPECT_EQ(wrong, 0U) << output.name << ": " << wrong << " of " << actual.size() << " elements are wrong; the worst, ["
                         << worst << "], is " << actual[worst] << ", expected " << target << ", " << worst_ratio
                         << " times the tolerance";
  }

  Exec exec_;
  Trial<Op> trial_;
  typename Op::Problem problem_;
  std::vector<std::vector<std::vector<double>>> expected_;  // [pass][output][element]
};

/// The subject of the running test; kept from the one before when that had the same problem.
template <class Op>
Subject<Op>& subject(const typename Op::Problem& problem) {
  static std::unique_ptr<Subject<Op>> current;
  static typename Op::Problem current_problem;
  if (!current || current_problem != problem) {
    current = std::make_unique<Subject<Op>>(problem);
    current_problem = problem;
  }
  return *current;
}

template <class Op>
class ProviderTest : public ::testing::Test {
 public:
  ProviderTest(const Implementation<Op>& implementation, const typename Op::Problem& problem, typename Op::Pass pass)
      : implementation_(implementation), problem_(problem), pass_(pass) {}

  void TestBody() override {
    subject<Op>(problem_).check(implementation_, pass_, Write::overwrite);
    if (!Trial<Op>::accumulates(pass_) || HasFailure()) return;
    SCOPED_TRACE("adding to old values");
    subject<Op>(problem_).check(implementation_, pass_, Write::add);
  }

 private:
  const Implementation<Op>& implementation_;
  typename Op::Problem problem_;
  typename Op::Pass pass_;
};

template <class Op>
void register_tests() {
  auto cases = cases::awkward_cases<Op>();
  for (auto& net_case : cases::net_cases<Op>(kBatch)) cases.push_back(std::move(net_case));
  for (const auto& [name, problem] : cases) {
    for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
      const auto pass = static_cast<typename Op::Pass>(index);
      for (const auto& implementation : implementations<Op>()) {
        if (implementation.device != DeviceKind::cpu || !implementation.supports(problem, pass)) continue;
        const auto test = fmt::format("{}/{}/{}", name, Op::pass_names[index], implementation.provider);
        ::testing::RegisterTest(std::string(Op::name).c_str(), test.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                                [&implementation, problem = problem, pass]() -> ::testing::Test* {
                                  return new ProviderTest<Op>(implementation, problem, pass);
                                });
      }
    }
  }
}

}  // namespace
}  // namespace apam::kernels

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  apam::kernels::for_each_operation([]<class Op>() { apam::kernels::register_tests<Op>(); });
  const int result = RUN_ALL_TESTS();
  const auto& run = *::testing::UnitTest::GetInstance();
  return ::testing::GTEST_FLAG(list_tests) || run.test_to_run_count() > 0 ? result : 1;  // a filter that finds nothing fails
}

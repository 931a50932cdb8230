// Every provider x every case x every pass against the naive loops in double.
//
// How it is organised
//   Tests are registered at start-up, for what the tables of kernels and the lists of cases contain, under the names
//     OPERATION.CASE/PASS/PROVIDER        conv2d.resnet18/layer2.0.conv1/backward_weight/onednn
//   so --gtest_filter=*onednn* selects a provider, and conv2d.edge/* the edge cases of an operation. CTest has one entry per
//   operation. Arguments limit what is registered: an operation, and `few`: only edge cases, with operands from one seed.
//     kernels_providers [OPERATION [few]]
//   A test runs support::verify (tests/support/verify.h) on a support::KernelCheck (tests/support/kernel_check.h): sample
//   operands between fences, and the expected values. Outputs start as NaN, so that an unwritten element is noticed; passes
//   that accumulate run twice, over NaN and added to old values. Edge cases run on one and on three threads, with operands from
//   several seeds; cases of the nets on two threads.
//
// To add an operation
//   Add it to AllOperations (kernels/ops/all.h) and to APAM_OPERATIONS (kernels/CMakeLists.txt), and define in
//   tests/cases/NAME.cpp its edge_cases() and the Rules of its KernelCheck. Nothing changes here: its tests are registered for
//   every provider that supports a case. CONTRIBUTING.md has all steps.
//
// To add a provider
//   List it in its table (kernels/providers.h). Every case that its supports() admits is tested. Run
//     build/tests/kernels/kernels_providers --gtest_filter=*/NAME
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <vector>

#include "tests/cases/cases.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

constexpr int kBatch = 2;  // images per net case

/// A problem, the seeds of its operands, and the numbers of threads to run it on.
template <class Op>
struct Subject {
  typename Op::Problem problem;
  std::vector<std::uint64_t> seeds;
  std::vector<int> threads;
};

/// One problem and seed. Its tests run in sequence, for all passes and providers, and share operands and expected values.
template <class Op>
class Bench {
 public:
  Bench(const typename Op::Problem& problem, std::uint64_t seed)
      : problem_(problem), seed_(seed), samples_(exec_, problem, seed), expected_(Op::pass_names.size()) {}

  const typename Op::Problem& problem() const { return problem_; }
  std::uint64_t seed() const { return seed_; }

  void check(const Implementation<Op>& implementation, typename Op::Pass pass, int threads) {
    auto& expected = expected_[static_cast<std::size_t>(pass)];
    if (expected.empty()) expected = samples_.expected(pass);
    Exec exec({.threads = threads});
    const auto kernel = implementation.make(exec, problem_, pass);
    EXPECT_EQ(support::verify(exec, samples_, *kernel, pass, expected), "") << "on " << threads << " threads, seed " << seed_;
    if (!support::KernelCheck<Op>::accumulates(pass)) return;
    EXPECT_EQ(support::verify(exec, samples_, *kernel, pass, expected, Write::add), "")
        << "adding to old values, on " << threads << " threads, seed " << seed_;
  }

 private:
  typename Op::Problem problem_;
  std::uint64_t seed_;
  Exec exec_;
  support::KernelCheck<Op> samples_;
  std::vector<std::vector<std::vector<double>>> expected_;  // [pass][output][element]
};

/// The benches of the running test, one per seed; kept from the previous test if it had the same problem. main() clears them,
/// because their memory must be freed before static objects are destroyed.
template <class Op>
std::vector<std::unique_ptr<Bench<Op>>>& current_benches() {
  static std::vector<std::unique_ptr<Bench<Op>>> current;
  return current;
}

template <class Op>
Bench<Op>& bench(const typename Op::Problem& problem, std::uint64_t seed) {
  auto& current = current_benches<Op>();
  if (!current.empty() && current.front()->problem() != problem) current.clear();
  const auto found = std::find_if(current.begin(), current.end(), [&](const auto& one) { return one->seed() == seed; });
  if (found != current.end()) return **found;
  return *current.emplace_back(std::make_unique<Bench<Op>>(problem, seed));
}

template <class Op>
class ProviderTest : public testing::Test {
 public:
  ProviderTest(const Implementation<Op>& implementation, typename Op::Pass pass, Subject<Op> subject)
      : implementation_(implementation), pass_(pass), subject_(std::move(subject)) {}

  void TestBody() override {
    for (const auto seed : subject_.seeds) {
      for (const int threads : subject_.threads) bench<Op>(subject_.problem, seed).check(implementation_, pass_, threads);
    }
  }

 private:
  const Implementation<Op>& implementation_;
  typename Op::Pass pass_;
  Subject<Op> subject_;
};

template <class Op>
void register_tests(const std::string& name, const Subject<Op>& subject) {
  for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
    const auto pass = static_cast<typename Op::Pass>(index);
    for (const auto& implementation : implementations<Op>()) {
      if (implementation.device != DeviceKind::cpu || !implementation.supports(subject.problem, pass)) continue;
      const auto test = fmt::format("{}/{}/{}", name, Op::pass_names[index], implementation.provider);
      testing::RegisterTest(
          std::string(Op::name).c_str(), test.c_str(), nullptr, nullptr, __FILE__, __LINE__,
          [&implementation, pass, subject]() -> testing::Test* { return new ProviderTest<Op>(implementation, pass, subject); });
    }
  }
}

template <class Op>
void register_tests(bool few) {
  const std::vector<std::uint64_t> seeds = few ? std::vector<std::uint64_t>{0} : std::vector<std::uint64_t>{0, 1, 2};
  for (const auto& c : cases::in_each_type(cases::edge_cases<Op>())) register_tests<Op>(c.name, {c.problem, seeds, {1, 3}});
  if (few) return;  // the cases of the nets take a step of every net
  for (const auto& c : cases::in_each_type(cases::net_cases<Op>(kBatch))) register_tests<Op>(c.name, {c.problem, {0}, {2}});
}

}  // namespace
}  // namespace apam::kernels

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  const bool few = arguments.size() == 2 && arguments[1] == "few";
  if (arguments.size() > 1 && !few) {
    std::puts("usage: kernels_providers [OPERATION [few]]");
    return 2;
  }
  apam::kernels::for_each_operation([&]<class Op>() {
    if (arguments.empty() || arguments[0] == Op::name) apam::kernels::register_tests<Op>(few);
  });
  const int result = RUN_ALL_TESTS();
  apam::kernels::for_each_operation([]<class Op>() { apam::kernels::current_benches<Op>().clear(); });
  const bool found = testing::UnitTest::GetInstance()->test_to_run_count() > 0;
  return testing::GTEST_FLAG(list_tests) || found ? result : 1;  // a filter or an operation without tests is a failure
}

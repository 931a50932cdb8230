// Every provider x every case x every pass against the naive loops in double. Tests are named
//   OPERATION.CASE/PASS/PROVIDER        e.g. conv2d.resnet18/layer2.0.conv1/backward_weight/onednn
// so that --gtest_filter=*onednn* picks a provider. Outputs start as NaN (nothing may be left unwritten), stand between
// fences, and are written both ways: over NaN, and added to old values. Awkward cases run on one thread and on three, with
// operands drawn from several seeds; the nets' on two.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/cases/cases.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

constexpr int kBatch = 2;  // of the nets' problems: their channels and images, few of them

/// A problem, the seeds that its operands are drawn from, and the numbers of threads that it is run on.
template <class Op>
struct Subject {
  typename Op::Problem problem;
  std::vector<std::uint64_t> seeds;
  std::vector<int> threads;
};

/// One problem and seed, drawn once: its tests run one after the other for all passes and providers, and share what they
/// expect.
template <class Op>
class Bench {
 public:
  Bench(const typename Op::Problem& problem, std::uint64_t seed)
      : problem_(problem), seed_(seed), trial_(exec_, problem, seed), expected_(Op::pass_names.size()) {}

  const typename Op::Problem& problem() const { return problem_; }
  std::uint64_t seed() const { return seed_; }

  void check(const Implementation<Op>& implementation, typename Op::Pass pass, int threads) {
    auto& expected = expected_[static_cast<std::size_t>(pass)];
    if (expected.empty()) expected = trial_.expected(pass);
    Exec exec({.threads = threads});
    const auto kernel = implementation.make(exec, problem_, pass);
    EXPECT_EQ(support::verify(exec, trial_, *kernel, pass, expected), "") << "on " << threads << " threads, seed " << seed_;
    if (!Trial<Op>::accumulates(pass)) return;
    EXPECT_EQ(support::verify(exec, trial_, *kernel, pass, expected, Write::add), "")
        << "adding to old values, on " << threads << " threads, seed " << seed_;
  }

 private:
  typename Op::Problem problem_;
  std::uint64_t seed_;
  Exec exec_;
  Trial<Op> trial_;
  std::vector<std::vector<std::vector<double>>> expected_;  // [pass][output][element]
};

/// The benches of the running test, one a seed; kept from the one before when that had the same problem. main() clears them,
/// since the memory that they hold must go before the process's end takes the allocator away.
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
void register_tests() {
  for (const auto& c : cases::awkward_cases<Op>()) register_tests<Op>(c.name, {c.problem, {0, 1, 2}, {1, 3}});
  for (const auto& c : cases::net_cases<Op>(kBatch)) register_tests<Op>(c.name, {c.problem, {0}, {2}});
}

}  // namespace
}  // namespace apam::kernels

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  apam::kernels::for_each_operation([]<class Op>() { apam::kernels::register_tests<Op>(); });
  const int result = RUN_ALL_TESTS();
  apam::kernels::for_each_operation([]<class Op>() { apam::kernels::current_benches<Op>().clear(); });
  const bool found = testing::UnitTest::GetInstance()->test_to_run_count() > 0;
  return testing::GTEST_FLAG(list_tests) || found ? result : 1;  // a filter that finds nothing fails
}

// Providers that `auto` must live with: one that supports a problem and refuses when its kernel is made, and one that is only
// used if --kernels names it. This program has a table of its own, which replaces kernels/implementations.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "kernels/ops/kernel.h"
#include "kernels/providers.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/throws.h"

namespace apam::kernels {
namespace {

/// Calls of the refusing provider.
int& refusals() {
  static int count = 0;
  return count;
}

/// A provider whose kernels are those of `reference`, unless it is "refusing".
template <class Op>
Implementation<Op> named(std::string_view provider) {
  Implementation<Op> implementation = std::get<Table<Op>>(reference::tables()).front();
  implementation.provider = provider;
  implementation.only_named = provider == "slow to make";
  if (provider == "refusing") {
    implementation.make = [](Exec&, const typename Op::Problem&, typename Op::Pass) -> std::unique_ptr<typename Op::Kernel> {
      ++refusals();
      fail<KernelError>("{}: the library has no plan", Op::name);
    };
  }
  return implementation;
}

template <class Op>
Table<Op> table() {
  static const std::array<Implementation<Op>, 3> all{named<Op>("refusing"), named<Op>("slow to make"), named<Op>("plain")};
  return all;
}

constexpr Relu::Problem kProblem{.size = 100};

std::vector<ProviderTime> times(const Exec& exec) { return exec.report().back().measured.times; }

TEST(UnusualProviders, auto_leaves_out_what_refuses_and_what_must_be_named) {
  Exec exec;
  kernel<Relu>(exec, kProblem, Relu::Pass::forward);
  EXPECT_EQ(exec.report().back().provider, "plain");
  ASSERT_EQ(times(exec).size(), 2U);
  EXPECT_EQ(times(exec)[0].provider, "refusing");
  EXPECT_EQ(times(exec)[0].milliseconds, kRefusedMilliseconds);
  EXPECT_LT(times(exec)[1].milliseconds, 1000);
}

TEST(UnusualProviders, a_refusal_is_remembered) {
  const support::TemporaryFolder cache;
  refusals() = 0;
  for (int process = 0; process < 2; ++process) {
    Exec exec({.tuning_cache = cache.path()});
    kernel<Relu>(exec, kProblem, Relu::Pass::forward);
    EXPECT_EQ(exec.report().back().provider, "plain");
  }
  Exec adopting;
  Exec first({.tuning_cache = cache.path()});
  kernel<Relu>(first, kProblem, Relu::Pass::forward);
  adopting.adopt(KernelDecisions::from_text(first.decisions().to_text()));
  kernel<Relu>(adopting, kProblem, Relu::Pass::forward);
  EXPECT_EQ(adopting.decisions(), first.decisions());
  EXPECT_EQ(refusals(), 1) << "the first Exec asks, the others know";
}

TEST(UnusualProviders, are_used_if_they_are_named) {
  Exec slow({.kernels = KernelSelection::parse("*=slow to make")});
  kernel<Relu>(slow, kProblem, Relu::Pass::forward);
  EXPECT_EQ(slow.report().back().provider, "slow to make");
  Exec refusing({.kernels = KernelSelection::parse("*=refusing")});
  EXPECT_TRUE(support::throws<KernelError>({"no plan"}, [&] { kernel<Relu>(refusing, kProblem, Relu::Pass::forward); }));
}

}  // namespace

const Tables& all_implementations() {
  static const Tables tables = make_tables([]<class Op>() { return table<Op>(); });
  return tables;
}

}  // namespace apam::kernels

// A kernel is made once per problem and serves every layer and step with that problem, so a call must not affect the next one.
// And kernels of two Execs run at the same time, although a library may share its primitives between them.
#include <gtest/gtest.h>

#include <thread>

#include "tests/cases/cases.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

constexpr std::size_t kEvery = 5;  // th case; shapes have four variants

template <class Op>
std::vector<typename Op::Pass> passes_of(const Implementation<Op>& implementation, const typename Op::Problem& problem) {
  std::vector<typename Op::Pass> passes;
  for (std::size_t index = 0; index < Op::pass_names.size(); ++index) {
    const auto pass = static_cast<typename Op::Pass>(index);
    if (implementation.supports(problem, pass)) passes.push_back(pass);
  }
  return passes;
}

template <class Op>
std::string name(const Implementation<Op>& implementation, const typename Op::Problem& problem, typename Op::Pass pass) {
  return fmt::format("{}.{} of {} by {}", Op::name, Op::pass_names[static_cast<std::size_t>(pass)], problem.describe(),
                     implementation.provider);
}

/// Calls check(implementation, problem, pass, expected) for every provider on the CPU and every pass of some edge cases;
/// `expected` are the expected values for the sample operands of that case.
template <class Check>
void for_all_kernels(Check check) {
  for_each_operation([&]<class Op>() {
    Exec exec;
    const auto cases = cases::edge_cases<Op>();
    for (std::size_t index = 0; index < cases.size(); index += kEvery) {
      const auto& problem = cases[index].problem;
      support::KernelCheck<Op> samples(exec, problem);
      std::vector<std::vector<std::vector<double>>> expected(Op::pass_names.size());  // [pass][output][element]
      for (const auto& implementation : implementations<Op>()) {
        if (implementation.device != DeviceKind::cpu) continue;
        for (const auto pass : passes_of(implementation, problem)) {
          auto& of_pass = expected[static_cast<std::size_t>(pass)];
          if (of_pass.empty()) of_pass = samples.expected(pass);
          check.template operator()<Op>(implementation, problem, pass, of_pass);
        }
      }
    }
  });
}

// Two layers with one problem: each pass of the first runs right after every pass of the second, which adds if it can.
TEST(Sharing, a_call_does_not_affect_the_next_one) {
  for_all_kernels([]<class Op>(const Implementation<Op>& implementation, const typename Op::Problem& problem,
                               typename Op::Pass pass, const auto& expected) {
    Exec exec({.threads = 2});
    support::KernelCheck<Op> first(exec, problem), second(exec, problem, 1);
    const auto kernel = implementation.make(exec, problem, pass);
    for (const auto between : passes_of(implementation, problem)) {
      const auto other = between == pass ? nullptr : implementation.make(exec, problem, between);
      const Write write = support::KernelCheck<Op>::accumulates(between) ? Write::add : Write::overwrite;
      second.prepare(between, write);
      second.run(exec, other ? *other : *kernel, between, write);
      EXPECT_EQ(support::verify(exec, first, *kernel, pass, expected), "") << name(implementation, problem, pass);
    }
  });
}

// Two threads, each with its own Exec, operands and kernel.
TEST(Sharing, kernels_of_two_execs_run_at_the_same_time) {
  for_all_kernels([]<class Op>(const Implementation<Op>& implementation, const typename Op::Problem& problem,
                               typename Op::Pass pass, const auto& expected) {
    std::string faults[2];
    const auto work = [&](std::string& fault) {
      Exec exec({.threads = 2});
      support::KernelCheck<Op> samples(exec, problem);
      const auto kernel = implementation.make(exec, problem, pass);
      for (int round = 0; round < 3; ++round) fault += support::verify(exec, samples, *kernel, pass, expected);
    };
    std::thread other([&] { work(faults[1]); });
    work(faults[0]);
    other.join();
    EXPECT_EQ(faults[0] + faults[1], "") << name(implementation, problem, pass);
  });
}

}  // namespace
}  // namespace apam::kernels

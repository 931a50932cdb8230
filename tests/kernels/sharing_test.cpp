// A kernel is made once for a problem and then serves every layer and step that has it: nothing of one call may be left for
// the next. And kernels of two Execs work at the same time, though a library behind them may share what it makes.
#include <gtest/gtest.h>

#include <thread>

#include "tests/cases/cases.h"
#include "tests/support/verify.h"

namespace apam::kernels {
namespace {

constexpr std::size_t kEvery = 5;  // of the cases: variants of one shape come in fours

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

/// Calls check(implementation, problem, pass, expected) for every provider on the CPU and every pass of some awkward cases;
/// `expected` is what the pass should write on a trial of that case.
template <class Check>
void for_all_kernels(Check check) {
  for_each_operation([&]<class Op>() {
    Exec exec;
    const auto cases = cases::awkward_cases<Op>();
    for (std::size_t index = 0; index < cases.size(); index += kEvery) {
      const auto& problem = cases[index].problem;
      Trial<Op> trial(exec, problem);
      std::vector<std::vector<std::vector<double>>> expected(Op::pass_names.size());  // [pass][output][element]
      for (const auto& implementation : implementations<Op>()) {
        if (implementation.device != DeviceKind::cpu) continue;
        for (const auto pass : passes_of(implementation, problem)) {
          auto& of_pass = expected[static_cast<std::size_t>(pass)];
          if (of_pass.empty()) of_pass = trial.expected(pass);
          check.template operator()<Op>(implementation, problem, pass, of_pass);
        }
      }
    }
  });
}

// Two layers of one problem: each pass of the first runs right after every pass of the second, which adds where it can.
TEST(Sharing, a_kernel_leaves_nothing_for_its_next_call) {
  for_all_kernels([]<class Op>(const Implementation<Op>& implementation, const typename Op::Problem& problem,
                               typename Op::Pass pass, const auto& expected) {
    Exec exec({.threads = 2});
    Trial<Op> first(exec, problem), second(exec, problem, 1);
    const auto kernel = implementation.make(exec, problem, pass);
    for (const auto between : passes_of(implementation, problem)) {
      const auto other = between == pass ? nullptr : implementation.make(exec, problem, between);
      const Write write = Trial<Op>::accumulates(between) ? Write::add : Write::overwrite;
      second.prepare(between, write);
      second.run(exec, other ? *other : *kernel, between, write);
      EXPECT_EQ(support::verify(exec, first, *kernel, pass, expected), "") << name(implementation, problem, pass);
    }
  });
}

// Two threads, each with an Exec, operands and a kernel of its own.
TEST(Sharing, kernels_of_two_execs_work_at_the_same_time) {
  for_all_kernels([]<class Op>(const Implementation<Op>& implementation, const typename Op::Problem& problem,
                               typename Op::Pass pass, const auto& expected) {
    std::string faults[2];
    const auto work = [&](std::string& fault) {
      Exec exec({.threads = 2});
      Trial<Op> trial(exec, problem);
      const auto kernel = implementation.make(exec, problem, pass);
      for (int round = 0; round < 3; ++round) fault += support::verify(exec, trial, *kernel, pass, expected);
    };
    std::thread other([&] { work(faults[1]); });
    work(faults[0]);
    other.join();
    EXPECT_EQ(faults[0] + faults[1], "") << name(implementation, problem, pass);
  });
}

}  // namespace
}  // namespace apam::kernels

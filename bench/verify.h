// Whether an implementation computes what it should: asked before it is timed.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "kernels/ops/trial.h"
#include "tests/support/tolerance.h"

namespace apam::bench {

/// The problem with few images, rows or elements: the naive loops in double finish it at once.
template <class Problem>
Problem small(Problem problem) {
  if constexpr (requires { problem.n; }) problem.n = std::min(problem.n, 2);
  if constexpr (requires { problem.rows; }) problem.rows = std::min(problem.rows, 2048);
  if constexpr (requires { problem.size = 1; }) problem.size = std::min<std::int64_t>(problem.size, 65536 + 1);
  return problem;
}

/// Runs a pass of the small problem and compares every output with the naive loops in double. Returns what is wrong with
/// it, or nothing.
template <class Op>
std::string verify(Exec& exec, const kernels::Implementation<Op>& implementation, const typename Op::Problem& problem,
                   typename Op::Pass pass) {
  const auto reduced = small(problem);
  if (!implementation.supports(reduced, pass)) return fmt::format("cannot be verified: it does not do {}", reduced.describe());
  kernels::Trial<Op> trial(exec, reduced);
  const auto kernel = implementation.make(exec, reduced);
  trial.run(exec, *kernel, pass);
  exec.synchronize();
  const auto outputs = trial.outputs(pass);
  const auto expected = trial.expected(pass);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    std::vector<float> actual(outputs[i].values.size());
    copy(outputs[i].values, Out(std::span(actual)));
    const support::Tolerance tolerance(outputs[i].terms,
                                       std::max(outputs[i].magnitude, support::root_mean_square(expected[i])));
    for (std::size_t e = 0; e < actual.size(); ++e) {
      if (std::abs(actual[e] - expected[i][e]) <= tolerance.of(expected[i][e])) continue;
      return fmt::format("is wrong: {}[{}] of {} is {}, expected {}", outputs[i].name, e, reduced.describe(), actual[e],
                         expected[i][e]);
    }
  }
  return trial.fences_intact() ? "" : "is wrong: it writes outside its operands";
}

}  // namespace apam::bench

// Whether an implementation computes what it should: asked before it is timed.
#pragma once

#include <algorithm>
#include <string>

#include "tests/support/verify.h"

namespace apam::bench {

/// The problem with few images, rows or elements: the naive loops in double finish it at once.
template <class Problem>
Problem small(Problem problem) {
  if constexpr (requires { problem.n; }) problem.n = std::min(problem.n, 2);
  if constexpr (requires { problem.rows; }) problem.rows = std::min(problem.rows, 2048);
  if constexpr (requires { problem.size = 1; }) problem.size = std::min<std::int64_t>(problem.size, 65536 + 1);
  return problem;
}

/// Verifies a pass of the small problem against the naive loops in double. Returns what is wrong with it, or nothing.
template <class Op>
std::string verify(Exec& exec, const kernels::Implementation<Op>& implementation, const typename Op::Problem& problem,
                   typename Op::Pass pass) {
  const auto reduced = small(problem);
  if (!implementation.supports(reduced, pass)) return fmt::format("cannot be verified: it does not do {}", reduced.describe());
  kernels::Trial<Op> trial(exec, reduced);
  const auto kernel = implementation.make(exec, reduced);
  const std::string faults = support::verify<Op>(exec, trial, *kernel, pass, trial.expected(pass));
  return faults.empty() ? "" : fmt::format("is wrong: {}", faults.substr(0, faults.find('\n')));
}

}  // namespace apam::bench

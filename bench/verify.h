// Checks that an implementation is correct before it is timed.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tests/support/verify.h"

namespace apam::bench {

/// The same problem with few images, rows or elements, so that the naive loops in double are fast.
template <class Problem>
Problem small(Problem problem) {
  if constexpr (requires { problem.n; }) problem.n = std::min(problem.n, 2);
  if constexpr (requires { problem.rows; }) problem.rows = std::min(problem.rows, 2048);
  if constexpr (requires { problem.size = 1; }) problem.size = std::min<std::int64_t>(problem.size, 65536 + 1);
  return problem;
}

/// Verifies implementations on the small problem against the naive loops in double, which run once per pass.
template <class Op>
class Verifier {
 public:
  Verifier(Exec& exec, const typename Op::Problem& problem) : exec_(exec), problem_(small(problem)), samples_(exec, problem_) {}

  /// The first fault found in a pass; empty if there is none.
  std::string objection(const kernels::Implementation<Op>& implementation, typename Op::Pass pass) {
    if (!implementation.supports(problem_, pass)) {
      return fmt::format("cannot be verified: {} is not supported", problem_.describe());
    }
    auto& expected = expected_[pass];
    if (expected.empty()) expected = samples_.expected(pass);
    const auto kernel = implementation.make(exec_, problem_, pass);
    const std::string faults = support::verify<Op>(exec_, samples_, *kernel, pass, expected);
    return faults.empty() ? "" : fmt::format("is wrong: {}", faults.substr(0, faults.find('\n')));
  }

 private:
  Exec& exec_;
  typename Op::Problem problem_;
  support::KernelCheck<Op> samples_;
  std::map<typename Op::Pass, std::vector<std::vector<double>>> expected_;
};

}  // namespace apam::bench

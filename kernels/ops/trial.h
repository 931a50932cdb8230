// A trial: seeded operands for one problem, and each pass of a kernel run on them. Tests compare what trials of two
// providers leave behind, benchmarks and `auto` time them. Inputs are drawn like what a net sees (unit normal, positive
// variances, valid labels), from Philox; outputs start as NaN.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/ops/operation.h"

namespace apam::kernels {

template <class Op>
class Trial {
 public:
  Trial(Exec& exec, const typename Op::Problem& problem, std::uint64_t seed = 0);
  ~Trial();

  /// Runs one pass on the operands of this trial.
  void run(Exec& exec, typename Op::Kernel& kernel, typename Op::Pass pass);

  struct Operand {
    std::string_view name;
    Out values;
    std::int64_t terms = 1;  ///< how many products or addends make one element: scales the tolerance of a check
  };
  /// What `pass` writes, by name, in a fixed order.
  std::vector<Operand> outputs(typename Op::Pass pass);

  /// What `pass` should write, computed from the same operands by the naive loops in double; in the order of outputs().
  std::vector<std::vector<double>> expected(typename Op::Pass pass);

  /// Work of a pass, for rates: operations by the direct method, and bytes that must move at least.
  double flops(typename Op::Pass pass) const;
  double bytes(typename Op::Pass pass) const;

 private:
  struct Operands;
  std::unique_ptr<Operands> operands_;
};

}  // namespace apam::kernels

// A trial: seeded operands for one problem, and each pass of a kernel run on them. Tests compare what trials of two
// providers leave behind, benchmarks and `auto` time them. Inputs are drawn like what a net sees (unit normal, weights of
// 1 / sqrt(fan in), positive variances, valid labels), from Philox; outputs start as NaN. Every operand lies between
// fences: words that read as NaN, and show whether something was written there.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/ops/operation.h"

namespace apam::kernels {

/// One output of a pass.
struct TrialOutput {
  std::string_view name;
  Out values;
  /// How many products or addends make one element: scales the tolerance of a check. 0: exact, nothing is rounded.
  std::int64_t terms = 1;
  /// Size that an element has where what makes it does not happen to cancel; scales the tolerance where that is more than
  /// the size of the elements. 0: they do not cancel.
  double magnitude = 0;
  /// What an operand that is updated in place holds before the pass; empty for one that is only written.
  In before{};
};

/// One operand that a pass reads; one that it updates in place is meant as it is before the pass.
struct TrialInput {
  std::string_view name;
  Out values;
};

/// Of each element of an output: whether an extreme operand is within its reach (kernels/ops/operation.h).
using Reached = std::vector<bool>;

template <class Op>
class Trial {
 public:
  /// Draws the operands of all passes and prepares them for Write::overwrite.
  Trial(Exec& exec, const typename Op::Problem& problem, std::uint64_t seed = 0);
  ~Trial();

  /// Puts the outputs of a pass back to where they start: NaN, or old values where the pass adds to them or updates them.
  void prepare(typename Op::Pass pass, Write write = Write::overwrite);

  /// Runs one pass on the operands of this trial. Passes whose outputs have no Write ignore it.
  void run(Exec& exec, typename Op::Kernel& kernel, typename Op::Pass pass, Write write = Write::overwrite);

  /// Whether the outputs of a pass can be added to what is there.
  static bool accumulates(typename Op::Pass pass);

  /// What `pass` writes, by name, in a fixed order.
  std::vector<TrialOutput> outputs(typename Op::Pass pass);

  /// What `pass` should write over NaN (or `before`), computed from the same operands by the naive loops in double; in
  /// the order of outputs(). Computed at each call, on one thread.
  std::vector<std::vector<double>> expected(typename Op::Pass pass);

  /// What `pass` reads, to be changed before expected() and run() where a test wants to; without labels.
  std::vector<TrialInput> inputs(typename Op::Pass pass);

  /// Which elements may be NaN or +-Inf though expected() is finite; in the order of outputs().
  std::vector<Reached> reached(typename Op::Pass pass);

  /// True while nothing was written outside the operands.
  bool fences_intact() const;

  /// Work of a pass, for rates: operations by the direct method, and bytes that must move at least.
  double flops(typename Op::Pass pass) const;
  double bytes(typename Op::Pass pass) const;

 private:
  struct Operands;
  std::unique_ptr<Operands> operands_;
};

}  // namespace apam::kernels

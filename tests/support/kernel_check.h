// Sample operands of a problem, and what each pass of a kernel should make of them. Tests compare every provider with it;
// benchmarks run kernels on it and refuse to time wrong ones. Each operand lies between fences: words that read as NaN, and
// that show whether something was written outside the operand.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "kernels/ops/operation.h"
#include "tests/support/tolerance.h"

namespace apam::support {

/// One output of a pass.
struct CheckedOutput {
  std::string_view name;
  Out values;
  /// Number of products or addends per element; scales the tolerance. 0: exact, nothing is rounded.
  std::int64_t terms = 1;
  /// Size of an element whose addends do not cancel by chance; scales the tolerance if it exceeds the size of the element.
  /// 0: addends do not cancel.
  double magnitude = 0;
  /// For an operand that is updated in place: its values before the pass.
  ConstSpan<float> before{};

  /// The largest error of storing a value in the output's type, if the value is within `error` of `expected`.
  double storage_rounding(double expected, double error) const {
    return values.type() == DType::bfloat16 ? Tolerance::rounding_to_bfloat16(std::abs(expected) + error) : 0;
  }
};

/// One operand that a pass reads. For one that is updated in place, its values before the pass.
struct CheckedInput {
  std::string_view name;
  Out values;
};

/// Per element of an output: whether an extreme operand is within reach (kernels/ops/operation.h).
using Reached = std::vector<bool>;

class FencedMemory;

/// Instantiated for every operation in tests/cases/NAME.cpp.
template <class Op>
class KernelCheck {
 public:
  using Kernel = typename Op::Kernel;
  using Pass = typename Op::Pass;

  /// Draws the operands of all passes and prepares them for Write::overwrite.
  KernelCheck(Exec& exec, const typename Op::Problem& problem, std::uint64_t seed = 0);
  ~KernelCheck();

  /// Resets the outputs of a pass: to NaN, or to old values if the pass adds to them or updates them. Also makes copies of
  /// operands follow changes.
  void prepare(Pass pass, kernels::Write write = kernels::Write::overwrite);

  /// Runs one pass on these operands. Passes whose outputs have no Write ignore it.
  void run(Exec& exec, Kernel& kernel, Pass pass, kernels::Write write = kernels::Write::overwrite);

  /// Whether a pass can add to old values.
  static bool accumulates(Pass pass);

  /// The outputs of a pass, in a fixed order.
  std::vector<CheckedOutput> outputs(Pass pass);

  /// What a pass should write over NaN (or `before`), in the order of outputs(): computed from the current operands by the
  /// naive loops in double, in each call, on one thread.
  std::vector<std::vector<double>> expected(Pass pass);

  /// The operands that a pass reads, except labels. A test may change them before it calls expected() and run().
  std::vector<CheckedInput> inputs(Pass pass);

  /// Which elements may be NaN or +-Inf although expected() is finite, in the order of outputs().
  std::vector<Reached> reached(Pass pass);

  /// True if nothing was written outside the operands.
  bool fences_intact() const;

  /// Work of a pass, for rates: operations of the direct method, and the least number of bytes to move.
  double flops(Pass pass) const;
  double bytes(Pass pass) const;

 private:
  struct Rules;
  FencedMemory* memory_ = nullptr;  // owned by the operands
  std::unique_ptr<Rules> rules_;
};

}  // namespace apam::support

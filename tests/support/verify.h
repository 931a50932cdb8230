// Runs a pass of a kernel on sample operands and compares its outputs with the expected values. Tests fail if they differ;
// benchmarks do not time such a kernel.
#pragma once

#include <string>
#include <vector>

#include "kernels/reference/operand_store.h"
#include "tests/support/kernel_check.h"
#include "tests/support/tolerance.h"

namespace apam::support {

inline std::vector<float> on_host(In values) {
  const auto host = kernels::doubles(values);
  return {host.begin(), host.end()};
}

/// Compares every element of an output with `before` (empty: zeros) + `expected`. Returns an empty text if all are right, else
/// one line: how many are wrong, and the worst of them.
inline std::string difference(const CheckedOutput& output, const std::vector<double>& expected,
                              const std::vector<float>& before = {}) {
  const auto actual = on_host(output.values);
  if (actual.size() != expected.size()) {
    return fmt::format("{}: {} elements, expected {}", output.name, actual.size(), expected.size());
  }
  const Tolerance tolerance(output.terms, std::max(output.magnitude, root_mean_square(expected)));
  std::size_t wrong = 0, worst = 0;
  double worst_ratio = -1;
  for (std::size_t e = 0; e < actual.size(); ++e) {
    const double target = expected[e] + (before.empty() ? 0 : before[e]);
    double allowed = tolerance.of(expected[e]) + (before.empty() ? 0 : Tolerance::rounding(target));
    allowed += output.storage_rounding(target, allowed);
    const double off = std::abs(actual[e] - target);
    if (off <= allowed) continue;
    ++wrong;
    const double ratio = off > 0 && allowed > 0 ? off / allowed : std::numeric_limits<double>::infinity();  // NaN too
    if (ratio <= worst_ratio) continue;
    worst_ratio = ratio;
    worst = e;
  }
  if (wrong == 0) return {};
  return fmt::format("{}: {} of {} elements are wrong; the worst, [{}], is {}, expected {}: {:.3g} times the tolerance",
                     output.name, wrong, actual.size(), worst, actual[worst],
                     expected[worst] + (before.empty() ? 0 : before[worst]), worst_ratio);
}

/// Runs `pass` on freshly prepared outputs. `expected` is samples.expected(pass). Returns an empty text if every output is
/// right and nothing else was written, else one line per fault.
template <class Op>
std::string verify(Exec& exec, KernelCheck<Op>& samples, typename Op::Kernel& kernel, typename Op::Pass pass,
                   const std::vector<std::vector<double>>& expected, kernels::Write write = kernels::Write::overwrite) {
  const bool adds = write == kernels::Write::add && KernelCheck<Op>::accumulates(pass);
  samples.prepare(pass, write);
  std::vector<std::vector<float>> before;
  for (const auto& output : samples.outputs(pass)) before.push_back(adds ? on_host(output.values) : std::vector<float>());
  samples.run(exec, kernel, pass, write);
  exec.synchronize();
  std::string faults;
  const auto outputs = samples.outputs(pass);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto fault = difference(outputs[i], expected.at(i), before[i]);
    if (!fault.empty()) faults += fault + '\n';
  }
  if (!samples.fences_intact()) faults += "something was written outside the operands\n";
  return faults;
}

}  // namespace apam::support

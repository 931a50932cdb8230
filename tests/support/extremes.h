// Runs a pass on operands that hold NaN, infinities, huge or denormal numbers, one kind in one operand at a time, and checks
// the outputs by the rule in kernels/ops/operation.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/verify.h"

namespace apam::support {

/// A value to plant in an operand, and where.
struct Extreme {
  const char* name;
  float value;
  enum Place : std::uint8_t { inside, last, every_third } place;
};

inline const std::vector<Extreme>& extreme_kinds() {
  constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();
  static const std::vector<Extreme> kinds{{"NaN", kNan, Extreme::inside},           {"NaN", kNan, Extreme::last},
                                          {"+Inf", kInf, Extreme::inside},          {"-Inf", -kInf, Extreme::inside},
                                          {"1e30", 1e30F, Extreme::inside},         {"1e-40", 1e-40F, Extreme::every_third},
                                          {"-1e-40", -1e-40F, Extreme::every_third}};
  return kinds;
}

/// Plants an extreme value; the destructor restores the operand.
class Planted {
 public:
  Planted(Out operand, const Extreme& kind) : operand_(operand), before_(on_host(operand)) {
    auto values = before_;
    const std::size_t size = values.size();
    if (kind.place == Extreme::every_third) {
      for (std::size_t e = 0; e < size; e += 3) values[e] = kind.value;
    } else {
      values[kind.place == Extreme::last ? size - 1 : size * 5 / 8] = kind.value;
    }
    kernels::write_values(values, operand_);
  }
  ~Planted() { kernels::write_values(before_, operand_); }
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;

 private:
  Out operand_;
  std::vector<float> before_;
};

/// Checks every element by the rule. Returns an empty text if all follow it, else one line: the first that does not. Results
/// within reach of the planted number may carry its rounding error, so `planted`, its size, widens their tolerance.
inline std::string extreme_difference(const CheckedOutput& output, const std::vector<double>& expected, const Reached& reached,
                                      double planted) {
  constexpr double kLargest = std::numeric_limits<float>::max(), kFlushed = std::numeric_limits<float>::min();
  const auto finite = [&](double value) { return std::abs(value) <= kLargest; };
  std::vector<double> sizes;
  std::copy_if(expected.begin(), expected.end(), std::back_inserter(sizes), finite);
  const double size = std::max(output.magnitude, root_mean_square(sizes));
  const Tolerance elsewhere(output.terms, size),
      within_reach(output.terms, std::max(size, planted * std::max(1.0, output.magnitude)));
  const auto actual = on_host(output.values);
  for (std::size_t e = 0; e < expected.size(); ++e) {
    const double value = actual[e], wanted = expected[e];
    const double allowed = (reached.at(e) ? within_reach : elsewhere).of(wanted) + kFlushed;
    const bool right = finite(wanted) && std::abs(value - wanted) <= allowed + output.storage_rounding(wanted, allowed);
    const bool shown = !finite(value) && (!finite(wanted) || reached[e]);
    if (right || shown) continue;
    return fmt::format("{}[{}] is {}, expected {}{}", output.name, e, value, wanted, reached[e] ? " or not finite" : "");
  }
  return {};
}

/// For every operand of `pass` and every kind, calls run(try_one), which calls try_one(kernel's name, compute) for each kernel
/// to test. Reports to check(name, faults); faults are empty if all outputs follow the rule.
template <class Op, class Run, class Check>
void check_extremes(KernelCheck<Op>& samples, typename Op::Pass pass, const Run& run, const Check& check) {
  for (const CheckedInput& input : samples.inputs(pass)) {
    for (const Extreme& kind : extreme_kinds()) {
      const Planted planted(input.values, kind);
      const double planted_size = std::isfinite(kind.value) ? std::abs(double{kind.value}) : 0;
      const auto expected = samples.expected(pass);
      const auto reached = samples.reached(pass);
      run([&](const std::string& who, const auto& compute) {
        samples.prepare(pass);
        compute();
        const auto outputs = samples.outputs(pass);
        std::string faults;
        for (std::size_t i = 0; i < outputs.size(); ++i) {
          const auto fault = extreme_difference(outputs[i], expected.at(i), reached.at(i), planted_size);
          if (!fault.empty()) faults += fault + '\n';
        }
        if (!samples.fences_intact()) faults += "something was written outside the operands\n";
        check(fmt::format("{}, {} in {}", who, kind.name, input.name), faults);
      });
    }
  }
}

}  // namespace apam::support

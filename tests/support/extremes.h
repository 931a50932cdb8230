// Runs a pass on operands that hold NaN, infinities, huge numbers or denormal ones, one kind in one operand at a time, and
// compares with the rule in kernels/ops/operation.h. Tests fail on what it says.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "tests/support/verify.h"

namespace apam::support {

/// What is planted in an operand, and where.
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

/// Plants an extreme for a scope.
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
    copy(In(values.data(), size), operand_);
  }
  ~Planted() { copy(In(before_.data(), before_.size()), operand_); }
  Planted(const Planted&) = delete;
  Planted& operator=(const Planted&) = delete;

 private:
  Out operand_;
  std::vector<float> before_;
};

/// What the rule says of every element. Empty when all are as it says, else one line: the first that is not. A number of size
/// `planted` rounds results within its reach.
inline std::string extreme_difference(const kernels::TrialOutput& output, const std::vector<double>& expected,
                                      const kernels::Reached& reached, double planted) {
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
    const bool right =
        finite(wanted) && std::abs(value - wanted) <= (reached.at(e) ? within_reach : elsewhere).of(wanted) + kFlushed;
    const bool shown = !finite(value) && (!finite(wanted) || reached[e]);
    if (right || shown) continue;
    return fmt::format("{}[{}] is {}, expected {}{}", output.name, e, value, wanted, reached[e] ? " or not finite" : "");
  }
  return {};
}

/// Calls run() for every operand of `pass` and every kind, with the outputs prepared, and check(fault), fault being empty
/// when all is as the rule says.
template <class Op, class Run, class Check>
void check_extremes(kernels::Trial<Op>& trial, typename Op::Pass pass, const Run& run, const Check& check) {
  for (const kernels::TrialInput& input : trial.inputs(pass)) {
    for (const Extreme& kind : extreme_kinds()) {
      const Planted planted(input.values, kind);
      const double planted_size = std::isfinite(kind.value) ? std::abs(double{kind.value}) : 0;
      const auto expected = trial.expected(pass);
      const auto reached = trial.reached(pass);
      run([&](const std::string& who, const auto& compute) {
        trial.prepare(pass);
        compute();
        const auto outputs = trial.outputs(pass);
        std::string faults;
        for (std::size_t i = 0; i < outputs.size(); ++i) {
          const auto fault = extreme_difference(outputs[i], expected.at(i), reached.at(i), planted_size);
          if (!fault.empty()) faults += fault + '\n';
        }
        if (!trial.fences_intact()) faults += "something was written outside the operands\n";
        check(fmt::format("{}, {} in {}", who, kind.name, input.name), faults);
      });
    }
  }
}

}  // namespace apam::support

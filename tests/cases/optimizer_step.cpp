// Optimizer step: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/optimizer_step_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<OptimizerStep>::Rules : Operands<OptimizerStep> {
  Rules(Exec& exec, const OptimizerStep::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : Operands(exec, p, seed, std::move(memory)),
        old_w(store.copy_of(w)),
        old_m(store.copy_of(m)),
        old_v(store.copy_of(v)),
        old_vh(store.copy_of(vh)) {}

  static bool accumulates(Pass) { return false; }

  std::vector<CheckedOutput> outputs(Pass) const {
    std::vector<CheckedOutput> all{{"w", w, 4, kWeight, old_w}};
    if (problem.rule != Rule::sgd) {
      all.push_back({"m", m, 4, kGradient, old_m});
      all.push_back({"v", v, 4, 0, old_v});
    }
    if (problem.rule == Rule::amsgrad) all.push_back({"vh", vh, 4, 0, old_vh});
    return all;
  }

  std::vector<CheckedInput> inputs(Pass) const {
    std::vector<CheckedInput> all{{"g", g}, {"w", old_w}};
    if (problem.rule != Rule::sgd) all.insert(all.end(), {{"m", old_m}, {"v", old_v}});
    if (problem.rule == Rule::amsgrad) all.push_back({"vh", old_vh});
    return all;
  }

  std::vector<std::vector<double>> expected(Pass) const {
    std::vector<std::vector<double>> all{doubles(old_w), doubles(old_m), doubles(old_v), doubles(old_vh)};
    reference::optimizer_step<double>(problem, scalars, kRate, doubles(g).data(), all[0].data(),
                                      {all[1].data(), all[2].data(), all[3].data()});
    all.resize(outputs(Pass::update).size());
    return all;
  }

  double flops(Pass) const { return (problem.rule == Rule::sgd ? 4.0 : 14.0) * double(problem.size); }

  double bytes(Pass) const {
    const double updated = problem.rule == Rule::sgd ? 1 : problem.rule == Rule::adam ? 3 : 4;
    return sizeof(float) * (1 + 2 * updated) * double(problem.size);
  }

  Span<float> old_w, old_m, old_v, old_vh;  // the values before the step
};

template class support::KernelCheck<OptimizerStep>;

template <>
std::vector<cases::Case<OptimizerStep>> cases::edge_cases<OptimizerStep>() {
  using Rule = OptimizerStep::Rule;
  std::vector<Case<OptimizerStep>> cases;
  for (const auto length : kEdgeLengths) {
    cases.push_back({fmt::format("edge/sgd_{}", length), {length, Rule::sgd}});
    cases.push_back({fmt::format("edge/adam_{}", length), {length, Rule::adam}});
    cases.push_back({fmt::format("edge/amsgrad_{}", length), {length, Rule::amsgrad}});
  }
  return cases;
}

}  // namespace apam

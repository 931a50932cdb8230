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
        old_m(store.copy_of(m)),
        old_v(store.copy_of(v)),
        old_vh(store.copy_of(vh)) {}

  static bool accumulates(Pass) { return false; }

  std::vector<CheckedOutput> outputs(Pass) const {
    const int terms = 4 * problem.gradients;
    std::vector<CheckedOutput> all{{"w", w, terms, kWeight}};
    if (moments() > 0) all.push_back({"m", m, terms, kGradient, old_m});
    if (moments() > 1) all.push_back({"v", v, terms, 0, old_v});
    if (moments() > 2) all.push_back({"vh", vh, terms, 0, old_vh});
    if (!rounded.empty()) all.push_back({"rounded", rounded, terms, kWeight});
    return all;
  }

  std::vector<CheckedInput> inputs(Pass) const {
    std::vector<CheckedInput> all{{"w", from}};
    for (const auto gradient : g) all.push_back({"g", gradient});
    if (moments() > 0) all.push_back({"m", old_m});
    if (moments() > 1) all.push_back({"v", old_v});
    if (moments() > 2) all.push_back({"vh", old_vh});
    return all;
  }

  std::vector<std::vector<double>> expected(Pass) const {
    std::vector<std::vector<double>> all{doubles(from), doubles(old_m), doubles(old_v), doubles(old_vh)};
    for (std::size_t k = 0; k < g.size(); ++k) {
      reference::optimizer_step<double>(problem, scalars, rate(k), doubles(g[k]).data(), all[0].data(),
                                        {all[1].data(), all[2].data(), all[3].data()});
    }
    all.resize(1 + moments());
    if (!rounded.empty()) all.push_back(all.front());
    return all;
  }

  double flops(Pass) const {
    constexpr std::array<double, OptimizerStep::rules.size()> kFlops{4, 6, 8, 14, 14};  // of a step of an element
    return kFlops.at(static_cast<std::size_t>(problem.rule)) * double(problem.gradients) * double(problem.size);
  }

  double bytes(Pass) const {
    const auto updated = static_cast<double>(1 + moments());
    return sizeof(float) * (problem.gradients + 2 * updated) * double(problem.size) + double(rounded.size_bytes());
  }

  std::size_t moments() const { return OptimizerStep::moments_of(problem.rule); }

  Span<float> old_m, old_v, old_vh;  // the values before the first step
};

template class support::KernelCheck<OptimizerStep>;

template <>
std::vector<cases::Case<OptimizerStep>> cases::edge_cases<OptimizerStep>() {
  std::vector<Case<OptimizerStep>> cases;
  for (const auto rule : OptimizerStep::rules) {
    const auto name = OptimizerStep::rule_names.at(static_cast<std::size_t>(rule));
    for (const auto length : kEdgeLengths) cases.push_back({fmt::format("edge/{}_{}", name, length), {length, rule}});
    for (int k = 2; k <= OptimizerStep::kMostGradients; ++k) {
      cases.push_back({fmt::format("edge/{}_by_{}", name, k), {1037, rule, k}});
    }
  }
  return cases;
}

}  // namespace apam

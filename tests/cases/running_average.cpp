// Running average: edge cases; per pass, the operands, the expected values, and the work.
#include "kernels/reference/running_average_sample.h"
#include "tests/cases/cases.h"
#include "tests/support/kernel_check_impl.h"

namespace apam {

using namespace kernels;

template <>
struct support::KernelCheck<RunningAverage>::Rules : Operands<RunningAverage> {
  Rules(Exec& exec, const RunningAverage::Problem& p, std::uint64_t seed, std::unique_ptr<OperandMemory> memory)
      : Operands(exec, p, seed, std::move(memory)), old_running(store.copy_of(running)) {}

  static bool accumulates(Pass) { return false; }

  std::vector<CheckedOutput> outputs(Pass) const { return {{"running", running, 2, 1, old_running}}; }

  std::vector<CheckedInput> inputs(Pass) const { return {{"batch", batch}, {"running", old_running}}; }

  std::vector<std::vector<double>> expected(Pass) const {
    auto result = doubles(old_running);
    reference::running_average(problem, kMomentum, doubles(batch).data(), result.data());
    return {std::move(result)};
  }

  double flops(Pass) const { return 3.0 * double(problem.size); }

  double bytes(Pass) const { return sizeof(float) * 3.0 * double(problem.size); }

  Span<float> old_running;  // the values before the update
};

template class support::KernelCheck<RunningAverage>;

template <>
std::vector<cases::Case<RunningAverage>> cases::edge_cases<RunningAverage>() {
  std::vector<Case<RunningAverage>> cases;
  for (const auto length : kEdgeLengths) cases.push_back({fmt::format("edge/{}", length), {length}});
  return cases;
}

}  // namespace apam

#include "kernels/reference/running_average.h"

#include "kernels/reference/first_non_finite.h"
#include "kernels/reference/naive.h"
#include "kernels/reference/running_average_sample.h"

namespace apam::kernels {
namespace reference {

class RunningAverageUpdate final : public Naive<RunningAverage> {
 public:
  using Naive::Naive;
  void update(Exec&, float momentum, ConstSpan<float> batch, Span<float> running, FirstNonFinite non_finite) override {
    running_average(problem_, momentum, batch.data(), running.data());
    lower_to_first_non_finite(running, non_finite);
  }
};

template <>
struct KernelsOf<RunningAverage> : ByPass<RunningAverageUpdate> {};
template std::unique_ptr<RunningAverage::Kernel> make<RunningAverage>(const RunningAverage::Problem&, RunningAverage::Pass);

}  // namespace reference

template class SampleInputs<RunningAverage>;

}  // namespace apam::kernels

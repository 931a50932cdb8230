#include "kernels/reference/optimizer_step.h"

#include <algorithm>

#include "kernels/reference/first_non_finite.h"
#include "kernels/reference/naive.h"
#include "kernels/reference/optimizer_step_sample.h"

namespace apam::kernels {
namespace reference {

class OptimizerStepUpdate final : public Naive<OptimizerStep> {
 public:
  using Naive::Naive;
  void update(Exec&, const OptimizerStep::Scalars& scalars, const OptimizerStep::Steps& steps,
              const OptimizerStep::Results& out, const OptimizerStep::Moments& moments) override {
    const Span<float> w = out.w;
    if (w.data() != steps.from.data()) std::copy_n(steps.from.data(), w.size(), w.data());
    for (std::size_t k = 0; k < steps.g.size(); ++k) {
      optimizer_step<float>(problem_, scalars, steps.rates.data()[k], steps.g[k].data(), w.data(),
                            {moments.m.data(), moments.v.data(), moments.vh.data()});
    }
    for (std::size_t e = 0; e < out.rounded.size(); ++e) out.rounded.data()[e] = BFloat16(w.data()[e]);
    lower_to_first_non_finite(w, out.non_finite);
  }
};

template <>
struct KernelsOf<OptimizerStep> : ByPass<OptimizerStepUpdate> {};
template std::unique_ptr<OptimizerStep::Kernel> make<OptimizerStep>(const OptimizerStep::Problem&, OptimizerStep::Pass);

}  // namespace reference

template class SampleInputs<OptimizerStep>;

}  // namespace apam::kernels

#include "kernels/reference/optimizer_step.h"

#include <algorithm>

#include "kernels/reference/naive.h"
#include "kernels/reference/optimizer_step_sample.h"

namespace apam::kernels {
namespace reference {
namespace {

class Update final : public Naive<OptimizerStep> {
 public:
  using Naive::Naive;
  void update(Exec&, const OptimizerStep::Scalars& scalars, const OptimizerStep::Steps& steps, Span<float> w,
              const OptimizerStep::Moments& moments) override {
    if (w.data() != steps.from.data()) std::copy_n(steps.from.data(), w.size(), w.data());
    for (std::size_t k = 0; k < steps.g.size(); ++k) {
      optimizer_step<float>(problem_, scalars, steps.rates.data()[k], steps.g[k].data(), w.data(),
                            {moments.m.data(), moments.v.data(), moments.vh.data()});
    }
  }
};

}  // namespace

template <>
struct KernelsOf<OptimizerStep> : ByPass<Update> {};
template std::unique_ptr<OptimizerStep::Kernel> make<OptimizerStep>(const OptimizerStep::Problem&, OptimizerStep::Pass);

}  // namespace reference

template class SampleInputs<OptimizerStep>;

}  // namespace apam::kernels

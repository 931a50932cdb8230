#include "kernels/reference/optimizer_step.h"

#include "kernels/reference/naive.h"
#include "kernels/reference/optimizer_step_sample.h"

namespace apam::kernels {
namespace reference {
namespace {

class Update final : public Naive<OptimizerStep> {
 public:
  using Naive::Naive;
  void update(Exec&, const OptimizerStep::Scalars& scalars, ConstSpan<float> rate, ConstSpan<float> g, Span<float> w,
              const OptimizerStep::Moments& moments) override {
    optimizer_step<float>(problem_, scalars, *rate.data(), g.data(), w.data(),
                          {moments.m.data(), moments.v.data(), moments.vh.data()});
  }
};

}  // namespace

template <>
struct KernelsOf<OptimizerStep> : ByPass<Update> {};
template std::unique_ptr<OptimizerStep::Kernel> make<OptimizerStep>(const OptimizerStep::Problem&, OptimizerStep::Pass);

}  // namespace reference

template class SampleInputs<OptimizerStep>;

}  // namespace apam::kernels

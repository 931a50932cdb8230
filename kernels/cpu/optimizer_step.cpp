// sgd, adam and amsgrad, each one fused pass over the flat vectors, and the running average. One contiguous range per thread.
#include <array>

#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

class OptimizerStepKernel final : public OptimizerStep::Kernel {
 public:
  OptimizerStepKernel(const OptimizerStep::Problem& problem, const Isa& isa)
      : problem_(problem), steps_(steps_of(problem.rule, isa.optimizer)) {}

  void update(Exec& exec, const OptimizerStep::Scalars& scalars, const OptimizerStep::Steps& steps, Span<float> w,
              const OptimizerStep::Moments& moments) override {
    const StepScalars s{.weight_decay = scalars.weight_decay,
                        .beta1 = scalars.beta1.kept,
                        .one_minus_beta1 = scalars.beta1.taken,
                        .beta2 = scalars.beta2.kept,
                        .one_minus_beta2 = scalars.beta2.taken,
                        .eps = scalars.eps};
    std::array<const float*, OptimizerStep::kMostGradients> g{};
    for (std::size_t k = 0; k < steps.g.size(); ++k) g.at(k) = steps.g[k].data();
    const GradientSteps in{problem_.gradients, steps.rates.data(), g.data(), steps.from.data()};
    const StepOutputs out{w.data(), moments.m.data(), moments.v.data(), moments.vh.data()};
    parallel_for(exec.threads(), problem_.size, kPointwiseGrain,
                 [&](std::int64_t begin, std::int64_t end) { steps_(s, in, out, begin, end); });
  }

 private:
  static OptimizerKernels::Steps steps_of(OptimizerStep::Rule rule, const OptimizerKernels& kernels) {
    switch (rule) {
      case OptimizerStep::Rule::sgd:
        return kernels.sgd;
      case OptimizerStep::Rule::adam:
        return kernels.adam;
      case OptimizerStep::Rule::amsgrad:
        return kernels.amsgrad;
    }
    return nullptr;
  }

  OptimizerStep::Problem problem_;
  OptimizerKernels::Steps steps_;
};

class RunningAverageKernel final : public RunningAverage::Kernel {
 public:
  RunningAverageKernel(const RunningAverage::Problem& problem, const Isa& isa) : size_(problem.size), kernels_(isa.optimizer) {}

  void update(Exec& exec, float momentum, ConstSpan<float> batch, Span<float> running) override {
    parallel_for(exec.threads(), size_, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      kernels_.running_average(momentum, batch.data() + begin, running.data() + begin, end - begin);
    });
  }

 private:
  std::int64_t size_;
  const OptimizerKernels& kernels_;
};

}  // namespace

std::unique_ptr<OptimizerStep::Kernel> make(Exec&, const OptimizerStep::Problem& problem, OptimizerStep::Pass, const Isa& isa) {
  return std::make_unique<OptimizerStepKernel>(problem, isa);
}

std::unique_ptr<RunningAverage::Kernel> make(Exec&, const RunningAverage::Problem& problem, RunningAverage::Pass,
                                             const Isa& isa) {
  return std::make_unique<RunningAverageKernel>(problem, isa);
}

}  // namespace apam::kernels::cpu

// sgd, adam and amsgrad, each one fused pass over the flat vectors, and the running average. One contiguous range per thread.
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

class OptimizerStepKernel final : public OptimizerStep::Kernel {
 public:
  OptimizerStepKernel(const OptimizerStep::Problem& problem, const Isa& isa) : problem_(problem), kernels_(isa.optimizer) {}

  void update(Exec& exec, const OptimizerStep::Scalars& scalars, ConstSpan<float> rate, ConstSpan<float> g, Span<float> w,
              const OptimizerStep::Moments& moments) override {
    const StepScalars s{.rate = *rate.data(),
                        .weight_decay = scalars.weight_decay,
                        .beta1 = scalars.beta1.kept,
                        .one_minus_beta1 = scalars.beta1.taken,
                        .beta2 = scalars.beta2.kept,
                        .one_minus_beta2 = scalars.beta2.taken,
                        .eps = scalars.eps};
    parallel_for(exec.threads(), problem_.size, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      const std::int64_t count = end - begin;
      const auto at = [begin](Span<float> moment) { return moment.data() + begin; };
      switch (problem_.rule) {
        case OptimizerStep::Rule::sgd:
          return kernels_.sgd(s, g.data() + begin, at(w), count);
        case OptimizerStep::Rule::adam:
          return kernels_.adam(s, g.data() + begin, at(w), at(moments.m), at(moments.v), count);
        case OptimizerStep::Rule::amsgrad:
          return kernels_.amsgrad(s, g.data() + begin, at(w), at(moments.m), at(moments.v), at(moments.vh), count);
      }
    });
  }

 private:
  OptimizerStep::Problem problem_;
  const OptimizerKernels& kernels_;
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

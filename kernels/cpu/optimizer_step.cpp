// Optimizer steps, each rule one fused pass over the flat vectors, and the running average. One contiguous range per thread,
// in pieces whose results are examined, and rounded to bfloat16 if that is wanted, while they are in the cache.
#include <algorithm>
#include <array>
#include <atomic>

#include "kernels/cpu/make.h"
#include "kernels/runtime/finite.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kPiece = 4096;  // of 5 vectors: 80 KiB

/// Calls compute(begin, end) for the pieces of `size` elements, and examines what each has written to `values`.
template <class Compute>
void in_pieces(Exec& exec, std::int64_t size, const float* values, FirstNonFinite non_finite, const Compute& compute) {
  std::atomic<std::int64_t> first = kNone;
  parallel_for(exec.threads(), size, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
    std::int64_t found = kNone;  // of this thread
    for (std::int64_t next = 0; begin < end; begin = next) {
      next = std::min(end, begin + kPiece);
      compute(begin, next);
      if (non_finite.empty() || found != kNone) continue;
      const std::int64_t place = first_non_finite(values + begin, next - begin);
      if (place < next - begin) found = begin + place;
    }
    std::int64_t before = first;
    while (found < before && !first.compare_exchange_weak(before, found)) {
    }
  });
  if (!non_finite.empty()) *non_finite.data() = std::min(*non_finite.data(), first.load());
}

class OptimizerStepKernel final : public OptimizerStep::Kernel {
 public:
  OptimizerStepKernel(const OptimizerStep::Problem& problem, const Isa& isa)
      : problem_(problem), steps_(steps_of(problem.rule, isa.optimizer)) {}

  void update(Exec& exec, const OptimizerStep::Scalars& scalars, const OptimizerStep::Steps& steps,
              const OptimizerStep::Results& results, const OptimizerStep::Moments& moments) override {
    const StepScalars s{.weight_decay = scalars.weight_decay,
                        .beta1 = scalars.beta1.kept,
                        .one_minus_beta1 = scalars.beta1.taken,
                        .beta2 = scalars.beta2.kept,
                        .one_minus_beta2 = scalars.beta2.taken,
                        .eps = scalars.eps,
                        .momentum = scalars.momentum};
    std::array<const float*, OptimizerStep::kMostGradients> g{};
    for (std::size_t k = 0; k < steps.g.size(); ++k) g.at(k) = steps.g[k].data();
    const GradientSteps in{problem_.gradients, steps.rates.data(), g.data(), steps.from.data()};
    const StepOutputs out{results.w.data(), moments.m.data(), moments.v.data(), moments.vh.data()};
    in_pieces(exec, problem_.size, out.w, results.non_finite, [&](std::int64_t begin, std::int64_t end) {
      steps_(s, in, out, begin, end);
      if (results.rounded.empty()) return;
      for (std::int64_t e = begin; e < end; ++e) results.rounded.data()[e] = BFloat16(out.w[e]);
    });
  }

 private:
  static OptimizerKernels::Steps steps_of(OptimizerStep::Rule rule, const OptimizerKernels& kernels) {
    switch (rule) {
      case OptimizerStep::Rule::sgd:
        return kernels.sgd;
      case OptimizerStep::Rule::momentum:
        return kernels.momentum;
      case OptimizerStep::Rule::nesterov:
        return kernels.nesterov;
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

  void update(Exec& exec, float momentum, ConstSpan<float> batch, Span<float> running, FirstNonFinite non_finite) override {
    in_pieces(exec, size_, running.data(), non_finite, [&](std::int64_t begin, std::int64_t end) {
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

// Softmax with cross-entropy. A batch of 100 rows with 10 to 1000 logits is negligible compared with a convolution, so this is
// plain scalar code; threads share the rows. The largest logit is subtracted first; sums are in double, in the order of rows.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/converted.h"
#include "kernels/cpu/elements.h"
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kTopRanks = 5;  // top5_count counts ranks 0 .. 4

/// Contribution of one row to the sums.
struct RowResult {
  double loss;
  std::int64_t rank;  // of the label, 0: best; above all classes if its logit is not finite
};

RowResult forward_row(const float* logits, std::int32_t label, std::int64_t classes, float* probabilities) {
  const float largest = *std::max_element(logits, logits + classes);
  const float own = logits[label];
  double sum = 0.0;
  std::int64_t rank = 0;
  for (std::int64_t j = 0; j < classes; ++j) {
    const float exponential = std::exp(logits[j] - largest);
    probabilities[j] = exponential;
    sum += double{exponential};
    if (!(logits[j] <= own) || (logits[j] == own && j < label)) ++rank;  // NaN ranks above the label
  }
  if (!std::isfinite(own)) rank = classes + kTopRanks;
  const double inverse = 1.0 / sum;
  for (std::int64_t j = 0; j < classes; ++j) probabilities[j] = static_cast<float>(double{probabilities[j]} * inverse);
  return {std::log(sum) - (double{own} - double{largest}), rank};
}

/// Minimum number of rows per thread.
std::int64_t min_rows_per_thread(const SoftmaxCrossEntropy::Problem& problem) {
  return std::max(1, 1024 / std::max(1, problem.classes));
}

class SoftmaxCrossEntropyForwardKernel final : public SoftmaxCrossEntropy::Kernel {
 public:
  SoftmaxCrossEntropyForwardKernel(Exec& exec, const SoftmaxCrossEntropy::Problem& problem)
      : problem_(problem), grain_(min_rows_per_thread(problem)) {
    exec.reserve_workspace(workspace_bytes());
  }

  void forward(Exec& exec, In logits, Labels labels, Span<float> probabilities, Span<float> sums) override {
    const float* all = elements<float>(logits, "softmax_cross_entropy: logits");
    auto* rows = reinterpret_cast<RowResult*>(exec.workspace(workspace_bytes()));
    const std::int64_t classes = problem_.classes;
    parallel_for(exec.threads(), problem_.n, grain_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        rows[i] = forward_row(all + i * classes, labels.data()[i], classes, probabilities.data() + i * classes);
      }
    });
    double loss = 0.0;
    std::int64_t top1 = 0, top5 = 0;
    for (int i = 0; i < problem_.n; ++i) {
      loss += rows[i].loss;
      top1 += rows[i].rank < 1 ? 1 : 0;
      top5 += rows[i].rank < kTopRanks ? 1 : 0;
    }
    sums.data()[SoftmaxCrossEntropy::loss_sum] = static_cast<float>(loss);
    sums.data()[SoftmaxCrossEntropy::top1_count] = static_cast<float>(top1);
    sums.data()[SoftmaxCrossEntropy::top5_count] = static_cast<float>(top5);
  }

 private:
  std::size_t workspace_bytes() const { return static_cast<std::size_t>(problem_.n) * sizeof(RowResult); }

  SoftmaxCrossEntropy::Problem problem_;
  std::int64_t grain_;
};

class SoftmaxCrossEntropyBackwardKernel final : public SoftmaxCrossEntropy::Kernel {
 public:
  SoftmaxCrossEntropyBackwardKernel(Exec&, const SoftmaxCrossEntropy::Problem& problem)
      : problem_(problem), grain_(min_rows_per_thread(problem)) {}

  void backward(Exec& exec, ConstSpan<float> probabilities, Labels labels, ConstSpan<float> gradient_scale,
                Out dlogits) override {
    float* all = elements<float>(dlogits, "softmax_cross_entropy: dlogits");
    const float scale = *gradient_scale.data();
    const std::int64_t classes = problem_.classes;
    parallel_for(exec.threads(), problem_.n, grain_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float* p = probabilities.data() + i * classes;
        float* d = all + i * classes;
        for (std::int64_t j = 0; j < classes; ++j) d[j] = scale * p[j];
        const std::int32_t label = labels.data()[i];
        d[label] = scale * (p[label] - 1.0F);
      }
    });
  }

 private:
  SoftmaxCrossEntropy::Problem problem_;
  std::int64_t grain_;
};

}  // namespace

std::unique_ptr<SoftmaxCrossEntropy::Kernel> make(Exec& exec, const SoftmaxCrossEntropy::Problem& problem,
                                                  SoftmaxCrossEntropy::Pass pass, const Isa& isa) {
  if (problem.type == DType::bfloat16) return make_converted(exec, problem, pass, isa);
  return make_by_pass<SoftmaxCrossEntropy, SoftmaxCrossEntropyForwardKernel, SoftmaxCrossEntropyBackwardKernel>(pass, exec,
                                                                                                                problem);
}

}  // namespace apam::kernels::cpu

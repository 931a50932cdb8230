// Softmax with cross-entropy. A row is 10 to 1000 logits and a batch 100 rows: nothing beside a convolution, so this is
// plain scalar code, rows over threads. The largest logit is subtracted first; sums are in double and in the order of rows.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

constexpr std::int64_t kCounted = 5;  // ranks that count at all

/// What one row adds to the sums.
struct RowResult {
  double loss;
  std::int64_t rank;  // of the label; more than all classes where it has none
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
    if (!(logits[j] <= own) || (logits[j] == own && j < label)) ++rank;  // NaN is not below anything
  }
  if (!std::isfinite(own)) rank = classes + kCounted;
  const double inverse = 1.0 / sum;
  for (std::int64_t j = 0; j < classes; ++j) probabilities[j] = static_cast<float>(double{probabilities[j]} * inverse);
  return {std::log(sum) - (double{own} - double{largest}), rank};
}

/// Rows that a thread takes at least.
std::int64_t rows_at_least(const SoftmaxCrossEntropy::Problem& problem) {
  return std::max(1, 1024 / std::max(1, problem.classes));
}

class ForwardKernel final : public SoftmaxCrossEntropy::Kernel {
 public:
  ForwardKernel(Exec& exec, const SoftmaxCrossEntropy::Problem& problem) : problem_(problem), grain_(rows_at_least(problem)) {
    exec.reserve_workspace(workspace_bytes());
  }

  void forward(Exec& exec, In logits, Labels labels, Out probabilities, Out sums) override {
    auto* rows = reinterpret_cast<RowResult*>(exec.workspace(workspace_bytes()));
    const std::int64_t classes = problem_.classes;
    parallel_for(exec.threads(), problem_.n, grain_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        rows[i] = forward_row(logits.data() + i * classes, labels.data()[i], classes, probabilities.data() + i * classes);
      }
    });
    double loss = 0.0;
    std::int64_t top1 = 0, top5 = 0;
    for (int i = 0; i < problem_.n; ++i) {
      loss += rows[i].loss;
      top1 += rows[i].rank < 1 ? 1 : 0;
      top5 += rows[i].rank < kCounted ? 1 : 0;
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

class BackwardKernel final : public SoftmaxCrossEntropy::Kernel {
 public:
  BackwardKernel(Exec&, const SoftmaxCrossEntropy::Problem& problem) : problem_(problem), grain_(rows_at_least(problem)) {}

  void backward(Exec& exec, In probabilities, Labels labels, float scale, Out dlogits) override {
    const std::int64_t classes = problem_.classes;
    parallel_for(exec.threads(), problem_.n, grain_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float* p = probabilities.data() + i * classes;
        float* d = dlogits.data() + i * classes;
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
                                                  SoftmaxCrossEntropy::Pass pass, const Isa&) {
  return make_by_pass<SoftmaxCrossEntropy, ForwardKernel, BackwardKernel>(pass, exec, problem);
}

}  // namespace apam::kernels::cpu

// Softmax with cross-entropy, one warp per row:
//   p[i,j] = exp(logits[i,j] - largest_i) / total_i;   loss_i = log(total_i) - (logits[i,label_i] - largest_i)
// A row's loss, and whether its label ranks first or among the first five, go to the workspace; the last block (last_block.h)
// adds them in a fixed order. The largest logit is taken over those that are not NaN: a NaN, an infinite logit, or only -Inf
// then make total_i, and with it the whole row, NaN. dlogits[i,j] = scale * (p[i,j] - [j == label_i]), one thread per element.
#include <limits>

#include "kernels/cuda/elements.h"
#include "kernels/cuda/last_block.h"
#include "kernels/cuda/make.h"
#include "kernels/cuda/operands.h"
#include "kernels/cuda/reductions.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max(), kInfinity = std::numeric_limits<float>::infinity();

/// What one row adds to the sums.
struct RowResult {
  float loss, first, among_five;
};

template <class T>
struct Rows {
  struct Args {
    const T* logits;             // (N, classes)
    const std::int32_t* labels;  // (N)
    float* probabilities;        // (N, classes)
    RowResult* results;          // (N)
    std::uint32_t* counter;
    float* sums;  // (3)
    int n, classes;
  };
  static constexpr int threads = 128, min_blocks = 8;
  static constexpr std::uint32_t shared_bytes = threads / 32 * sizeof(float);

  DEVICE static void run(const Args& args, SharedBytes shared) {
    const int row = block().x * (threads / 32) + warp();
    if (row < args.n) compute_row(args, row);  // the whole warp
    if (is_last(args.counter, blocks().x, shared.array<int>(0, 1))) add_rows(args, shared);
  }

 private:
  DEVICE static void compute_row(const Args& args, int row) {
    const std::int64_t first = std::int64_t{row} * args.classes;
    const T* logits = args.logits + first;
    const int label = args.labels[row];
    const float own = to_float(logits[label]);
    float largest = -kInfinity, above = 0;  // above: classes that rank higher than the label
    for (int j = lane(); j < args.classes; j += 32) {
      const float x = to_float(logits[j]);
      largest = fmaxf(largest, x);
      above += !(x <= own) || (x == own && j < label) ? 1 : 0;
    }
    largest = warp_max(largest);
    above = warp_sum(above);
    float total = 0;
    for (int j = lane(); j < args.classes; j += 32) total += expf(to_float(logits[j]) - largest);
    total = warp_sum(total);
    for (int j = lane(); j < args.classes; j += 32) {
      args.probabilities[first + j] = expf(to_float(logits[j]) - largest) / total;
    }
    if (lane() != 0) return;
    const bool ranked = fabsf(own) <= kLargest;
    args.results[row] = {logf(total) - (own - largest), ranked && above < 1 ? 1.0F : 0.0F, ranked && above < 5 ? 1.0F : 0.0F};
  }

  DEVICE static void add_rows(const Args& args, SharedBytes shared) {
    const auto scratch = shared.array<float>(0, threads / 32);
    float loss = 0, first = 0, among_five = 0;
    for (int row = thread(); row < args.n; row += threads) {
      const RowResult result = args.results[row];
      loss += result.loss;
      first += result.first;
      among_five += result.among_five;
    }
    loss = block_sum<threads>(loss, scratch);
    first = block_sum<threads>(first, scratch);
    among_five = block_sum<threads>(among_five, scratch);
    if (thread() != 0) return;
    args.sums[SoftmaxCrossEntropy::loss_sum] = loss;
    args.sums[SoftmaxCrossEntropy::top1_count] = first;
    args.sums[SoftmaxCrossEntropy::top5_count] = among_five;
  }
};

template <class T>
struct Backward {
  struct Args {
    const float* probabilities;  // (N, classes)
    const std::int32_t* labels;  // (N)
    const float* scale;          // (1)
    T* dlogits;                  // (N, classes)
    int classes;
    std::int64_t size;
  };
  static constexpr int threads = 256, min_blocks = 4;
  static constexpr std::uint32_t shared_bytes = 0;

  DEVICE static void run(const Args& args) {
    const std::int64_t i = std::int64_t{block().x} * threads + thread();
    if (i >= args.size) return;
    const std::int64_t row = i / args.classes;
    const float target = i - row * args.classes == args.labels[row] ? 1 : 0;
    args.dlogits[i] = Rounded<T>::of(args.scale[0] * (args.probabilities[i] - target));
  }
};

template <class T>
class ForwardKernel final : public SoftmaxCrossEntropy::Kernel {
 public:
  ForwardKernel(Exec& exec, const SoftmaxCrossEntropy::Problem& problem)
      : problem_(problem), results_(workspace_.add<RowResult>(problem.n)), counter_(exec, 1) {
    exec.reserve_workspace(workspace_.bytes());
  }

  void forward(Exec& exec, In logits, Labels labels, Span<float> probabilities, Span<float> sums) override {
    RowResult* results = results_.in(exec.workspace(workspace_.bytes()));
    launch<Rows<T>>(exec, {blocks_for(problem_.n, Rows<T>::threads / 32)},
                    {elements<T>(logits, "softmax_cross_entropy: logits"), labels.data(), probabilities.data(), results,
                     counter_.data(), sums.data(), problem_.n, problem_.classes});
  }

 private:
  SoftmaxCrossEntropy::Problem problem_;
  WorkspacePlan workspace_{kWorkspaceAlignment};
  Region<RowResult> results_;
  Counters counter_;
};

template <class T>
class BackwardKernel final : public SoftmaxCrossEntropy::Kernel {
 public:
  BackwardKernel(Exec&, const SoftmaxCrossEntropy::Problem& problem) : problem_(problem) {}

  void backward(Exec& exec, ConstSpan<float> probabilities, Labels labels, ConstSpan<float> scale, Out dlogits) override {
    const auto size = static_cast<std::int64_t>(problem_.size());
    launch<Backward<T>>(exec, {blocks_for(size, Backward<T>::threads)},
                        {probabilities.data(), labels.data(), scale.data(),
                         elements<T>(dlogits, "softmax_cross_entropy: dlogits"), problem_.classes, size});
  }

 private:
  SoftmaxCrossEntropy::Problem problem_;
};

}  // namespace

std::unique_ptr<SoftmaxCrossEntropy::Kernel> make(Exec& exec, const SoftmaxCrossEntropy::Problem& problem,
                                                  SoftmaxCrossEntropy::Pass pass, Target) {
  return with_storage(problem.type, [&]<class T>() {
    return make_by_pass<SoftmaxCrossEntropy, ForwardKernel<T>, BackwardKernel<T>>(pass, exec, problem);
  });
}

}  // namespace apam::kernels::cuda

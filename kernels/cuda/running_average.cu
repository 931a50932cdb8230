// running += momentum * (batch - running), element by element: pointwise.h.
#include "kernels/cuda/make.h"
#include "kernels/cuda/pointwise.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {
namespace {

struct Approach {
  static constexpr int operands = 2;
  float momentum;
  DEVICE float operator()(float batch, float running) const { return running + momentum * (batch - running); }
};

class UpdateKernel final : public RunningAverage::Kernel {
 public:
  explicit UpdateKernel(const RunningAverage::Problem& problem) : size_(problem.size) {}
  void update(Exec& exec, float momentum, ConstSpan<float> batch, Span<float> running) override {
    compute_pointwise<float, float>(exec, Approach{momentum}, batch.data(), running.data(), running.data(), size_);
  }

 private:
  std::int64_t size_;
};

}  // namespace

std::unique_ptr<RunningAverage::Kernel> make(Exec&, const RunningAverage::Problem& problem, RunningAverage::Pass pass, Target) {
  return make_by_pass<RunningAverage, UpdateKernel>(pass, problem);
}

}  // namespace apam::kernels::cuda

// y = a + b, element by element: pointwise.h.
#include "kernels/cuda/make.h"
#include "kernels/cuda/pointwise.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {
namespace {

struct Sum {
  static constexpr int operands = 2;
  DEVICE float operator()(float a, float b) const { return a + b; }
};

template <class T>
class ForwardKernel final : public Add::Kernel {
 public:
  explicit ForwardKernel(const Add::Problem& problem) : size_(problem.size) {}
  void forward(Exec& exec, In a, In b, Out y) override {
    const T *as = elements<T>(a, "add: a"), *bs = elements<T>(b, "add: b");
    compute_pointwise<T, T>(exec, Sum(), as, bs, elements<T>(y, "add: y"), size_);
  }

 private:
  std::int64_t size_;
};

}  // namespace

std::unique_ptr<Add::Kernel> make(Exec&, const Add::Problem& problem, Add::Pass pass, Target) {
  return with_storage(problem.type, [&]<class T>() { return make_by_pass<Add, ForwardKernel<T>>(pass, problem); });
}

}  // namespace apam::kernels::cuda

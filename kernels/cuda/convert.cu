// y = x in another type, element by element: pointwise.h.
#include "kernels/cuda/convert.h"

#include "kernels/cuda/make.h"
#include "kernels/cuda/pointwise.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {
namespace {

struct Same {
  static constexpr int operands = 1;
  DEVICE float operator()(float x, float) const { return x; }
};

template <class From, class To>
class ForwardKernel final : public Convert::Kernel {
 public:
  explicit ForwardKernel(const Convert::Problem& problem) : size_(problem.size) {}
  void forward(Exec& exec, In x, Out y) override {
    const From* xs = elements<From>(x, "convert: x");
    compute_pointwise<From, To>(exec, Same(), xs, nullptr, elements<To>(y, "convert: y"), size_);
  }

 private:
  std::int64_t size_;
};

}  // namespace

void convert(Exec& exec, const float* from, BFloat16* to, std::int64_t size, Target) {
  compute_pointwise<float, BFloat16>(exec, Same(), from, nullptr, to, size);
}

std::unique_ptr<Convert::Kernel> make(Exec&, const Convert::Problem& problem, Convert::Pass pass, Target) {
  return with_storage(problem.from, [&]<class From>() {
    return with_storage(problem.to, [&]<class To>() { return make_by_pass<Convert, ForwardKernel<From, To>>(pass, problem); });
  });
}

}  // namespace apam::kernels::cuda

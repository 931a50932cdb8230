// y = factor * x, element by element: pointwise.h.
#include "kernels/cuda/make.h"
#include "kernels/cuda/pointwise.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {
namespace {

struct Product {
  static constexpr int operands = 1;
  float factor;
  DEVICE float operator()(float x, float) const { return factor * x; }
};

template <class T>
class ForwardKernel final : public Scale::Kernel {
 public:
  explicit ForwardKernel(const Scale::Problem& problem) : problem_(problem) {}
  void forward(Exec& exec, In x, Out y) override {
    const T* xs = elements<T>(x, "scale: x");
    compute_pointwise<T, T>(exec, Product{problem_.factor}, xs, nullptr, elements<T>(y, "scale: y"), problem_.size);
  }

 private:
  Scale::Problem problem_;
};

}  // namespace

std::unique_ptr<Scale::Kernel> make(Exec&, const Scale::Problem& problem, Scale::Pass pass, Target) {
  return with_storage(problem.type, [&]<class T>() { return make_by_pass<Scale, ForwardKernel<T>>(pass, problem); });
}

}  // namespace apam::kernels::cuda

// y = max(0, x), NaN where x is NaN; dx = 0 where y <= 0, else dy. Element by element: pointwise.h.
#include "kernels/cuda/make.h"
#include "kernels/cuda/pointwise.h"

#include <simt/macros.h>

namespace apam::kernels::cuda {
namespace {

struct Rectify {
  static constexpr int operands = 1;
  DEVICE float operator()(float x, float) const { return rectified(x); }
};

struct Gate {
  static constexpr int operands = 2;
  DEVICE float operator()(float dy, float y) const { return y <= 0 ? 0 : dy; }
};

template <class T>
class ForwardKernel final : public Relu::Kernel {
 public:
  explicit ForwardKernel(const Relu::Problem& problem) : size_(problem.size) {}
  void forward(Exec& exec, In x, Out y) override {
    const T* xs = elements<T>(x, "relu: x");
    compute_pointwise<T, T>(exec, Rectify(), xs, nullptr, elements<T>(y, "relu: y"), size_);
  }

 private:
  std::int64_t size_;
};

template <class T>
class BackwardKernel final : public Relu::Kernel {
 public:
  explicit BackwardKernel(const Relu::Problem& problem) : size_(problem.size) {}
  void backward(Exec& exec, In dy, In y, Out dx, Write write) override {
    const T *dys = elements<T>(dy, "relu: dy"), *ys = elements<T>(y, "relu: y");
    compute_pointwise<T, T>(exec, Gate(), dys, ys, elements<T>(dx, "relu: dx"), size_, write);
  }

 private:
  std::int64_t size_;
};

}  // namespace

std::unique_ptr<Relu::Kernel> make(Exec&, const Relu::Problem& problem, Relu::Pass pass, Target) {
  return with_storage(problem.type,
                      [&]<class T>() { return make_by_pass<Relu, ForwardKernel<T>, BackwardKernel<T>>(pass, problem); });
}

}  // namespace apam::kernels::cuda

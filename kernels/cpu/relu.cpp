// y = max(0, x); dx = 0 where y <= 0, else dy; one contiguous range per thread.
#include "kernels/cpu/elements.h"
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

template <class T>
class ReluForwardKernel final : public Relu::Kernel {
 public:
  ReluForwardKernel(const Relu::Problem& problem, const Isa& isa)
      : size_(problem.size), kernels_(activation_kernels_of<T>(isa).pointwise) {}

  void forward(Exec& exec, In x, Out y) override {
    const T* xs = elements<T>(x, "relu: x");
    T* ys = elements<T>(y, "relu: y");
    parallel_for(exec.threads(), size_, kPointwiseGrain,
                 [&](std::int64_t begin, std::int64_t end) { kernels_.relu(xs + begin, ys + begin, end - begin); });
  }

 private:
  std::int64_t size_;
  const PointwiseKernels<T>& kernels_;
};

template <class T>
class ReluBackwardKernel final : public Relu::Kernel {
 public:
  ReluBackwardKernel(const Relu::Problem& problem, const Isa& isa)
      : size_(problem.size), kernels_(activation_kernels_of<T>(isa).pointwise) {}

  void backward(Exec& exec, In dy, In y, Out dx, Write write) override {
    const T *dys = elements<T>(dy, "relu: dy"), *ys = elements<T>(y, "relu: y");
    T* dxs = elements<T>(dx, "relu: dx");
    parallel_for(exec.threads(), size_, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      kernels_.relu_backward(dys + begin, ys + begin, dxs + begin, write == Write::add, end - begin);
    });
  }

 private:
  std::int64_t size_;
  const PointwiseKernels<T>& kernels_;
};

}  // namespace

std::unique_ptr<Relu::Kernel> make(Exec&, const Relu::Problem& problem, Relu::Pass pass, const Isa& isa) {
  return with_storage(problem.type, [&]<class T>() {
    return make_by_pass<Relu, ReluForwardKernel<T>, ReluBackwardKernel<T>>(pass, problem, isa);
  });
}

}  // namespace apam::kernels::cpu

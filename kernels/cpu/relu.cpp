// y = max(0, x); dx = 0 where y <= 0, else dy; one contiguous range per thread.
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

class ForwardKernel final : public Relu::Kernel {
 public:
  ForwardKernel(const Relu::Problem& problem, const Isa& isa) : size_(problem.size), kernels_(isa.pointwise) {}

  void forward(Exec& exec, In x, Out y) override {
    parallel_for(exec.threads(), size_, kPointwiseGrain,
                 [&](std::int64_t begin, std::int64_t end) { kernels_.relu(x.data() + begin, y.data() + begin, end - begin); });
  }

 private:
  std::int64_t size_;
  const PointwiseKernels& kernels_;
};

class BackwardKernel final : public Relu::Kernel {
 public:
  BackwardKernel(const Relu::Problem& problem, const Isa& isa) : size_(problem.size), kernels_(isa.pointwise) {}

  void backward(Exec& exec, In dy, In y, Out dx, Write write) override {
    parallel_for(exec.threads(), size_, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      kernels_.relu_backward(dy.data() + begin, y.data() + begin, dx.data() + begin, write == Write::add, end - begin);
    });
  }

 private:
  std::int64_t size_;
  const PointwiseKernels& kernels_;
};

}  // namespace

std::unique_ptr<Relu::Kernel> make(Exec&, const Relu::Problem& problem, Relu::Pass pass, const Isa& isa) {
  return make_by_pass<Relu, ForwardKernel, BackwardKernel>(pass, problem, isa);
}

}  // namespace apam::kernels::cpu

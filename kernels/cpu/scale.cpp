// y = factor * x; one contiguous range per thread.
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

class ScaleKernel final : public Scale::Kernel {
 public:
  ScaleKernel(const Scale::Problem& problem, const Isa& isa) : problem_(problem), kernels_(isa.pointwise) {}

  void forward(Exec& exec, In x, Out y) override {
    parallel_for(exec.threads(), problem_.size, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      kernels_.scale(problem_.factor, x.data() + begin, y.data() + begin, end - begin);
    });
  }

 private:
  Scale::Problem problem_;
  const PointwiseKernels& kernels_;
};

}  // namespace

std::unique_ptr<Scale::Kernel> make(Exec&, const Scale::Problem& problem, Scale::Pass, const Isa& isa) {
  return std::make_unique<ScaleKernel>(problem, isa);
}

}  // namespace apam::kernels::cpu

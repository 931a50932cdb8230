// y = factor * x; one contiguous range per thread.
#include "kernels/cpu/elements.h"
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

template <class T>
class ScaleKernel final : public Scale::Kernel {
 public:
  ScaleKernel(const Scale::Problem& problem, const Isa& isa)
      : problem_(problem), kernels_(activation_kernels_of<T>(isa).pointwise) {}

  void forward(Exec& exec, In x, Out y) override {
    const T* xs = elements<T>(x, "scale: x");
    T* ys = elements<T>(y, "scale: y");
    parallel_for(exec.threads(), problem_.size, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      kernels_.scale(problem_.factor, xs + begin, ys + begin, end - begin);
    });
  }

 private:
  Scale::Problem problem_;
  const PointwiseKernels<T>& kernels_;
};

}  // namespace

std::unique_ptr<Scale::Kernel> make(Exec&, const Scale::Problem& problem, Scale::Pass, const Isa& isa) {
  return with_storage(problem.type, [&]<class T>() -> std::unique_ptr<Scale::Kernel> {
    return std::make_unique<ScaleKernel<T>>(problem, isa);
  });
}

}  // namespace apam::kernels::cpu

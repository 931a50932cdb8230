// y = a + b; one contiguous range per thread.
#include "kernels/cpu/elements.h"
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

template <class T>
class AddKernel final : public Add::Kernel {
 public:
  AddKernel(const Add::Problem& problem, const Isa& isa)
      : size_(problem.size), kernels_(activation_kernels_of<T>(isa).pointwise) {}

  void forward(Exec& exec, In a, In b, Out y) override {
    const T *as = elements<T>(a, "add: a"), *bs = elements<T>(b, "add: b");
    T* ys = elements<T>(y, "add: y");
    parallel_for(exec.threads(), size_, kPointwiseGrain,
                 [&](std::int64_t begin, std::int64_t end) { kernels_.add(as + begin, bs + begin, ys + begin, end - begin); });
  }

 private:
  std::int64_t size_;
  const PointwiseKernels<T>& kernels_;
};

}  // namespace

std::unique_ptr<Add::Kernel> make(Exec&, const Add::Problem& problem, Add::Pass, const Isa& isa) {
  return with_storage(problem.type,
                      [&]<class T>() -> std::unique_ptr<Add::Kernel> { return std::make_unique<AddKernel<T>>(problem, isa); });
}

}  // namespace apam::kernels::cpu

// y = a + b; one contiguous range per thread.
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

class AddKernel final : public Add::Kernel {
 public:
  AddKernel(const Add::Problem& problem, const Isa& isa) : size_(problem.size), kernels_(isa.pointwise) {}

  void forward(Exec& exec, In a, In b, Out y) override {
    parallel_for(exec.threads(), size_, kPointwiseGrain, [&](std::int64_t begin, std::int64_t end) {
      kernels_.add(a.data() + begin, b.data() + begin, y.data() + begin, end - begin);
    });
  }

 private:
  std::int64_t size_;
  const PointwiseKernels& kernels_;
};

}  // namespace

std::unique_ptr<Add::Kernel> make(Exec&, const Add::Problem& problem, Add::Pass, const Isa& isa) {
  return std::make_unique<AddKernel>(problem, isa);
}

}  // namespace apam::kernels::cpu

// y = x in another type; one contiguous range per thread.
#include "kernels/cpu/elements.h"
#include "kernels/cpu/make.h"
#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {
namespace {

class ConvertKernel final : public Convert::Kernel {
 public:
  ConvertKernel(const Convert::Problem& problem, const Isa& isa) : problem_(problem), isa_(isa) {
    require<KernelError>(problem.from != problem.to, "convert: {} has nothing to convert", problem.describe());
  }

  void forward(Exec& exec, In x, Out y) override {
    if (problem_.to == DType::bfloat16) {
      run(exec, isa_.bfloat16.pointwise.from_float, elements<float>(x, "convert: x"), elements<Bits16>(y, "convert: y"));
    } else {
      run(exec, isa_.bfloat16.pointwise.to_float, elements<Bits16>(x, "convert: x"), elements<float>(y, "convert: y"));
    }
  }

 private:
  template <class From, class To>
  void run(Exec& exec, void (*convert)(const From*, To*, std::int64_t), const From* x, To* y) const {
    parallel_for(exec.threads(), problem_.size, kPointwiseGrain,
                 [=](std::int64_t begin, std::int64_t end) { convert(x + begin, y + begin, end - begin); });
  }

  Convert::Problem problem_;
  const Isa& isa_;
};

}  // namespace

std::unique_ptr<Convert::Kernel> make(Exec&, const Convert::Problem& problem, Convert::Pass, const Isa& isa) {
  return std::make_unique<ConvertKernel>(problem, isa);
}

}  // namespace apam::kernels::cpu

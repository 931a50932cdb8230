#include "kernels/reference/scale.h"

#include "kernels/reference/naive.h"
#include "kernels/reference/scale_sample.h"

namespace apam::kernels {
namespace reference {

class ScaleForward final : public Naive<Scale> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, Out y) override {
    scale_forward(problem_, FloatsIn(x, problem_.type, "scale: x").data(), FloatsOut(y, problem_.type, "scale: y").data());
  }
};

template <>
struct KernelsOf<Scale> : ByPass<ScaleForward> {};
template std::unique_ptr<Scale::Kernel> make<Scale>(const Scale::Problem&, Scale::Pass);

}  // namespace reference

template class SampleInputs<Scale>;

}  // namespace apam::kernels

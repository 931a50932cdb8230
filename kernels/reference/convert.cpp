#include "kernels/reference/convert.h"

#include "kernels/reference/convert_sample.h"
#include "kernels/reference/naive.h"

namespace apam::kernels {
namespace reference {

class ConvertForward final : public Naive<Convert> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, Out y) override {
    convert_forward(problem_, FloatsIn(x, problem_.from, "convert: x").data(), FloatsOut(y, problem_.to, "convert: y").data());
  }
};

template <>
struct KernelsOf<Convert> : ByPass<ConvertForward> {};
template std::unique_ptr<Convert::Kernel> make<Convert>(const Convert::Problem&, Convert::Pass);

}  // namespace reference

template class SampleInputs<Convert>;

}  // namespace apam::kernels

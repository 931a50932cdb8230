#include "kernels/reference/add.h"

#include "kernels/reference/add_sample.h"
#include "kernels/reference/naive.h"

namespace apam::kernels {
namespace reference {

class AddForward final : public Naive<Add> {
 public:
  using Naive::Naive;
  void forward(Exec&, In a, In b, Out y) override {
    add_forward(problem_, FloatsIn(a, problem_.type, "add: a").data(), FloatsIn(b, problem_.type, "add: b").data(),
                FloatsOut(y, problem_.type, "add: y").data());
  }
};

template <>
struct KernelsOf<Add> : ByPass<AddForward> {};
template std::unique_ptr<Add::Kernel> make<Add>(const Add::Problem&, Add::Pass);

}  // namespace reference

template class SampleInputs<Add>;

}  // namespace apam::kernels

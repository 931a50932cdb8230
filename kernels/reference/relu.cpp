#include "kernels/reference/relu.h"

#include "kernels/reference/naive.h"
#include "kernels/reference/relu_sample.h"

namespace apam::kernels {
namespace reference {

class ReluForward final : public Naive<Relu> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, Out y) override {
    relu_forward(problem_, FloatsIn(x, problem_.type, "relu: x").data(), FloatsOut(y, problem_.type, "relu: y").data());
  }
};

class ReluBackward final : public Naive<Relu> {
 public:
  using Naive::Naive;
  void backward(Exec&, In dy, In y, Out dx, Write write) override {
    relu_backward(problem_, FloatsIn(dy, problem_.type, "relu: dy").data(), FloatsIn(y, problem_.type, "relu: y").data(),
                  FloatsOut(dx, problem_.type, "relu: dx").data(), write);
  }
};

template <>
struct KernelsOf<Relu> : ByPass<ReluForward, ReluBackward> {};
template std::unique_ptr<Relu::Kernel> make<Relu>(const Relu::Problem&, Relu::Pass);

}  // namespace reference

template class SampleInputs<Relu>;

}  // namespace apam::kernels

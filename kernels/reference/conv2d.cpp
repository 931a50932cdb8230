#include "kernels/reference/conv2d.h"

#include "kernels/reference/conv2d_sample.h"
#include "kernels/reference/naive.h"

namespace apam::kernels {
namespace reference {

class Conv2dForward final : public Naive<Conv2d> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, const Weights& w, Out y) override {
    conv2d_forward(problem_, FloatsIn(x, problem_.type, "conv2d: x").data(), FloatsIn(w.values, problem_.type).data(),
                   FloatsOut(y, problem_.type, "conv2d: y").data());
  }
};

class Conv2dBackwardInput final : public Naive<Conv2d> {
 public:
  using Naive::Naive;
  void backward_input(Exec&, In dy, const Weights& w, Out dx, Write write) override {
    conv2d_backward_input(problem_, FloatsIn(dy, problem_.type, "conv2d: dy").data(), FloatsIn(w.values, problem_.type).data(),
                          FloatsOut(dx, problem_.type, "conv2d: dx").data(), write);
  }
};

class Conv2dBackwardWeight final : public Naive<Conv2d> {
 public:
  using Naive::Naive;
  void backward_weight(Exec&, In x, In dy, Span<float> dw, Write write) override {
    conv2d_backward_weight(problem_, FloatsIn(x, problem_.type, "conv2d: x").data(),
                           FloatsIn(dy, problem_.type, "conv2d: dy").data(), dw.data(), write);
  }
};

template <>
struct KernelsOf<Conv2d> : ByPass<Conv2dForward, Conv2dBackwardInput, Conv2dBackwardWeight> {};
template std::unique_ptr<Conv2d::Kernel> make<Conv2d>(const Conv2d::Problem&, Conv2d::Pass);

}  // namespace reference

template class SampleInputs<Conv2d>;

}  // namespace apam::kernels

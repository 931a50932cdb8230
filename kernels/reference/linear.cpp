#include "kernels/reference/linear.h"

#include "kernels/reference/linear_sample.h"
#include "kernels/reference/naive.h"

namespace apam::kernels {
namespace reference {

class LinearForward final : public Naive<Linear> {
 public:
  using Naive::Naive;
  void forward(Exec&, In x, const Weights& w, ConstSpan<float> b, Out y) override {
    linear_forward(problem_, FloatsIn(x, problem_.type, "linear: x").data(), FloatsIn(w.values, problem_.type).data(), b.data(),
                   FloatsOut(y, problem_.type, "linear: y").data());
  }
};

class LinearBackwardInput final : public Naive<Linear> {
 public:
  using Naive::Naive;
  void backward_input(Exec&, In dy, const Weights& w, Out dx, Write write) override {
    linear_backward_input(problem_, FloatsIn(dy, problem_.type, "linear: dy").data(), FloatsIn(w.values, problem_.type).data(),
                          FloatsOut(dx, problem_.type, "linear: dx").data(), write);
  }
};

class LinearBackwardWeight final : public Naive<Linear> {
 public:
  using Naive::Naive;
  void backward_weight(Exec&, In x, In dy, Span<float> dw, Span<float> db, Write write) override {
    linear_backward_weight(problem_, FloatsIn(x, problem_.type, "linear: x").data(),
                           FloatsIn(dy, problem_.type, "linear: dy").data(), dw.data(), db.data(), write);
  }
};

template <>
struct KernelsOf<Linear> : ByPass<LinearForward, LinearBackwardInput, LinearBackwardWeight> {};
template std::unique_ptr<Linear::Kernel> make<Linear>(const Linear::Problem&, Linear::Pass);

}  // namespace reference

template class SampleInputs<Linear>;

}  // namespace apam::kernels

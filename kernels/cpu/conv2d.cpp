// Convolution: which of our methods computes which pass of a problem. The direct products serve them all.
#include "kernels/cpu/conv2d_direct.h"
#include "kernels/cpu/make.h"

namespace apam::kernels::cpu {
namespace {

class Conv2dKernel final : public Conv2d::Kernel {
 public:
  Conv2dKernel(Exec& exec, const Conv2d::Problem& problem, const Isa& isa)
      : forward_(exec, forward_shape(problem), isa),
        backward_input_(exec, backward_input_shape(problem), isa),
        backward_weight_(exec, backward_weight_shape(problem), isa) {}

  void forward(Exec& exec, In x, In w, Out y) override { forward_.run(exec, x.data(), w.data(), false, y.data()); }

  void backward_input(Exec& exec, In dy, In w, Out dx, Write write) override {
    backward_input_.run(exec, dy.data(), w.data(), write == Write::add, dx.data());
  }

  void backward_weight(Exec& exec, In x, In dy, Out dw, Write write) override {
    backward_weight_.run(exec, x.data(), dy.data(), write == Write::add, dw.data());
  }

 private:
  GatherProduct forward_, backward_input_;
  WeightProduct backward_weight_;
};

}  // namespace

std::unique_ptr<Conv2d::Kernel> make(Exec& exec, const Conv2d::Problem& problem, const Isa& isa) {
  return std::make_unique<Conv2dKernel>(exec, problem, isa);
}

}  // namespace apam::kernels::cpu

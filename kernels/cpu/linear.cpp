// Fully connected layer, computed as a 1x1 convolution of one-pixel images. y is initialised with the bias.
#include <algorithm>

#include "kernels/cpu/conv2d_direct.h"
#include "kernels/cpu/converted.h"
#include "kernels/cpu/elements.h"
#include "kernels/cpu/make.h"

namespace apam::kernels::cpu {
namespace {

Conv2d::Problem as_convolution(const Linear::Problem& problem) {
  return {.n = problem.n, .h = 1, .w = 1, .c = problem.c, .k = problem.k, .r = 1, .s = 1};
}

class LinearForwardKernel final : public Linear::Kernel {
 public:
  LinearForwardKernel(Exec& exec, const Linear::Problem& problem, const Isa& isa)
      : problem_(problem), product_(exec, forward_shape(as_convolution(problem)), isa) {}

  void forward(Exec& exec, In x, const Weights& w, ConstSpan<float> b, Out y) override {
    float* ys = elements<float>(y, "linear: y");
    for (int i = 0; i < problem_.n; ++i) std::copy_n(b.data(), problem_.k, ys + std::int64_t{i} * problem_.k);
    product_.run(exec, elements<float>(x, "linear: x"), w.data(), true, ys);
  }

 private:
  Linear::Problem problem_;
  GatherProduct product_;
};

class LinearBackwardInputKernel final : public Linear::Kernel {
 public:
  LinearBackwardInputKernel(Exec& exec, const Linear::Problem& problem, const Isa& isa)
      : product_(exec, backward_input_shape(as_convolution(problem)), isa) {}

  void backward_input(Exec& exec, In dy, const Weights& w, Out dx, Write write) override {
    product_.run(exec, elements<float>(dy, "linear: dy"), w.data(), write == Write::add, elements<float>(dx, "linear: dx"));
  }

 private:
  GatherProduct product_;
};

class LinearBackwardWeightKernel final : public Linear::Kernel {
 public:
  LinearBackwardWeightKernel(Exec& exec, const Linear::Problem& problem, const Isa& isa)
      : problem_(problem), product_(exec, backward_weight_shape(as_convolution(problem)), isa) {}

  void backward_weight(Exec& exec, In x, In dy, Span<float> dw, Span<float> db, Write write) override {
    const float* dys = elements<float>(dy, "linear: dy");
    product_.run(exec, elements<float>(x, "linear: x"), dys, write == Write::add, dw.data());
    for (int k = 0; k < problem_.k; ++k) {
      double sum = 0.0;
      for (int i = 0; i < problem_.n; ++i) sum += double{dys[std::int64_t{i} * problem_.k + k]};
      db.data()[k] = static_cast<float>(write == Write::add ? double{db.data()[k]} + sum : sum);
    }
  }

 private:
  Linear::Problem problem_;
  WeightProduct product_;
};

}  // namespace

std::unique_ptr<Linear::Kernel> make(Exec& exec, const Linear::Problem& problem, Linear::Pass pass, const Isa& isa) {
  if (problem.type == DType::bfloat16) return make_converted(exec, problem, pass, isa);
  return make_by_pass<Linear, LinearForwardKernel, LinearBackwardInputKernel, LinearBackwardWeightKernel>(pass, exec, problem,
                                                                                                          isa);
}

}  // namespace apam::kernels::cpu

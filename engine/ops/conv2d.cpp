#include "kernels/ops/conv2d.h"

#include "engine/ops/ops.h"

namespace apam::engine {
namespace {

using Conv2dOp = kernels::Conv2d;

class Conv2dNode final : public Node {
 public:
  Conv2dNode(const Conv2dOp::Problem& problem, const Var& x, ParameterId weight, const Var& y)
      : problem_(problem), x_(x), dx_(x), weight_(weight), dy_(y) {}

  void backward(Tape& tape) override {
    if (!tape.has_gradient(dy_)) return;
    Exec& exec = tape.exec();
    const In dy = tape.gradient(dy_);  // (N, P, Q, K)
    const auto dw = tape.sink(weight_);
    kernels::kernel<Conv2dOp>(exec, problem_, Conv2dOp::Pass::backward_weight)
        ->backward_weight(exec, x_.data(), dy, dw.data, dw.write);
    if (!dx_.needs_gradient()) return;
    const kernels::Weights w = tape.weights(weight_);  // (K, R, S, C)
    const auto dx = tape.sink(dx_);
    kernels::kernel<Conv2dOp>(exec, problem_, Conv2dOp::Pass::backward_input)->backward_input(exec, dy, w, dx.data, dx.write);
  }

 private:
  Conv2dOp::Problem problem_;
  Var x_;
  Edge dx_;
  ParameterId weight_;
  Edge dy_;
};

Conv2dOp::Problem problem_of(const Shape& x, DType type, const Shape& w, ConvolutionOptions options) {
  require<ShapeError>(x.rank() == 4, "conv2d: x must be (N, H, W, C), got {}", x);
  require<ShapeError>(w.rank() == 4, "conv2d: w must be (K, R, S, C), got {}", w);
  require<ShapeError>(x[3] == w[3], "conv2d: x has {} channels, w expects {}", x[3], w[3]);
  require<ShapeError>(options.stride >= 1, "conv2d: the stride must be at least 1, got {}", options.stride);
  require<ShapeError>(options.padding >= 0, "conv2d: the padding must not be negative, got {}", options.padding);
  const int padded_h = x[1] + 2 * options.padding;
  const int padded_w = x[2] + 2 * options.padding;
  require<ShapeError>(padded_h >= w[1] && padded_w >= w[2], "conv2d: a {}x{} filter does not fit in a padded image of {}x{}",
                      w[1], w[2], padded_h, padded_w);
  return {x[0], x[1], x[2], x[3], w[0], w[1], w[2], options.stride, options.padding, type};
}

}  // namespace

Var conv2d(const Var& x, ParameterId weight, ConvolutionOptions options) {
  Tape& tape = x.tape();
  const ConstParameterView w = tape.parameters().weight_read(weight);
  const Conv2dOp::Problem problem = problem_of(x.shape(), x.type(), w.shape, options);
  Var y = tape.make({problem.n, problem.out_h(), problem.out_w(), problem.k}, x.type(), true);
  kernels::kernel<Conv2dOp>(tape.exec(), problem, Conv2dOp::Pass::forward)
      ->forward(tape.exec(), x.data(), tape.weights(weight), y.tensor().data);
  if (tape.recording()) {
    tape.add_use(weight);
    tape.record<Conv2dNode>(problem, x, weight, y);
  }
  return y;
}

}  // namespace apam::engine

#include "kernels/ops/linear.h"

#include "engine/ops/ops.h"

namespace apam::engine {
namespace {

using LinearOp = kernels::Linear;

class LinearNode final : public Node {
 public:
  LinearNode(const LinearOp::Problem& problem, const Var& x, ParameterId weight, ParameterId bias, const Var& y)
      : problem_(problem), x_(x), dx_(x), weight_(weight), bias_(bias), dy_(y) {}

  void backward(Tape& tape) override {
    if (!tape.has_gradient(dy_)) return;
    Exec& exec = tape.exec();
    const In dy = tape.gradient(dy_);  // (N, K)
    const auto dw = tape.sink(weight_);
    const auto db = tape.sink(bias_);
    require<KernelError>(dw.write == db.write, "linear: weight {} and bias {} must always be used as a pair",
                         tape.parameters().layout()[weight_].name, tape.parameters().layout()[bias_].name);
    kernels::kernel<LinearOp>(exec, problem_, LinearOp::Pass::backward_weight)
        ->backward_weight(exec, x_.data(), dy, dw.data, db.data, dw.write);
    if (!dx_.needs_gradient()) return;
    const auto dx = tape.sink(dx_);
    kernels::kernel<LinearOp>(exec, problem_, LinearOp::Pass::backward_input)
        ->backward_input(exec, dy, tape.weights(weight_), dx.data, dx.write);
  }

 private:
  LinearOp::Problem problem_;
  Var x_;
  Edge dx_;
  ParameterId weight_, bias_;
  Edge dy_;
};

}  // namespace

Var linear(const Var& x, ParameterId weight, ParameterId bias) {
  Tape& tape = x.tape();
  const ConstParameterView w = tape.parameters().weight_read(weight);
  const ConstParameterView b = tape.parameters().weight_read(bias);
  const Shape& shape = x.shape();
  require<ShapeError>(shape.rank() >= 1 && shape[0] > 0, "linear: x must be (N, C), got {}", shape);
  const int features = static_cast<int>(shape.size() / static_cast<std::size_t>(shape[0]));
  require<ShapeError>(features == w.shape[1], "linear: x has {} features, w expects {}", features, w.shape[1]);
  require<ShapeError>(b.shape[0] == w.shape[0], "linear: the bias has {} elements, w has {} outputs", b.shape[0], w.shape[0]);
  const LinearOp::Problem problem{shape[0], features, w.shape[0], x.type()};
  Var y = tape.make({problem.n, problem.k}, x.type(), true);
  kernels::kernel<LinearOp>(tape.exec(), problem, LinearOp::Pass::forward)
      ->forward(tape.exec(), x.data(), tape.weights(weight), b.data, y.tensor().data);
  if (tape.recording()) {
    tape.add_use(weight);
    tape.add_use(bias);
    tape.record<LinearNode>(problem, x, weight, bias, y);
  }
  return y;
}

}  // namespace apam::engine

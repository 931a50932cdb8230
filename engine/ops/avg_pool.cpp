#include "kernels/ops/avg_pool.h"
#include "engine/ops/ops.h"

namespace apam::engine {
namespace {

using AvgPoolOp = kernels::AvgPool;

class AvgPoolNode final : public Node {
 public:
  AvgPoolNode(const AvgPoolOp::Problem& problem, const Var& x, const Var& y) : problem_(problem), dx_(x), dy_(y) {}

  void backward(Tape& tape) override {
    if (!dx_.needs_gradient() || !tape.has_gradient(dy_)) return;
    const auto dx = tape.sink(dx_);
    kernels::kernel<AvgPoolOp>(tape.exec(), problem_, AvgPoolOp::Pass::backward)
        ->backward(tape.exec(), tape.gradient(dy_), dx.data, dx.write);
  }

 private:
  AvgPoolOp::Problem problem_;
  Edge dx_, dy_;
};

}  // namespace

Var avg_pool(const Var& x, int window) {
  const Shape& shape = x.shape();
  require<ShapeError>(shape.rank() == 4, "avg_pool: x must be (N, H, W, C), got {}", shape);
  require<ShapeError>(window >= 1 && window <= shape[1] && window <= shape[2],
                      "avg_pool: a window of {} does not fit in an image of {}x{}", window, shape[1], shape[2]);
  const AvgPoolOp::Problem problem{shape[0], shape[1], shape[2], shape[3], window, x.type()};
  Tape& tape = x.tape();
  Var y = tape.make({problem.n, problem.out_h(), problem.out_w(), problem.c}, x.type(), x.needs_gradient());
  kernels::kernel<AvgPoolOp>(tape.exec(), problem, AvgPoolOp::Pass::forward)->forward(tape.exec(), x.data(), y.tensor().data);
  if (tape.recording()) tape.record<AvgPoolNode>(problem, x, y);
  return y;
}

}  // namespace apam::engine

// Element-wise operations: relu, add, scale, convert.
#include "engine/ops/ops.h"
#include "kernels/ops/add.h"
#include "kernels/ops/convert.h"
#include "kernels/ops/relu.h"
#include "kernels/ops/scale.h"

namespace apam::engine {
namespace {

std::int64_t elements(const Var& x) { return static_cast<std::int64_t>(x.shape().size()); }

class ReluNode final : public Node {
 public:
  ReluNode(const Var& x, const Var& y) : y_(y), dx_(x), dy_(y) {}

  void backward(Tape& tape) override {
    if (!dx_.needs_gradient() || !tape.has_gradient(dy_)) return;
    using Op = kernels::Relu;
    const auto dx = tape.sink(dx_);
    kernels::kernel<Op>(tape.exec(), {elements(y_), y_.type()}, Op::Pass::backward)
        ->backward(tape.exec(), tape.gradient(dy_), y_.data(), dx.data, dx.write);
  }

 private:
  Var y_;
  Edge dx_, dy_;
};

class AddNode final : public Node {
 public:
  AddNode(const Var& a, const Var& b, const Var& y) : da_(a), db_(b), dy_(y) {}

  void backward(Tape& tape) override {
    if (!tape.has_gradient(dy_)) return;
    tape.pass_on(dy_, da_);
    tape.pass_on(dy_, db_);
  }

 private:
  Edge da_, db_, dy_;
};

class ScaleNode final : public Node {
 public:
  ScaleNode(const Var& x, float factor, const Var& y)
      : shape_(x.shape()), size_(elements(x)), factor_(factor), dx_(x), dy_(y) {}

  void backward(Tape& tape) override {
    if (!dx_.needs_gradient() || !tape.has_gradient(dy_)) return;
    Exec& exec = tape.exec();
    const In dy = tape.gradient(dy_);
    const auto dx = tape.sink(dx_);
    const auto scale_by_factor = [&](Out to) {
      kernels::kernel<kernels::Scale>(exec, {size_, factor_, dy.type()}, kernels::Scale::Pass::forward)->forward(exec, dy, to);
    };
    if (dx.write == kernels::Write::overwrite) {
      scale_by_factor(dx.data);
      return;
    }
    const Var scaled = tape.scratch(shape_, dy.type());
    scale_by_factor(scaled.tensor().data);
    kernels::kernel<kernels::Add>(exec, {size_, dy.type()}, kernels::Add::Pass::forward)
        ->forward(exec, dx.data, scaled.data(), dx.data);
  }

 private:
  Shape shape_;
  std::int64_t size_;
  float factor_;
  Edge dx_, dy_;
};

void run_convert(Exec& exec, In from, Out to) {
  using Op = kernels::Convert;
  const Op::Problem problem{static_cast<std::int64_t>(from.size()), from.type(), to.type()};
  kernels::kernel<Op>(exec, problem, Op::Pass::forward)->forward(exec, from, to);
}

class ConvertNode final : public Node {
 public:
  ConvertNode(const Var& x, const Var& y) : shape_(x.shape()), type_(x.type()), dx_(x), dy_(y) {}

  void backward(Tape& tape) override {
    if (!dx_.needs_gradient() || !tape.has_gradient(dy_)) return;
    const In dy = tape.gradient(dy_);
    const auto dx = tape.sink(dx_);
    if (dx.write == kernels::Write::overwrite) return run_convert(tape.exec(), dy, dx.data);
    const Var converted = tape.scratch(shape_, type_);
    run_convert(tape.exec(), dy, converted.tensor().data);
    using Add = kernels::Add;
    kernels::kernel<Add>(tape.exec(), {static_cast<std::int64_t>(dy.size()), type_}, Add::Pass::forward)
        ->forward(tape.exec(), dx.data, converted.data(), dx.data);
  }

 private:
  Shape shape_;
  DType type_;
  Edge dx_, dy_;
};

}  // namespace

Var convert(const Var& x, DType type) {
  if (x.type() == type) return x;
  Tape& tape = x.tape();
  Var y = tape.make(x.shape(), type, x.needs_gradient());
  run_convert(tape.exec(), x.data(), y.tensor().data);
  if (tape.recording()) tape.record<ConvertNode>(x, y);
  return y;
}

Var net_input(Tape& tape, const Tensor& images) { return convert(tape.input(images), tape.exec().options().activations); }

Var augment(Tape& tape, const ResidentImages& resident, const kernels::Augment::Selection& selection,
            Span<std::int32_t> labels) {
  using Op = kernels::Augment;
  require<ShapeError>(selection.images.size() == labels.size() && !labels.empty(), "augment: {} labels for {} images",
                      labels.size(), selection.images.size());
  const Shape& all = resident.images();
  const Op::Problem problem = resident.problem(static_cast<int>(labels.size()), tape.exec().options().activations);
  Var y = tape.make({problem.n, all[1], all[2], all[3]}, problem.type, false);
  kernels::kernel<Op>(tape.exec(), problem, Op::Pass::forward)
      ->forward(tape.exec(), resident.source(), selection, y.tensor().data, labels);
  return y;
}

Var relu(const Var& x) {
  using Op = kernels::Relu;
  Tape& tape = x.tape();
  Var y = tape.make(x.shape(), x.type(), x.needs_gradient());
  kernels::kernel<Op>(tape.exec(), {elements(x), x.type()}, Op::Pass::forward)->forward(tape.exec(), x.data(), y.tensor().data);
  if (tape.recording()) tape.record<ReluNode>(x, y);
  return y;
}

Var add(const Var& a, const Var& b) {
  using Op = kernels::Add;
  require<ShapeError>(a.shape() == b.shape(), "add: a has shape {}, b has {}", a.shape(), b.shape());
  require<TypeError>(a.type() == b.type(), "add: a is {}, b is {}", to_string(a.type()), to_string(b.type()));
  Tape& tape = a.tape();
  Var y = tape.make(a.shape(), a.type(), a.needs_gradient() || b.needs_gradient());
  kernels::kernel<Op>(tape.exec(), {elements(a), a.type()}, Op::Pass::forward)
      ->forward(tape.exec(), a.data(), b.data(), y.tensor().data);
  if (tape.recording()) tape.record<AddNode>(a, b, y);
  return y;
}

Var scale(const Var& x, float factor) {
  using Op = kernels::Scale;
  Tape& tape = x.tape();
  Var y = tape.make(x.shape(), x.type(), x.needs_gradient());
  kernels::kernel<Op>(tape.exec(), {elements(x), factor, x.type()}, Op::Pass::forward)
      ->forward(tape.exec(), x.data(), y.tensor().data);
  if (tape.recording()) tape.record<ScaleNode>(x, factor, y);
  return y;
}

}  // namespace apam::engine

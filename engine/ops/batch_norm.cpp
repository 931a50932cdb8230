#include "kernels/ops/batch_norm.h"

#include <limits>
#include <optional>

#include "engine/ops/ops.h"

namespace apam::engine {
namespace {

using BatchNormOp = kernels::BatchNorm;

/// The batch statistics, kept for backward.
struct BatchMoments {
  Var mean_memory, variance_memory;  // (C) each; used if the parameter arena has no window
  Var inv_std;                       // (C)
  Span<float> mean, variance;        // (C): the parameter arena's window, or the memory above
};

BatchMoments batch_moments(Tape& tape, const BatchNormParameters& parameters, int channels) {
  BatchMoments moments;
  moments.inv_std = tape.scratch({channels});
  if (parameters.statistics.valid() && tape.mode() != Mode::inference) {
    const auto window = tape.parameters().batch(parameters.statistics);
    moments.mean = window.mean;
    moments.variance = window.variance;
  } else {
    moments.mean_memory = tape.scratch({channels});
    moments.variance_memory = tape.scratch({channels});
    moments.mean = moments.mean_memory.floats();
    moments.variance = moments.variance_memory.floats();
  }
  return moments;
}

class BatchNormNode final : public Node {
 public:
  BatchNormNode(const BatchNormOp::Problem& problem, const BatchNormParameters& parameters, const Var& x, const Var* residual,
                const Var& y, BatchMoments moments)
      : problem_(problem), parameters_(parameters), x_(x), dx_(x), dy_(y), moments_(std::move(moments)) {
    if (residual != nullptr) d_residual_.emplace(*residual);
    if (problem.relu) y_ = y;
  }

  void backward(Tape& tape) override {
    if (!tape.has_gradient(dy_)) return;
    const BatchNormOp::Saved saved{x_.data(), problem_.relu ? y_.data() : In{}, moments_.mean, moments_.inv_std.floats()};
    const auto dgamma = tape.sink(parameters_.gamma);
    const auto dbeta = tape.sink(parameters_.beta);
    BatchNormOp::Gradients gradients{.dx = {}, .d_residual = {}, .dgamma = dgamma.data, .dbeta = dbeta.data};
    gradients.write_parameters = dgamma.write;
    const In dy = tape.gradient(dy_);
    Var unused_x, unused_residual;
    if (d_residual_) std::tie(gradients.d_residual, gradients.write_residual) = target(tape, *d_residual_, unused_residual);
    std::tie(gradients.dx, gradients.write_x) = target_in_place(tape, dx_, unused_x);
    const ConstSpan<float> gamma = tape.parameters().weight_read(parameters_.gamma).data;
    kernels::kernel<BatchNormOp>(tape.exec(), problem_, BatchNormOp::Pass::backward)
        ->backward(tape.exec(), dy, saved, gamma, gradients);
  }

 private:
  /// The input's gradient, or scratch memory if the input needs none.
  std::pair<Out, kernels::Write> target(Tape& tape, const Edge& input, Var& unused) const {
    if (input.needs_gradient()) {
      const auto sink = tape.sink(input);
      return {sink.data, sink.write};
    }
    unused = tape.scratch(x_.shape(), x_.type());
    return {unused.tensor().data, kernels::Write::overwrite};
  }
  /// The same, in place of dy if possible.
  std::pair<Out, kernels::Write> target_in_place(Tape& tape, const Edge& input, Var& unused) const {
    if (!input.needs_gradient()) return target(tape, input, unused);
    const auto sink = tape.sink_in_place(dy_, input);
    return {sink.data, sink.write};
  }

  BatchNormOp::Problem problem_;
  BatchNormParameters parameters_;
  Var x_, y_;
  Edge dx_;
  std::optional<Edge> d_residual_;
  Edge dy_;
  BatchMoments moments_;
};

}  // namespace

Var batch_norm(const Var& x, const BatchNormParameters& parameters, BatchNormOptions options) {
  Tape& tape = x.tape();
  Exec& exec = tape.exec();
  const ParameterArena& arena = tape.parameters();
  const ConstParameterView gamma = arena.weight_read(parameters.gamma);
  const int channels = x.shape().rank() > 0 ? x.shape()[x.shape().rank() - 1] : 0;
  require<ShapeError>(channels == gamma.shape[0], "batch_norm: x has {} channels, gamma expects {}", channels, gamma.shape[0]);
  In residual;
  if (options.residual != nullptr) {
    residual = options.residual->data();
    require<ShapeError>(options.residual->shape() == x.shape(), "batch_norm: the residual has shape {}, x has {}",
                        options.residual->shape(), x.shape());
    require<KernelError>(residual.bytes() != x.data().bytes(), "batch_norm: residual and x are the same value, of shape {}",
                         x.shape());
  }
  constexpr int kMaxRows = std::numeric_limits<int>::max();
  const std::size_t rows = x.shape().size() / static_cast<std::size_t>(channels);
  require<ShapeError>(rows <= kMaxRows, "batch_norm: x of shape {} has {} rows, expected at most {}", x.shape(), rows,
                      kMaxRows);
  const BatchNormOp::Problem problem{static_cast<int>(rows), channels,       options.residual != nullptr,
                                     options.relu,           parameters.eps, x.type()};
  const ConstSpan<float> beta = arena.weight_read(parameters.beta).data;
  Var y = tape.make(x.shape(), x.type(), true);
  if (tape.mode() == Mode::inference && parameters.statistics.valid()) {
    const auto running = arena.running(parameters.statistics);
    kernels::kernel<BatchNormOp>(exec, problem, BatchNormOp::Pass::forward_inference)
        ->forward_inference(exec, x.data(), residual, gamma.data, beta, running.mean, running.variance, y.tensor().data);
    return y;
  }
  require<KernelError>(!parameters.statistics.valid() || tape.use_count(parameters.gamma) == 0,
                       "batch_norm: {} is used {} times in one pass, running statistics allow only 1",
                       arena.layout()[parameters.gamma].name, tape.use_count(parameters.gamma) + 1);
  BatchMoments moments = batch_moments(tape, parameters, channels);
  kernels::kernel<BatchNormOp>(exec, problem, BatchNormOp::Pass::forward_training)
      ->forward_training(exec, x.data(), residual, gamma.data, beta, y.tensor().data,
                         {moments.mean, moments.variance, moments.inv_std.floats()});
  if (tape.recording()) {
    tape.add_use(parameters.gamma);
    tape.add_use(parameters.beta);
    tape.record<BatchNormNode>(problem, parameters, x, options.residual, y, std::move(moments));
  }
  return y;
}

}  // namespace apam::engine

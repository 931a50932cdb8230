// Batch norm as cuDNN graphs. The rows are passed as one image of `rows` x 1 pixels.
#include "kernels/cudnn/steps.h"

namespace apam::kernels::cudnn {
namespace {

using namespace batch_norm;
using Pass = BatchNorm::Pass;

constexpr Rules kRules{Arithmetic::without_products, std::size_t{4} << 20U};

/// A graph with the tensors that batch norm has.
class Builder {
 public:
  Builder(const BatchNorm::Problem& p, Pass pass, std::string_view name, DType type)
      : graph_(std::make_shared<Graph>(
            fmt::format("batch_norm {}, {} ({})", p.describe(), BatchNorm::pass_names[static_cast<std::size_t>(pass)], name))),
        name_(name),
        rows_{1, p.c, p.rows, 1},
        channels_{1, p.c, 1, 1},
        type_(type) {}

  Graph& graph() { return *graph_; }
  Graph::Tensor rows(int id) { return graph_->stored(id, rows_, type_); }
  Graph::Tensor channels(int id) { return graph_->stored(id, channels_, DType::float32); }
  Graph::Tensor row_values() { return graph_->intermediate(rows_); }
  Graph::Tensor channel_values() { return graph_->intermediate(channels_); }

  /// A new intermediate result.
  Graph::Tensor apply(cudnnPointwiseMode_t mode, Graph::Tensor a, Graph::Tensor b) {
    const auto result = row_values();
    graph_->pointwise(mode, a, b, result);
    return result;
  }
  Graph::Tensor apply_to_channels(cudnnPointwiseMode_t mode, Graph::Tensor a, Graph::Tensor b) {
    const auto result = channel_values();
    graph_->pointwise(mode, a, b, result);
    return result;
  }

  Step finish() {
    graph_->finish();
    return {.name = name_, .graph = graph_, .rules = kRules};
  }

 private:
  std::shared_ptr<Graph> graph_;
  std::string_view name_;
  Dimensions rows_, channels_;
  DType type_;
};

/// With old statistics of 0 and a factor of 1 the new variance is the unbiased one of the batch.
Step training(const BatchNorm::Problem& p) {
  Builder build(p, Pass::forward_training, "normalise", p.type);
  Graph& graph = build.graph();
  const bool last = !p.residual && !p.relu;
  const auto normalised = last ? build.rows(kY) : build.row_values();
  graph.batch_norm_training({.x = build.rows(kX),
                             .gamma = build.channels(kGamma),
                             .beta = build.channels(kBeta),
                             .eps = graph.scalar(kEps),
                             .factor = graph.scalar(kFactor),
                             .old_mean = build.channels(kOldMean),
                             .old_variance = build.channels(kOldVariance),
                             .y = normalised,
                             .mean = build.channels(kMean),
                             .inv_std = build.channels(kInvStd),
                             .new_mean = build.channels(kNewMean),
                             .new_variance = build.channels(kVariance)});
  if (last) return build.finish();
  auto sum = normalised;
  if (p.residual) {
    sum = p.relu ? build.row_values() : build.rows(kY);
    graph.pointwise(CUDNN_POINTWISE_ADD, normalised, build.rows(kResidual), sum);
  }
  if (p.relu) graph.pointwise(CUDNN_POINTWISE_RELU_FWD, sum, build.rows(kY));
  return build.finish();
}

/// inv_std = rsqrt(variance + eps) + 0 * variance, which is NaN where the variance is not finite. The ReLU is v * (v > 0),
/// which keeps NaN.
Step inference(const BatchNorm::Problem& p) {
  Builder build(p, Pass::forward_inference, "normalise", p.type);
  Graph& graph = build.graph();
  const auto variance = build.channels(kVariance), zero = graph.scalar(kZero);
  const auto shifted = build.apply_to_channels(CUDNN_POINTWISE_ADD, variance, graph.scalar(kEps));
  const auto root = build.channel_values();
  graph.pointwise(CUDNN_POINTWISE_RSQRT, shifted, root);
  const auto nothing = build.apply_to_channels(CUDNN_POINTWISE_MUL, variance, zero);
  const auto inv_std = build.apply_to_channels(CUDNN_POINTWISE_ADD, root, nothing);
  const auto centred = build.apply(CUDNN_POINTWISE_SUB, build.rows(kX), build.channels(kMean));
  const auto normalised = build.apply(CUDNN_POINTWISE_MUL, centred, inv_std);
  const auto scaled = build.apply(CUDNN_POINTWISE_MUL, normalised, build.channels(kGamma));
  const bool last = !p.residual && !p.relu;
  auto sum = last ? build.rows(kY) : build.row_values();
  graph.pointwise(CUDNN_POINTWISE_ADD, scaled, build.channels(kBeta), sum);
  if (p.residual) {
    const auto with_residual = p.relu ? build.row_values() : build.rows(kY);
    graph.pointwise(CUDNN_POINTWISE_ADD, sum, build.rows(kResidual), with_residual);
    sum = with_residual;
  }
  if (p.relu) {
    const auto positive = build.apply(CUDNN_POINTWISE_CMP_GT, sum, zero);
    graph.pointwise(CUDNN_POINTWISE_MUL, sum, positive, build.rows(kY));
  }
  return build.finish();
}

/// g, in the type of dy. cuDNN fuses it with the gradient only for a mask that the forward pass stored.
Step mask(const BatchNorm::Problem& p) {
  Builder build(p, Pass::backward, "mask", p.type);
  build.graph().relu_gradient(build.rows(kDy), build.rows(kY), build.rows(kG));
  return build.finish();
}

Step gradient(const BatchNorm::Problem& p, std::string_view name, DType type) {
  Builder build(p, Pass::backward, name, type);
  build.graph().batch_norm_backward({.dy = build.rows(kG),
                                     .x = build.rows(kX),
                                     .mean = build.channels(kMean),
                                     .inv_std = build.channels(kInvStd),
                                     .gamma = build.channels(kGamma),
                                     .dx = build.rows(kDx),
                                     .dgamma = build.channels(kDgamma),
                                     .dbeta = build.channels(kDbeta)});
  return build.finish();
}

}  // namespace

std::vector<Step> steps(const BatchNorm::Problem& p, Pass pass) {
  if (pass == Pass::forward_training) return {training(p)};
  if (pass == Pass::forward_inference) return {inference(p)};
  std::vector<Step> all;
  if (p.relu) all.push_back(mask(p));
  all.push_back(gradient(p, "gradient", p.type));
  if (p.type != DType::float32) {
    all.push_back(gradient(p, "widened", DType::float32));
    all.back().need = Step::Need::late;
  }
  return all;
}

}  // namespace apam::kernels::cudnn

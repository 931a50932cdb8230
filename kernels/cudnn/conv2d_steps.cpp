// Convolution as cuDNN graphs.
#include "kernels/cudnn/steps.h"

namespace apam::kernels::cudnn {
namespace {

using Pass = Conv2d::Pass;

// In float32 without tensor cores most engines first reorder their operands to N, C, H, W.
constexpr std::size_t kMostWorkspace = std::size_t{256} << 20U;  // float32
constexpr std::size_t kMostWorkspaceOfTensorCores = std::size_t{64} << 20U;

/// One convolution of operands of `type`: result = convolution + keep * result.
Step convolution(const Conv2d::Problem& p, Pass pass, DType type, Arithmetic arithmetic, std::string_view name, float keep) {
  const auto graph = std::make_shared<Graph>(
      fmt::format("conv2d {}, {} ({})", p.describe(), Conv2d::pass_names[static_cast<std::size_t>(pass)], name));
  const auto x = graph->stored(conv2d::kX, {p.n, p.c, p.h, p.w}, type);
  const auto w = graph->stored(conv2d::kW, {p.k, p.c, p.r, p.s}, type);
  const auto y = graph->stored(conv2d::kY, {p.n, p.k, p.out_h(), p.out_w()}, type);
  graph->convolution(pass, p, x, w, y, keep);
  graph->finish();
  const bool tensor_cores = arithmetic == Arithmetic::tensor_cores;
  return {name, graph, {arithmetic, tensor_cores ? kMostWorkspaceOfTensorCores : kMostWorkspace}};
}

/// dw = x * dy + old: bfloat16 operands, float32 results.
Step fused_weight_gradient(const Conv2d::Problem& p) {
  const auto graph = std::make_shared<Graph>(fmt::format("conv2d {}, backward_weight (add)", p.describe()));
  const Dimensions weights{p.k, p.c, p.r, p.s};
  const auto x = graph->stored(conv2d::kX, {p.n, p.c, p.h, p.w}, p.type);
  const auto dy = graph->stored(conv2d::kY, {p.n, p.k, p.out_h(), p.out_w()}, p.type);
  const auto old = graph->stored(conv2d::kOld, weights, DType::float32);
  const auto dw = graph->stored(conv2d::kW, weights, DType::float32);
  const auto product = graph->intermediate(weights);
  graph->convolution(Pass::backward_weight, p, x, product, dy, 0);
  graph->pointwise(CUDNN_POINTWISE_ADD, product, old, dw);
  graph->finish();
  return {"add", graph, {Arithmetic::tensor_cores, kMostWorkspaceOfTensorCores}};
}

}  // namespace

std::vector<Step> steps(const Conv2d::Problem& p, Pass pass) {
  const bool narrow = p.type == DType::bfloat16;
  const Arithmetic arithmetic = narrow ? Arithmetic::tensor_cores : Arithmetic::float32;
  if (pass == Pass::backward_weight && weight_gradient_is_fused(p)) return {fused_weight_gradient(p)};
  const DType type = pass == Pass::backward_weight ? DType::float32 : p.type;
  if (pass == Pass::forward) return {convolution(p, pass, type, arithmetic, "forward", 0)};
  return {convolution(p, pass, type, arithmetic, "overwrite", 0), convolution(p, pass, type, arithmetic, "add", 1)};
}

}  // namespace apam::kernels::cudnn

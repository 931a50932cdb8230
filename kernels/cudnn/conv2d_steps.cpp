// Convolution as cuDNN graphs.
#include "kernels/cudnn/steps.h"

namespace apam::kernels::cudnn {
namespace {

using Pass = Conv2d::Pass;

// In float32 without tensor cores most engines first reorder their operands to N, C, H, W.
constexpr std::size_t kMostWorkspace = std::size_t{256} << 20U;  // float32
constexpr std::size_t kMostWorkspaceOfTensorCores = std::size_t{64} << 20U;

std::string title(const Conv2d::Problem& p, Pass pass, std::string_view name) {
  return fmt::format("conv2d {}, {} ({})", p.describe(), Conv2d::pass_names[static_cast<std::size_t>(pass)], name);
}

/// One convolution of operands of `type`: result = convolution, or, as "add", convolution + result.
Step convolution(const Conv2d::Problem& p, Pass pass, DType type, Arithmetic arithmetic, std::string_view name) {
  const bool adds = name == "add", tensor_cores = arithmetic == Arithmetic::tensor_cores;
  const auto graph = std::make_shared<Graph>(title(p, pass, name));
  const auto x = graph->stored(conv2d::kX, {p.n, p.c, p.h, p.w}, type);
  const auto w = graph->stored(conv2d::kW, {p.k, p.c, p.r, p.s}, type);
  const auto y = graph->stored(conv2d::kY, {p.n, p.k, p.out_h(), p.out_w()}, type);
  graph->convolution(pass, p, x, w, y, adds ? 1 : 0);
  graph->finish();
  const TrialOf of{type, type, adds ? TrialOf::Old::in_result : TrialOf::Old::none};
  return {.name = name,
          .graph = graph,
          .rules = {arithmetic, tensor_cores ? kMostWorkspaceOfTensorCores : kMostWorkspace},
          .follows = adds,
          .trial = [=] { return trial(p, pass, of); }};
}

/// dw = x * dy + old: bfloat16 operands, float32 results.
Step fused_weight_gradient(const Conv2d::Problem& p) {
  const auto graph = std::make_shared<Graph>(title(p, Pass::backward_weight, "add"));
  const Dimensions weights{p.k, p.c, p.r, p.s};
  const auto x = graph->stored(conv2d::kX, {p.n, p.c, p.h, p.w}, p.type);
  const auto dy = graph->stored(conv2d::kY, {p.n, p.k, p.out_h(), p.out_w()}, p.type);
  const auto old = graph->stored(conv2d::kOld, weights, DType::float32);
  const auto dw = graph->stored(conv2d::kW, weights, DType::float32);
  const auto product = graph->intermediate(weights);
  graph->convolution(Pass::backward_weight, p, x, product, dy, 0);
  graph->pointwise(CUDNN_POINTWISE_ADD, product, old, dw);
  graph->finish();
  const TrialOf of{p.type, DType::float32, TrialOf::Old::separate};
  return {.name = "add", .graph = graph, .rules = {Arithmetic::tensor_cores, kMostWorkspaceOfTensorCores}, .trial = [=] {
            return trial(p, Pass::backward_weight, of);
          }};
}

}  // namespace

std::vector<Step> steps(const Conv2d::Problem& p, Pass pass) {
  const bool narrow = p.type == DType::bfloat16;
  const Arithmetic arithmetic = narrow ? Arithmetic::tensor_cores : Arithmetic::float32;
  if (pass == Pass::backward_weight && weight_gradient_is_fused(p)) return {fused_weight_gradient(p)};
  const DType type = pass == Pass::backward_weight ? DType::float32 : p.type;
  if (pass == Pass::forward) return {convolution(p, pass, type, arithmetic, "forward")};
  std::vector<Step> all{convolution(p, pass, type, arithmetic, "overwrite"), convolution(p, pass, type, arithmetic, "add")};
  if (pass == Pass::backward_input && narrow) {
    all.back().need = Step::Need::if_right;
    all.push_back(convolution(p, pass, DType::float32, arithmetic, "widened"));
    all.back().need = Step::Need::late;
  }
  return all;
}

}  // namespace apam::kernels::cudnn

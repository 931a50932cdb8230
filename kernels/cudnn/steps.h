// The graphs that each pass of an operation runs, with the rules for their plans; in files of their own, so that a test can
// look for plans without a GPU.
#pragma once

#include <functional>

#include "kernels/cudnn/plan.h"
#include "kernels/cudnn/trial.h"
#include "kernels/ops/batch_norm.h"
#include "kernels/ops/conv2d.h"

namespace apam::kernels::cudnn {

struct Step {
  enum class Need : std::uint8_t {
    always,    ///< has a plan when the kernel is made
    if_right,  ///< the same, unless no plan passes the trial
    late       ///< gets its plan when it is first called; after all other steps
  };

  std::string_view name;  ///< "add"
  std::shared_ptr<const Graph> graph;
  Rules rules;
  Need need = Need::always;
  bool follows = false;            ///< takes the engine of the first step, if it can
  std::function<Trial()> trial{};  ///< plans must pass it; empty: there is none
};

/// Ids of operands.
namespace conv2d {
enum Id : int { kX, kW, kY, kOld };  // kX, kW, kY: also the gradients
}
namespace batch_norm {
enum Id : int { kX, kResidual, kY, kDy, kDx, kG, kGamma, kBeta, kMean, kInvStd, kVariance, kDgamma, kDbeta };
enum ScalarId : int { kEps = 100, kFactor, kZero };
enum ScratchId : int { kOldMean = 200, kOldVariance, kNewMean };
}  // namespace batch_norm

/// forward          "forward"            y = x * w                     w in the type of x
/// backward_input   "overwrite", "add"   dx = dy * w (+ dx)            w in the type of dy
///                  "widened"            dx = dy * w                   late; all float32, of bfloat16 operands
/// backward_weight  "overwrite", "add"   dw = x * dy (+ dw)            if weight_gradient_is_fused(): only
///                  "add"                dw = x * dy + old             bfloat16 x and dy, float32 dw and old
/// Throws NotSupported if cuDNN rejects a graph.
std::vector<Step> steps(const Conv2d::Problem&, Conv2d::Pass);

/// cuDNN has float32 weight gradients of bfloat16 operands only fused with an addition, and only for multiples of 8 channels.
/// Otherwise the operands are widened to float32 first; TF32 then rounds none of them.
inline bool weight_gradient_is_fused(const Conv2d::Problem& p) {
  return p.type == DType::bfloat16 && p.c % 8 == 0 && p.k % 8 == 0;
}

/// forward_training    "normalise"                     y and statistics
/// forward_inference   "normalise"                     y
/// backward            "mask" (with a ReLU)            g = dy where y > 0
///                     "gradient"                      dx, dgamma and dbeta from g; from dy without a ReLU
///                     "widened" (bfloat16)            late; the same with g, x and dx in float32
/// Throws NotSupported if cuDNN rejects a graph.
std::vector<Step> steps(const BatchNorm::Problem&, BatchNorm::Pass);

}  // namespace apam::kernels::cudnn

// The differentiable operations: free functions from Var to Var. Each checks shapes, runs the kernel chosen for its problem,
// and records a node if the tape is recording. Shapes: images (N, H, W, C), rows (N, C). Errors: ShapeError, with operation
// and both values.
#pragma once

#include "engine/resident_images.h"
#include "engine/tape.h"

namespace apam::engine {

struct ConvolutionOptions {
  int stride = 1;
  int padding = 0;
};
/// x (N, H, W, C), weight (K, R, S, C) -> (N, P, Q, K). No bias.
Var conv2d(const Var& x, ParameterId weight, ConvolutionOptions options);

struct BatchNormParameters {
  ParameterId gamma, beta;  // (C)
  StatisticsId statistics;  ///< invalid: no running statistics; inference uses batch statistics too
  float eps = 1e-5F;
};
struct BatchNormOptions {
  const Var* residual = nullptr;  ///< added before the activation; same shape as x
  bool relu = false;
};
/// x (..., C) -> same shape. In training mode the batch mean and unbiased variance are written to the arena's batch statistics;
/// a batch norm with running statistics can therefore be used only once per pass. Throws KernelError for a second use, and if
/// the residual is x itself.
Var batch_norm(const Var& x, const BatchNormParameters& parameters, BatchNormOptions options = {});

/// x as `type`, float32 or bfloat16. Returns x itself if it has this type.
Var convert(const Var& x, DType type);

/// The input of a net: images in the caller's memory (Tape::input), converted to the type in which the tape's Exec stores
/// activations. No gradient.
Var net_input(Tape& tape, const Tensor& images);

/// The input of a net from a data set on the device: images augmented, in the type of activations, and their labels written to
/// `labels`. No gradient. Throws ShapeError unless there is a label per selected image.
Var augment(Tape& tape, const ResidentImages& resident, const kernels::Augment::Selection& selection,
            Span<std::int32_t> labels);

/// max(0, x), any shape; NaN stays NaN.
Var relu(const Var& x);

/// a + b, same shape.
Var add(const Var& a, const Var& b);

/// factor * x, any shape.
Var scale(const Var& x, float factor);

/// (N, H, W, C) -> (N, H/window, W/window, C); stride = window.
Var avg_pool(const Var& x, int window);

/// x (N, ...) flattened to (N, C); weight (K, C), bias (K) -> (N, K).
Var linear(const Var& x, ParameterId weight, ParameterId bias);

/// What softmax_cross_entropy reads and writes besides its logits, in memory of the tape's device.
struct LossOperands {
  Labels labels;                    ///< (N), in 0 .. K-1: not checked, since they may be on a GPU
  ConstSpan<float> gradient_scale;  ///< (1): 1 / N for the mean over the batch
  Span<float> sums;                 ///< (kernels::SoftmaxCrossEntropy::sum_count), written; see batch_score()
};

/// Cross-entropy (log-softmax and negative log-likelihood) of logits (N, K) or (N, 1, 1, K). The root of backward:
/// d loss / d logits = gradient_scale * (softmax - onehot). Labels and gradient_scale must stay unchanged until backward has
/// run.
void softmax_cross_entropy(const Var& logits, const LossOperands& operands);

/// Loss and accuracy of a batch, as sums over its rows. A label whose logit is not finite counts in neither top1 nor top5; a
/// NaN logit ranks before every label. The loss is not finite if a logit is NaN or +Inf, or a label's logit is -Inf.
struct BatchScore {
  double loss_sum = 0.0;
  int top1 = 0;  ///< rows whose label has the largest logit; ties go to the lowest class
  int top5 = 0;  ///< rows whose label has one of the five largest logits
  int rows = 0;

  double mean_loss() const { return loss_sum / rows; }
};

/// The sums of softmax_cross_entropy over `rows` rows, in host memory.
BatchScore batch_score(ConstSpan<float> sums, int rows);

}  // namespace apam::engine

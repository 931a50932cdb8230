// The differentiable operations: free functions from Var to Var. Each checks shapes, runs a kernel chosen for the problem,
// and records a node when the tape is recording. Shapes: images (N, H, W, C), rows (N, C). Errors: ShapeError that names the
// operation and both values.
#pragma once

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
  StatisticsId statistics;  ///< invalid: no running statistics; inference normalises by the batch too
  float eps = 1e-5F;
};
struct BatchNormOptions {
  const Var* residual = nullptr;  ///< added before the activation; the shape of x
  bool relu = false;
};
/// x (..., C) -> the shape of x. In training mode the batch's mean and unbiased variance go to the arena's batch statistics,
/// so that one with statistics has one use a pass. Throws KernelError for a second, and for a residual that is x itself.
Var batch_norm(const Var& x, const BatchNormParameters& parameters, BatchNormOptions options = {});

/// max(0, x), any shape; NaN stays NaN.
Var relu(const Var& x);

/// a + b, of one shape.
Var add(const Var& a, const Var& b);

/// factor * x, any shape.
Var scale(const Var& x, float factor);

/// (N, H, W, C) -> (N, H/window, W/window, C); the window moves by its own size.
Var avg_pool(const Var& x, int window);

/// x (N, ...) seen as (N, C); weight (K, C), bias (K) -> (N, K).
Var linear(const Var& x, ParameterId weight, ParameterId bias);

/// What a batch scored: sums over its rows, not means. A label whose logit is not finite counts in neither top1 nor top5, and
/// a logit of NaN ranks before every label. The loss is not finite where a logit is NaN or +Inf, or a label's -Inf.
struct BatchScore {
  double loss_sum = 0.0;
  int top1 = 0;  ///< rows whose label has the largest logit; of equal ones the first class
  int top5 = 0;  ///< rows whose label is among the five largest
  int rows = 0;
};

/// Log-softmax and negative log-likelihood (cross-entropy) of logits (N, K) or (N, 1, 1, K) against labels (N) in 0 .. K-1,
/// which must stay as they are until backward has run. When recording, backward starts here with
/// d loss / d logits = gradient_scale * (softmax - onehot): 1 / N for the mean over the batch, 1 / (global batch) when
/// several workers share one. Throws InputError for a label out of range.
BatchScore softmax_cross_entropy(const Var& logits, Labels labels, float gradient_scale);

}  // namespace apam::engine

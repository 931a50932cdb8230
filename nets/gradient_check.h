// Computes the gradients of a mini-batch from files to a file, for comparison with other implementations.
#pragma once

#include <filesystem>
#include <functional>

#include "kernels/runtime/exec.h"
#include "nets/net.h"

namespace apam::nets {

struct GradientFiles {
  std::filesystem::path weights;  ///< in: a weight file (nets/weight_file.h)
  std::filesystem::path batch;    ///< in: `input` (N, 3, 32, 32) F32, already normalised, and `target` (N) I64
  std::filesystem::path out;      ///< out: `loss`, and each parameter's gradient under its name and shape
};

struct GradientSummary {
  double loss = 0.0;  ///< mean cross-entropy
  int top1 = 0;       ///< correctly classified rows
  int rows = 0;
};

/// Runs `net` forward and backward in training mode (batch norm by the batch) with the mean cross-entropy as loss.
/// Throws InputError for a file that is malformed or does not match the net, and, before it computes, if `out` cannot be
/// written. `computed` receives the result before `out` is written.
GradientSummary compute_gradients(Exec& exec, const Net& net, const GradientFiles& files,
                                  const std::function<void(const GradientSummary&)>& computed = {});

}  // namespace apam::nets

// The commands of the program. Each returns the exit status.
#pragma once

#include <string>
#include <vector>

#include "apam/training/options.h"

namespace apam::cli {

/// The program and its arguments, as it was started.
using CommandLine = std::vector<std::string>;

/// Trains; rank 0 leaves a run folder. 0; 2 when ranks were asked different things; 3 when the model diverged; or 128 + the
/// signal that ended it early.
int train(const TrainOptions& options, const CommandLine& command);

/// Scores a saved model on the test images. 0, or 3 when their loss is not finite.
int eval(const EvalOptions& options);

/// The gradients of one given mini-batch at given weights, from file to file.
int gradients(const GradientsOptions& options);

/// What this build can do and what this machine has; and which kernels a net gets here.
int info(const InfoOptions& options);

}  // namespace apam::cli

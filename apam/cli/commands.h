// The commands of the program. Each returns the exit code.
#pragma once

#include <string>
#include <vector>

#include "apam/training/options.h"

namespace apam::cli {

/// The program and its arguments.
using CommandLine = std::vector<std::string>;

/// Trains; rank 0 writes a run folder. 0; 2 if the ranks got different options; 3 if the model diverged; 128 + the signal that
/// ended it early.
int train(const training::TrainOptions& options, const CommandLine& command);

/// Evaluates a saved model on the images of --eval-split. 0; 3 if the loss is not finite.
int eval(const training::EvalOptions& options);

/// Gradients of one given mini-batch at given weights, from file to file.
int gradients(const training::GradientsOptions& options);

/// This build, this machine, and the kernels of a net.
int info(const training::InfoOptions& options);

}  // namespace apam::cli

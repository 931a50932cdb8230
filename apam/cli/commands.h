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

/// Repeats a recorded asynchronous run and compares its losses and its last state. 0; 1 if they differ; 128 + the signal that
/// ended it early.
int replay(const training::ReplayOptions& options);

/// Gradients of one given mini-batch at given weights, from file to file.
int gradients(const training::GradientsOptions& options);

/// This build, this machine, and the kernels of a net.
int info(const training::InfoOptions& options);

/// Packs a data set into one file. 0; 128 + the signal that ended it early: the next call continues.
int data_pack(const training::DataPackOptions& options);

/// Reads a data set and prints counts, hashes and statistics. 0; 1 if it is damaged, or differs from the full set as published.
int data_check(const training::DataCheckOptions& options);

/// Writes a data set in another form. 0; 128 + the signal that ended it early: nothing is left.
int data_export(const training::DataExportOptions& options);

}  // namespace apam::cli

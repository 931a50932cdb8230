// checkpoint.safetensors of a run folder: what a training needs to be continued with the same updates (--resume).
//
//   states    (versions, state) float32: the newest versions of [ weights | running statistics ], oldest first. As many as the
//             run keeps readable: one, or those of --max-delay
//   moments   float32, as the optimizer has them
//   metadata  "apam": JSON with the other members of Checkpoint
//
// In memory order, not PyTorch's: model.safetensors is the file for other programs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apam/exchange/leases.h"
#include "apam/exchange/weight_history.h"
#include "apam/training/agreement.h"
#include "apam/training/json_text.h"
#include "apam/training/run_folder.h"
#include "engine/optim/updater.h"

namespace apam::training {

/// Names and values, in the order in which differences are reported.
using TrainingFields = std::vector<std::pair<std::string, std::string>>;

struct Checkpoint {
  static constexpr std::string_view kFile = RunFolder::kCheckpoint;

  std::int64_t update = 0;            ///< version of the newest state
  InitialWeights initial{};           ///< of the training
  exchange::BatchProgress batches{};  ///< of version `update`
  std::int64_t copied_bytes = 0;      ///< by the transport, in all parts of the training; 0 too if it does not count them
  TrainingFields fields{};            ///< what the training depends on: options, data, model
  Json metrics{};                     ///< of training_metrics.h
  std::map<std::string, std::int64_t> files{};  ///< sizes of the files that grow, by name

  /// The arrays of the file.
  struct Arrays {
    std::int64_t versions = 1;
    std::span<const float> states, moments;
  };
  /// Atomically. Throws InputError if the file cannot be written.
  void write(const std::filesystem::path& path, const Arrays& arrays) const;

  /// Of a file that was read.
  std::int64_t versions = 0;
  std::vector<float> states{}, moments{};

  /// Throws InputError for a file that is malformed.
  static Checkpoint read(const std::filesystem::path& path);

  /// Copy state, moments and version. Throw InputError for a model or an optimizer of another size.
  void restore(const engine::ParameterArena& arena) const;
  void restore(engine::Updater& updater) const;
  /// Publishes all states. The history must be empty.
  void restore(exchange::WeightHistory& history) const;
  /// Frees the arrays: they are as large as the model and its moments, and not needed once they are restored.
  void drop_arrays() {
    states = std::vector<float>();
    moments = std::vector<float>();
  }

 private:
  std::span<const float> state(std::int64_t index) const;
};

/// What a training depends on and may not change.
TrainingFields training_fields(const TrainOptions& options, const RunPlan& plan);

/// The checkpoint of the run in --out, with --resume; nothing if that run has none, so that it begins. Throws UsageError if it
/// is of another training, InputError if it is malformed or the run is complete.
std::optional<Checkpoint> find_checkpoint(const TrainOptions& options, const RunPlan& plan);

/// The state of the checkpoint, or else initial weights; otherwise as load_initial_weights(). Returns those of the first part
/// of the training.
InitialWeights load_state(const TrainOptions& options, Exec& exec, const engine::ParameterArena& arena,
                          const std::optional<Checkpoint>& saved);

}  // namespace apam::training

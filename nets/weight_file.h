// Weights and gradients as safetensors files with the names, order and shapes of PyTorch's state_dict: convolutions are
// (K, C, R, S) in files, (K, R, S, C) in the arena.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "engine/parameters.h"

namespace apam::nets {

/// Writes the arena's weights and running statistics, atomically. `batches_tracked` is PyTorch's num_batches_tracked: the
/// number of batches that contributed to the statistics. Throws InputError if the file cannot be written.
void save_weights(const std::filesystem::path& path, const engine::ParameterArena& arena, std::int64_t batches_tracked);

struct LoadedWeights {
  bool running_statistics = false;              ///< false: not in the file, reset to means 0 and variances 1
  std::optional<std::int64_t> batches_tracked;  ///< the largest num_batches_tracked, if any
};

/// Reads weights and running statistics into the arena's state. The file has the statistics of all batch norms or of none.
/// Throws InputError for a malformed file and for a missing or unknown tensor or one of the wrong shape or dtype, naming
/// tensor, expected and found value. The arena is unchanged after an error.
LoadedWeights load_weights(const std::filesystem::path& path, const engine::ParameterArena& arena);

/// Writes the arena's gradients under the names of their parameters, and the scalar `loss`.
void save_gradients(const std::filesystem::path& path, const engine::ParameterArena& arena, float loss);

/// SHA-256 of little-endian float32 values, in lower-case hex.
struct StateDigests {
  std::string weights;  ///< of all parameters, in the order and shapes of the weight file
  /// Of the same, followed by the running mean and variance of each batch norm in the order of the file, without
  /// num_batches_tracked. Equals `weights` if there are no statistics.
  std::string state;
};
StateDigests sha256_of(const engine::ParameterArena& arena);

}  // namespace apam::nets

// Weights and gradients as safetensors under PyTorch's names, order and shapes: convolutions (K, C, R, S), where the arena
// has (K, R, S, C). A state_dict goes in and out unchanged.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "engine/parameters.h"

namespace apam::nets {

/// Writes the arena's weights and running statistics. `batches_tracked` is the number of batches behind the statistics:
/// PyTorch's num_batches_tracked. The file appears whole or not at all. Throws InputError when it cannot be written.
void save_weights(const std::filesystem::path& path, const engine::ParameterArena& arena, std::int64_t batches_tracked);

struct LoadedWeights {
  bool running_statistics = false;              ///< the file had them; without, they are at their defaults, 0 and 1
  std::optional<std::int64_t> batches_tracked;  ///< the largest num_batches_tracked, if there is any
};

/// Reads weights, and running statistics if the file has them all (it may have none), into the arena's state.
/// Throws InputError that names the tensor, what was expected and what was found, for a malformed file and for a missing,
/// unknown or wrongly shaped tensor; the arena is then as it was.
LoadedWeights load_weights(const std::filesystem::path& path, const engine::ParameterArena& arena);

/// Writes the arena's gradients under the names of their parameters, and the scalar `loss`.
void save_gradients(const std::filesystem::path& path, const engine::ParameterArena& arena, float loss);

/// SHA-256 of all parameters as float32, little endian, in the order and shapes of the weight file; lower-case hex.
std::string weights_sha256(const engine::ParameterArena& arena);

/// The same over parameters and then running statistics: of each batch norm, in the order of the file, the mean and the
/// variance, without num_batches_tracked. Without statistics it equals weights_sha256().
std::string state_sha256(const engine::ParameterArena& arena);

}  // namespace apam::nets

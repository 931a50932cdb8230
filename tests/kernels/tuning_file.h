// The file of a folder's tuning cache, for tests that read or damage it.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/tuning_cache.h"

namespace apam::kernels {

inline std::filesystem::path tuning_file(const std::filesystem::path& folder) { return TuningCache(folder).file(); }

inline nlohmann::json tuning_content(const std::filesystem::path& folder) {
  return nlohmann::json::parse(std::ifstream(tuning_file(folder)));
}

}  // namespace apam::kernels

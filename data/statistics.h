// Counts, hashes and statistics of all images of a data set, for `apam data check`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/source.h"

namespace apam::data {

struct PartStatistics {
  std::string name;
  std::int64_t images = 0;
  std::vector<std::int64_t> images_per_class{};  ///< by label
  std::vector<double> mean{}, deviation{};       ///< (C), in units of byte / 255; deviation: sqrt(mean of squares - mean^2)
  std::string labels_sha256{};                   ///< of int32 (N), little-endian
  std::string pixels_sha256{};                   ///< of uint8 (N, H, W, C)
};

/// Reads all images. Throws what source.read() throws, and InputError for a label outside the classes or another number of
/// images than announced. `progress`, if given, receives the number of images read so far, every few hundred images.
std::vector<PartStatistics> statistics_of(Source& source, const std::function<void(std::int64_t)>& progress = {});

/// One line per difference from the full data set as published; none if there is no such set.
std::vector<std::string> differences_from_official(std::string_view name, const std::vector<PartStatistics>& parts);

}  // namespace apam::data

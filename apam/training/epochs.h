// Passes over the training images, as a function of the updates made.
#pragma once

#include <algorithm>
#include <cstdint>

namespace apam::training {

struct Epochs {
  std::int64_t updates = 1;  ///< of a pass, rounded up; after a synchronous warm-up if there is one
  std::int64_t warmup_updates = 0;
  double warmup_weight = 1;  ///< each of these has the images of so many later updates

  double at(std::int64_t update) const {
    const auto first = static_cast<double>(std::min(update, warmup_updates));
    return (static_cast<double>(update) + (warmup_weight - 1) * first) / static_cast<double>(updates);
  }
};

}  // namespace apam::training

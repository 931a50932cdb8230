// Passes over the training images, as a function of the updates made.
//
//   batches(u) = min(all, K u + (W - K) min(u, warm-up updates))
//
// An update is the mean of K mini-batches, one of a synchronous warm-up of W. The last update of a run may have fewer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

namespace apam::exchange {

struct Epochs {
  std::int64_t batches = 1;             ///< of a pass
  std::int64_t batches_per_update = 1;  ///< K
  std::int64_t warmup_updates = 0;
  std::int64_t batches_per_warmup_update = 1;                           ///< W
  std::int64_t all_batches = std::numeric_limits<std::int64_t>::max();  ///< of the run

  std::int64_t batches_of(std::int64_t update) const {
    const std::int64_t first = std::min(update, warmup_updates);
    return std::min(all_batches, first * batches_per_warmup_update + (update - first) * batches_per_update);
  }

  /// Passes after `update` updates.
  double at(std::int64_t update) const { return static_cast<double>(batches_of(update)) / static_cast<double>(batches); }

  /// Whether update `update` >= 1 completes a pass.
  bool ends_at(std::int64_t update) const { return batches_of(update) / batches > batches_of(update - 1) / batches; }

  /// After a warm-up.
  double updates_per_epoch() const { return static_cast<double>(batches) / static_cast<double>(batches_per_update); }

  /// The fewest updates of `epochs` whole passes after a warm-up.
  std::int64_t updates_of(std::int64_t epochs = 1) const {
    const std::int64_t all = epochs * batches;
    return all / batches_per_update + (all % batches_per_update != 0 ? 1 : 0);
  }
};

}  // namespace apam::exchange

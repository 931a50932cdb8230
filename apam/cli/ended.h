// The end of a run of several ranks, some of which may have gone.
#pragma once

#include <string>
#include <vector>

#include "apam/training/training_metrics.h"

namespace apam::cli {

/// How the job ends, the same on all ranks.
struct Ended {
  int code = 0;
  bool some_left = false;  ///< ranks have gone, so that no collective call can end any more

  std::string to_text() const;
  /// Throws InputError for anything but the result of to_text().
  static Ended from_text(const std::string& text);
};

/// The ranks of the workers that have left.
std::vector<int> departed_ranks(const training::TrainingMetrics& metrics);

}  // namespace apam::cli

#include "apam/training/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace apam::training {

std::string describe_duration(double seconds) {
  const auto total = static_cast<std::int64_t>(std::llround(std::max(0.0, seconds)));
  if (total < 60) return fmt::format("{}s", total);
  if (total < 3600) return fmt::format("{}m{:02}s", total / 60, total % 60);
  return fmt::format("{}h{:02}m", total / 3600, total / 60 % 60);
}

std::string describe(const Status& status) {
  std::string line = fmt::format("epoch {:.2f}/{:.4g}  update {}/{}  {:.1f} images/s  loss {:.4f}", status.epoch, status.epochs,
                                 status.update, status.updates, status.images_per_second, status.loss);
  if (status.test_accuracy) line += fmt::format("  test {:.1f} %", 100 * *status.test_accuracy);
  if (status.test_top5) line += fmt::format("  top-5 {:.1f} %", 100 * *status.test_top5);
  if (status.stale) line += fmt::format("  staleness {:.1f} (max {})", status.staleness_mean, status.staleness_max);
  if (status.seconds_left) line += fmt::format("  ETA {}", describe_duration(*status.seconds_left));
  return line;
}

}  // namespace apam::training

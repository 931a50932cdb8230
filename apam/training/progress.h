// The state of a run, for people to watch. The terminal is in apam/cli/terminal_progress.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace apam::training {

struct Status {
  double epoch = 0, epochs = 0;  ///< completed, and total
  std::int64_t update = 0, updates = 0;
  double seconds = 0;  ///< since the run began
  std::optional<double> seconds_left{};
  double images_per_second = 0;  ///< recent
  double loss = 0;               ///< recent mean
  std::optional<double> test_accuracy{}, test_top5{};
  double staleness_mean = 0;  ///< recent, in updates
  std::int64_t staleness_max = 0;
  bool stale = false;  ///< several workers, artificial delay, or stale gradients: show staleness
};

/// "epoch 1.24/2  update 31/50  47.3 images/s  loss 1.842  test 41.2 %  top-5 90.3 %  staleness 1.0 (max 2)  ETA 1m12s"
std::string describe(const Status& status);

/// "7s", "1m12s", "2h05m".
std::string describe_duration(double seconds);

class Progress {
 public:
  virtual ~Progress() = default;

  /// Whether a new status is due at `seconds` since the run began.
  virtual bool due(double seconds) const = 0;
  virtual void show(const Status& status) = 0;

  /// Prints a line that stays.
  virtual void note(const std::string& text) = 0;

  /// Keeps the last status on the screen.
  virtual void close() = 0;
};

}  // namespace apam::training

// Shows the packing of a data set, which happens on its first use and may take minutes.
#pragma once

#include <chrono>
#include <optional>
#include <ostream>
#include <string>

#include "data/pack.h"

namespace apam::cli {

/// "cinic10: 123000 of 270000 images packed (45 %), 8500 images/s"
std::string describe(const data::PackProgress& progress, double images_per_second);

/// On a terminal one line, redrawn in place; elsewhere a plain line every ten seconds.
class PackProgressLine {
 public:
  /// `columns`: see TerminalProgress.
  PackProgressLine(std::ostream& out, int columns) : out_(out), columns_(columns) {}
  ~PackProgressLine();
  PackProgressLine(const PackProgressLine&) = delete;
  PackProgressLine& operator=(const PackProgressLine&) = delete;

  void show(const data::PackProgress& progress);

 private:
  using Clock = std::chrono::steady_clock;

  std::ostream& out_;
  int columns_;
  bool open_ = false;  // the cursor is at the end of a line that may be redrawn
  std::optional<Clock::time_point> begin_, shown_;
  std::int64_t done_at_begin_ = 0;  // images that an earlier run packed
};

}  // namespace apam::cli

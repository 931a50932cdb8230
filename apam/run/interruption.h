// The user's wish to end the program early: SIGINT and SIGTERM, taken as something to ask for between two steps.
#pragma once

#include <optional>

namespace apam::run {

/// While it lives the two signals no longer end the process; pending() tells whether one has come. Make it before other
/// threads start: they inherit it.
class Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  /// The signal that has come, if any.
  std::optional<int> pending() const;
};

}  // namespace apam::run

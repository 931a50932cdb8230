// The end of a run of several ranks, some of which may have gone.
#pragma once

#include <exception>
#include <string>

#include "apam/exchange/mpi/environment.h"

namespace apam::cli {

/// How the job ends, the same on all ranks.
struct Ended {
  int code = 0;
  bool some_left = false;  ///< ranks have gone, so that no collective call can end any more

  std::string to_text() const;
  /// Throws InputError for anything but the result of to_text().
  static Ended from_text(const std::string& text);
};

/// Reports an exception and ends all ranks, since others may be waiting for this one.
[[noreturn]] void end_job_after(const std::exception& error, const exchange::mpi::Environment& environment);

}  // namespace apam::cli

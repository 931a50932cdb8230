// How the clocks of hosts differ. CLOCK_MONOTONIC counts from an arbitrary moment on each host.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apam/exchange/mpi/environment.h"

namespace apam::exchange::mpi {

/// Nanoseconds. time on rank 0 = time on this rank - offset, to within error.
struct ClockOffset {
  std::int64_t offset = 0;
  std::int64_t error = 0;
  std::int64_t at = 0;  ///< when it was measured, on this rank's clock
};

/// The offset of this rank's clock to that of rank 0: zero if hosts[rank] is the host of rank 0. Otherwise from 32 round trips:
/// of the shortest, of t, rank 0 takes the middle for the moment at which this rank answered, so the error is at most t / 2.
/// Collective; the ranks take turns. Throws ExchangeError if MPI fails.
ClockOffset measure_clock_offset(const Environment& environment, const std::vector<std::string>& hosts);

}  // namespace apam::exchange::mpi

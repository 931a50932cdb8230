// MPI as a resource: one per process, in the thread that uses it.
#pragma once

#include <string>
#include <string_view>

namespace apam::exchange::mpi {

/// Starts MPI and ends it. Collective: all ranks construct and destroy it.
class Environment {
 public:
  /// Starts MPI (MPI_THREAD_FUNNELED: this thread alone calls it). Throws ExchangeError when MPI refuses, and when the
  /// launcher started several processes that do not see each other (apam/exchange/mpi/launch.h); argv goes into that advice. Of those
  /// processes one throws; the others leave it time to speak and exit with status 1.
  Environment(int argc, const char* const* argv);

  /// finish(0); not while an exception passes, since the other ranks may be waiting in an exchange: report it, then call
  /// end_job.
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  /// Waits for all ranks and ends MPI; returns `status`, which is to be the same on all ranks and the process's own. The last
  /// thing to do: if MPI_Finalize does not return, the process ends with `status`.
  int finish(int status) noexcept;

  int rank() const { return rank_; }
  int ranks() const { return ranks_; }

 private:
  int exceptions_;  // in flight when this was made
  bool finished_ = false;
  int rank_ = 0, ranks_ = 1;
};

/// Ends this process and, where MPI runs, all ranks with it. `status` must not be 0.
[[noreturn]] void end_job(int status) noexcept;

/// One line that names the MPI library, its version and its interconnect. Works without an Environment.
std::string library_version();

/// The launcher that belongs to the MPI in this build: "mpiexec.mpich".
std::string_view launcher();

}  // namespace apam::exchange::mpi

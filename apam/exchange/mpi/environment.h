// MPI as a resource: one per process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace apam::exchange::mpi {

/// Which threads call MPI: one at a time, or several at once.
enum class Threads : std::uint8_t { one, any };

/// Starts MPI and ends it. Collective: all ranks construct and destroy it.
class Environment {
 public:
  /// Starts MPI. Throws ExchangeError if MPI fails, or if the launcher started several processes that do not see each other
  /// (launch.h); that message suggests a command with argv. One of those processes throws; the others give it time to report
  /// and end with exit code 1.
  Environment(int argc, const char* const* argv, Threads threads = Threads::one);

  /// finish(0), except during an exception: other ranks may be waiting. Report the exception, then call end_job.
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  /// Waits for all ranks and ends MPI. Returns `status`, the exit code of this process, which must be the same on all ranks.
  /// Call it last: if MPI_Finalize does not return, the process ends with `status`.
  int finish(int status) noexcept;

  int rank() const { return rank_; }
  int ranks() const { return ranks_; }
  Threads threads() const { return threads_; }

 private:
  int exceptions_;  // in flight at construction
  bool finished_ = false;
  int rank_ = 0, ranks_ = 1;
  Threads threads_;
};

/// Ends this process and, if MPI is running, all ranks. `status` must not be 0.
[[noreturn]] void end_job(int status) noexcept;

/// Ends this process, without waiting for ranks that have gone already: MPI_Finalize would. For a run that is complete but for
/// them; every other rank calls it too.
[[noreturn]] void leave_job(int status) noexcept;

/// One line with the MPI library, its version and its interconnect. Works without an Environment.
std::string library_version();

/// The launcher of the MPI in this build: "mpiexec.mpich".
std::string_view launcher();

}  // namespace apam::exchange::mpi

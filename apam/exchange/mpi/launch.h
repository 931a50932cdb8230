// The launcher's environment variables: the rank, and a check that launcher and MPI library match. The mpiexec of another MPI
// silently starts N processes with a world of one rank each. No <mpi.h>: works before MPI starts.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace apam::exchange::mpi {

/// The value of an environment variable; nothing if it is not set.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

/// The environment of this process.
std::optional<std::string> process_environment(std::string_view name);

/// The rank of this process according to its launcher; 0 without a launcher.
int launch_rank(const Lookup& lookup);

/// Several processes of one launch.
struct Launched {
  std::string processes;      ///< "3", or "several" if only the rank is known
  bool by_pmi = false;        ///< as the launcher of MPICH does: the processes are ranks of one MPI world
  bool first_to_know = true;  ///< false: another process of the launch knows the same, and can report it
};

/// Nothing for a single process.
std::optional<Launched> several_processes(const Lookup& lookup);

struct LaunchFault {
  std::string message;  ///< one line, with the command to use
  bool reports = true;  ///< false: another process of the same launch reports the fault
};

/// The fault of a launch that gave an MPI world of `world_size` ranks, or nothing. `launcher`: the matching mpiexec; `command`:
/// the program and its arguments, for the message.
std::optional<LaunchFault> launch_fault(const Lookup& lookup, int world_size, std::string_view launcher,
                                        std::span<const std::string> command);

}  // namespace apam::exchange::mpi

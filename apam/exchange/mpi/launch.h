// What the launcher of this process says in its environment: the rank, and whether it and the MPI that the program is built
// on understood each other. The mpiexec of
// another MPI starts N processes that each find themselves alone, without a word.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace apam::exchange {

/// Looks a variable up in the environment; empty when it is not set.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

/// The environment of this process.
std::optional<std::string> process_environment(std::string_view name);

/// The rank of this process as its launcher tells it, before MPI is asked; 0 without a launcher.
int launch_rank(const Lookup& lookup);

struct LaunchFault {
  std::string message;  ///< one line, with the command to use
  bool speaks = true;   ///< false: another process of the same launch says it already
};

/// What is wrong with a launch that ended in an MPI world of `world_size` ranks, or nothing. `launcher` is the right
/// mpiexec, `command` the program and its arguments, for the advice.
std::optional<LaunchFault> launch_fault(const Lookup& lookup, int world_size, std::string_view launcher,
                                        std::span<const std::string> command);

}  // namespace apam::exchange

#include "apam/exchange/mpi/launch.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

namespace apam::exchange::mpi {
namespace {

// A variable as a non-negative number, or nothing.
std::optional<int> number(const Lookup& lookup, std::string_view name) {
  const auto text = lookup(name);
  if (!text) return {};
  int value = -1;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size() || value < 0) return {};
  return value;
}

// A job according to its launcher.
struct Launch {
  std::string_view launcher;
  std::optional<int> processes;  // nothing if only the rank is known
  int rank = 0;
};

// Launchers by the variables they set, innermost first: an inner job inherits the variables of an outer one. Hydra (MPICH) and
// PMI-1/2 set PMI_SIZE, Open MPI sets OMPI_COMM_WORLD_SIZE. Slurm's count is that of srun's step, which is wrong if Hydra
// started its proxies by srun, so it is checked after them. SLURM_NTASKS is not used: a batch script, which is one process, has
// it too. PMIx sets only the rank.
std::optional<Launch> read_launch(const Lookup& lookup) {
  if (const auto size = number(lookup, "PMI_SIZE")) {
    return Launch{"a PMI launcher", size, number(lookup, "PMI_RANK").value_or(0)};
  }
  if (const auto size = number(lookup, "OMPI_COMM_WORLD_SIZE")) {
    return Launch{"mpiexec of Open MPI", size, number(lookup, "OMPI_COMM_WORLD_RANK").value_or(0)};
  }
  const auto step = number(lookup, "SLURM_STEP_NUM_TASKS");
  if (step && number(lookup, "SLURM_PROCID")) {
    return Launch{"srun of Slurm", step, number(lookup, "SLURM_PROCID").value_or(0)};
  }
  if (const auto rank = number(lookup, "PMIX_RANK")) return Launch{"a PMIx launcher", {}, *rank};
  return {};
}

std::string quoted(const std::string& word) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%^";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + "'";
}

}  // namespace

std::optional<std::string> process_environment(std::string_view name) {
  const char* value = std::getenv(std::string(name).c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

int launch_rank(const Lookup& lookup) {
  const auto launch = read_launch(lookup);
  return launch ? launch->rank : 0;
}

std::optional<Launched> several_processes(const Lookup& lookup) {
  const auto launch = read_launch(lookup);
  if (!launch || launch->processes.value_or(launch->rank + 1) <= 1) return {};
  const bool counted = launch->processes.has_value();
  return Launched{.processes = counted ? fmt::format("{}", *launch->processes) : "several",
                  .by_pmi = number(lookup, "PMI_SIZE").has_value(),
                  .first_to_know = launch->rank == (counted ? 0 : 1)};
}

std::optional<LaunchFault> launch_fault(const Lookup& lookup, int world_size, std::string_view launcher,
                                        std::span<const std::string> command) {
  const auto launch = read_launch(lookup);
  if (!launch) return {};
  const bool agrees = launch->processes ? *launch->processes == world_size : launch->rank < world_size;
  if (agrees) return {};
  std::string line;
  for (const auto& word : command) line.append(" ").append(quoted(word));
  const std::string count = launch->processes ? fmt::format("{}", *launch->processes) : "N";
  const std::string started = launch->processes ? fmt::format("{} processes", *launch->processes) : "several processes";
  return LaunchFault{
      fmt::format("launch: {} started {}, but MPI sees {}: it is not the launcher of the MPI in this program; "
                  "use: {} -n {}{}",
                  launch->launcher, started,
                  world_size == 1 ? std::string("a world of 1 rank each") : fmt::format("a world of {}", world_size), launcher,
                  count, line),
      launch->processes ? launch->rank == 0 : launch->rank == 1};
}

}  // namespace apam::exchange::mpi

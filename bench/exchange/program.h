// main() of benchmarks with several ranks.
#pragma once

#include <utility>

#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/mpi/launch.h"
#include "bench/program.h"

namespace apam::bench {

/// run_program() with MPI. `run` receives the Environment. It throws a Mistake on all ranks or on none, which one reports;
/// another exception ends all ranks.
template <class Run>
int run_ranks(CLI::App& app, int argc, const char* const* argv, Run&& run) {
  namespace mpi = exchange::mpi;
  const auto with_mpi = [&] {
    try {
      mpi::Environment environment(argc, argv);
      int code = 2;
      try {
        code = run(std::as_const(environment));
      } catch (const Mistake& mistake) {
        if (environment.rank() == 0) report(app, mistake.what());
      }
      return environment.finish(code);
    } catch (const std::exception& error) {
      report(app, error.what());
      mpi::end_job(1);
    }
  };
  return run_program(app, argc, argv, with_mpi, mpi::launch_rank(mpi::process_environment) == 0);
}

}  // namespace apam::bench

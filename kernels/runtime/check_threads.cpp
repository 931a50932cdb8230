// Starts the requested number of threads at the same time, then ends them.
#include <condition_variable>
#include <mutex>
#include <vector>

#include "kernels/runtime/cores.h"
#include "kernels/runtime/parallel.h"
#include "kernels/runtime/start_thread.h"

namespace apam {

void check_threads(int threads) {
  const int limit = detail::openmp_thread_limit();
  require<InputError>(threads <= limit,
                      "threads: {} requested, OpenMP grants at most {} (OMP_THREAD_LIMIT, OMP_MAX_ACTIVE_LEVELS)", threads,
                      limit);
  std::mutex mutex;
  std::condition_variable_any changed;
  const auto wait = [&](const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    changed.wait(lock, stop, [] { return false; });
  };
  std::vector<std::jthread> helpers;
  for (int thread = 2; thread <= threads; ++thread) helpers.push_back(start_thread("threads", thread, threads, wait));
}

}  // namespace apam

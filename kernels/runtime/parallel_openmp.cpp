#include <omp.h>

#include <utility>
#include <vector>

#include "kernels/runtime/cores.h"
#include "kernels/runtime/parallel.h"

namespace apam {

void detail::run_on_threads(int threads, void (*body)(void* context, int thread), void* context) {
#pragma omp parallel num_threads(threads)
  {
    // OpenMP may grant fewer threads than requested; every index must still run.
    for (int thread = omp_get_thread_num(); thread < threads; thread += omp_get_num_threads()) body(context, thread);
  }
}

CpuSet detail::openmp_places() {
  if (omp_get_proc_bind() == omp_proc_bind_false || omp_get_proc_bind() == omp_proc_bind_master) return {};
  std::vector<int> cpus;
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> ids(static_cast<std::size_t>(omp_get_place_num_procs(place)));
    omp_get_place_proc_ids(place, ids.data());
    cpus.insert(cpus.end(), ids.begin(), ids.end());
  }
  return CpuSet(std::move(cpus));
}

int detail::openmp_thread_limit() { return omp_get_max_active_levels() < 1 ? 1 : omp_get_thread_limit(); }

LibraryThreads::LibraryThreads(int threads) : before_(omp_get_max_threads()), dynamic_before_(omp_get_dynamic() != 0) {
  omp_set_num_threads(threads);
  omp_set_dynamic(0);
}

LibraryThreads::~LibraryThreads() {
  omp_set_num_threads(before_);
  omp_set_dynamic(dynamic_before_ ? 1 : 0);
}

}  // namespace apam

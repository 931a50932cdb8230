#include <omp.h>

#include "kernels/runtime/parallel.h"

namespace apam {

void detail::run_on_threads(int threads, void (*body)(void* context, int thread), void* context) {
#pragma omp parallel num_threads(threads)
  {
    // OpenMP may grant fewer threads than asked for; every index must run all the same.
    for (int thread = omp_get_thread_num(); thread < threads; thread += omp_get_num_threads()) body(context, thread);
  }
}

LibraryThreads::LibraryThreads(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
LibraryThreads::~LibraryThreads() { omp_set_num_threads(before_); }

}  // namespace apam

// A parallel loop with dynamic scheduling, for work items of different sizes and for cores that are shared with other work. The
// result of an item must not depend on the thread that computes it.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {

/// At least, where the work can be divided: all threads then finish at about the same time.
inline constexpr std::int64_t kItemsPerThread = 4;

/// Calls body(item, thread) for item in 0 .. items-1, started in this order, on `threads` threads. Like parallel_for, it starts
/// all of them even for fewer items; a single item runs on the calling thread.
template <class Body>
void dynamic_loop(int threads, std::int64_t items, const Body& body) {
  std::atomic<std::int64_t> next{0};
  parallel(items > 1 ? threads : 1, [&](int thread) {
    for (std::int64_t item = next.fetch_add(1, std::memory_order_relaxed); item < items;
         item = next.fetch_add(1, std::memory_order_relaxed)) {
      body(item, thread);
    }
  });
}

}  // namespace apam::kernels::cpu

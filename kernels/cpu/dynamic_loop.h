// A parallel loop over work items that differ in size, or on cores that others use too: threads take the next item when
// they are done with one. Which thread computes an item must not change its result.
#pragma once

#include <atomic>
#include <cstdint>

#include "kernels/runtime/parallel.h"

namespace apam::kernels::cpu {

/// Calls body(item, thread) for item in 0 .. items-1, in about that order, on `threads` threads. As parallel_for, it calls
/// them all even where there are fewer items, and none but the caller for one item.
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

// Parallel loops on the CPU. parallel_openmp.cpp uses OpenMP, parallel_threads.cpp our own thread pool (for ThreadSanitizer,
// and for compilers without OpenMP); CMake builds one of the two.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace apam {

namespace detail {
/// The contract is that of parallel().
void run_on_threads(int threads, void (*body)(void* context, int thread), void* context);
}  // namespace detail

/// Calls body(thread) for thread in 0 .. threads-1 and returns when all calls have. Bodies may or may not run concurrently: a
/// body must not wait for another body and must not throw. Allocates nothing.
template <class Body>
void parallel(int threads, Body&& body) {
  if (threads <= 1) {
    body(0);
    return;
  }
  using Function = std::remove_reference_t<Body>;
  detail::run_on_threads(
      threads, [](void* context, int thread) { (*static_cast<Function*>(context))(thread); },
      const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

/// Half-open range of work.
struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Part `part` of `parts` nearly equal parts of 0 .. count-1, cut at multiples of `grain`.
constexpr Range split(std::int64_t count, std::int64_t part, std::int64_t parts, std::int64_t grain = 1) {
  const std::int64_t grains = (count + grain - 1) / grain;
  return {std::min(count, grains * part / parts * grain), std::min(count, grains * (part + 1) / parts * grain)};
}

/// Calls body(begin, end) on disjoint ranges that cover 0 .. count-1, cut at multiples of `grain`, at most one per thread.
/// With fewer ranges than threads the whole team still starts, because OpenMP destroys the threads that a smaller team does not
/// use and creates new ones for the next larger team. A single range runs on the calling thread.
template <class Body>
void parallel_for(int threads, std::int64_t count, std::int64_t grain, Body&& body) {
  const auto parts = static_cast<int>(std::min<std::int64_t>(threads, (count + grain - 1) / grain));
  if (parts <= 1) {
    if (count > 0) body(std::int64_t{0}, count);
    return;
  }
  parallel(threads, [&](int thread) {
    if (thread >= parts) return;
    const Range range = split(count, thread, parts, grain);
    if (range.begin < range.end) body(range.begin, range.end);
  });
}

/// Throws InputError if OpenMP grants fewer threads to a loop, DeviceError if the system cannot start that many now. Our own
/// loops run every index even with fewer threads; a library's kernels wait for all threads that they were made for.
void check_threads(int threads);

/// Sets, for a scope, the number of threads that an OpenMP-based library (oneDNN) uses when called from this thread: exactly
/// that many, regardless of OMP_DYNAMIC.
class LibraryThreads {
 public:
  explicit LibraryThreads(int threads);
  ~LibraryThreads();
  LibraryThreads(const LibraryThreads&) = delete;
  LibraryThreads& operator=(const LibraryThreads&) = delete;

 private:
  [[maybe_unused]] int before_;
  [[maybe_unused]] bool dynamic_before_;
};

}  // namespace apam

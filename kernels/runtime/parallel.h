// Parallel loops on the CPU. parallel_openmp.cpp runs them on OpenMP, parallel_threads.cpp on a pool of our own (for
// ThreadSanitizer, and for compilers without OpenMP); CMake builds one of the two.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <type_traits>

namespace apam {

namespace detail {
/// Calls body(context, thread) once for every thread in 0 .. threads-1 and returns when all have. They run concurrently
/// where cores are to be had, so none may wait for another; none may throw.
void run_on_threads(int threads, void (*body)(void* context, int thread), void* context);
}  // namespace detail

/// Calls body(thread) for thread in 0 .. threads-1, concurrently where it can, and returns when all have. Allocates
/// nothing. The bodies must neither throw nor wait for one another.
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

/// Calls body(begin, end) on disjoint ranges that cover 0 .. count-1, each cut at multiples of `grain`, one a thread.
/// With fewer parts than threads some threads come for nothing, because OpenMP ends the threads that a smaller team leaves
/// out and starts new ones for the next larger team. A single part runs on the calling thread.
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

/// Throws InputError when OpenMP does not grant a loop so many threads, DeviceError when the system does not start so many now.
/// Our loops run every index all the same; kernels of a library wait for as many threads as they were made for.
void check_threads(int threads);

/// The number of threads that a library built on OpenMP (oneDNN) uses when called from this thread, set for a scope; exactly
/// that many, whatever OMP_DYNAMIC says.
class LibraryThreads {
 public:
  explicit LibraryThreads(int threads);
  ~LibraryThreads();
  LibraryThreads(const LibraryThreads&) = delete;
  LibraryThreads& operator=(const LibraryThreads&) = delete;

 private:
  int before_;
  bool dynamic_before_;
};

}  // namespace apam

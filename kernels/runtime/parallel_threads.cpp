// Parallel loops on our own threads: one pool per calling thread, whose helpers sleep between loops.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "kernels/runtime/cores.h"
#include "kernels/runtime/parallel.h"

namespace apam {
namespace {

class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    start_.notify_all();
    for (auto& helper : helpers_) helper.join();
  }

  void run(int threads, void (*body)(void*, int), void* context) {
    if (running_) {  // a nested loop runs serially
      for (int thread = 0; thread < threads; ++thread) body(context, thread);
      return;
    }
    running_ = true;
    grow(threads);
    {
      const std::lock_guard lock(mutex_);
      body_ = body;
      context_ = context;
      threads_ = threads;
      team_ = std::min(threads, static_cast<int>(helpers_.size()) + 1);
      pending_ = team_ - 1;
      ++loop_;
    }
    start_.notify_all();
    for (int thread = 0; thread < threads; thread += team_) body(context, thread);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return pending_ == 0; });
    running_ = false;
  }

 private:
  /// If the system refuses a helper, the existing threads run more indices each, as in OpenMP.
  void grow(int threads) {
    try {
      while (static_cast<int>(helpers_.size()) < threads - 1) {
        const int index = static_cast<int>(helpers_.size()) + 1;
        helpers_.emplace_back([this, index, seen = loop_] { serve(index, seen); });
      }
    } catch (const std::system_error&) {
      return;
    }
  }

  void serve(int index, std::uint64_t seen) {
    std::unique_lock lock(mutex_);
    while (true) {
      start_.wait(lock, [&] { return stopping_ || loop_ != seen; });
      if (stopping_) return;
      seen = loop_;
      if (index >= team_) continue;
      const auto body = body_;
      void* context = context_;
      const int threads = threads_, team = team_;
      lock.unlock();
      for (int thread = index; thread < threads; thread += team) body(context, thread);
      lock.lock();
      if (--pending_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable start_, done_;
  std::vector<std::thread> helpers_;
  void (*body_)(void*, int) = nullptr;
  void* context_ = nullptr;
  int threads_ = 0;
  int team_ = 1;  // threads that share the indices 0 .. threads_-1
  int pending_ = 0;
  std::uint64_t loop_ = 0;
  bool stopping_ = false;
  bool running_ = false;  // used only by the owner
};

}  // namespace

void detail::run_on_threads(int threads, void (*body)(void* context, int thread), void* context) {
  thread_local Pool pool;
  pool.run(threads, body, context);
}

CpuSet detail::openmp_places() { return {}; }

int detail::openmp_thread_limit() { return Cores::kNoLimit; }

LibraryThreads::LibraryThreads(int threads) : before_(threads), dynamic_before_(false) {}
LibraryThreads::~LibraryThreads() = default;

}  // namespace apam

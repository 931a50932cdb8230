#include "apam/exchange/local/run_threads.h"

#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "kernels/runtime/start_thread.h"

namespace apam::exchange {

void run_threads(std::span<const std::function<void()>> bodies, const std::function<void(const std::string&)>& close) {
  std::mutex mutex;
  std::exception_ptr first;
  const auto run = [&](const std::function<void()>& body) {
    try {
      body();
    } catch (const std::exception& error) {
      {
        const std::lock_guard lock(mutex);
        if (!first) first = std::current_exception();
      }
      close(error.what());
    }
  };
  {
    std::vector<std::jthread> threads;
    run([&] {
      for (std::size_t i = 1; i < bodies.size(); ++i) {
        threads.push_back(
            start_thread("run_threads", static_cast<int>(i) + 1, static_cast<int>(bodies.size()), run, bodies[i]));
      }
      if (!bodies.empty()) bodies.front()();
    });
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace apam::exchange

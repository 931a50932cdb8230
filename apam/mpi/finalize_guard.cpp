#include "apam/mpi/finalize_guard.h"

#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "apam/launch.h"

namespace apam::exchange::mpi {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPatience{1000};  // MPI_Finalize takes a few milliseconds
constexpr milliseconds kSample{300};

clockid_t clock_of_this_thread() {
  clockid_t clock = CLOCK_THREAD_CPUTIME_ID;
  pthread_getcpuclockid(pthread_self(), &clock);
  return clock;
}

}  // namespace

FinalizeGuard::FinalizeGuard(int status)
    : clock_(clock_of_this_thread()), thread_([this, status](const std::stop_token& stop) { watch(stop, status); }) {}

void FinalizeGuard::watch(const std::stop_token& stop, int status) {
  if (passes(stop, kPatience)) return;
  if (const auto descriptor = process_environment("PMI_FD"); descriptor && polls()) {
    constexpr std::string_view kBarrier = "cmd=barrier_in\n";
    if (write(std::atoi(descriptor->c_str()), kBarrier.data(), kBarrier.size()) < 0) std::_Exit(status);
  }
  if (!passes(stop, 5 * kPatience)) std::_Exit(status);
}

// Whether this was stopped before the time was over.
bool FinalizeGuard::passes(const std::stop_token& stop, milliseconds time) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, stop, time, [&] { return stop.stop_requested(); });
}

// Whether the thread in MPI_Finalize uses its core.
bool FinalizeGuard::polls() const {
  const auto used = [this] {
    timespec time{};
    clock_gettime(clock_, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  const auto before = used();
  std::this_thread::sleep_for(kSample);
  return used() - before > kSample / 20;
}

}  // namespace apam::exchange::mpi

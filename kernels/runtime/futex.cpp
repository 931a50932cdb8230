#include "kernels/runtime/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

#include "kernels/runtime/error.h"

namespace apam::futex {
namespace {

/// Not FUTEX_PRIVATE_FLAG: the kernel then finds waiters of other processes.
long call(const Word& word, int operation, std::uint32_t value, const timespec* timeout) {
  return ::syscall(SYS_futex, &word, operation, value, timeout, nullptr, 0);
}

}  // namespace

bool wait(const Word& word, std::uint32_t seen, std::chrono::nanoseconds timeout) {
  if (timeout.count() <= 0) return false;
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  const timespec limit{.tv_sec = timeout.count() / kNanoseconds, .tv_nsec = timeout.count() % kNanoseconds};
  if (call(word, FUTEX_WAIT, seen, &limit) == 0) return true;
  const int error = errno;
  require<DeviceError>(error == ETIMEDOUT || error == EAGAIN || error == EINTR, "futex: cannot wait for the word at {}: {}",
                       static_cast<const void*>(&word), reason_of(error));
  return error != ETIMEDOUT;
}

void wake_all(const Word& word) {
  if (call(word, FUTEX_WAKE, INT_MAX, nullptr) >= 0) return;
  const int error = errno;
  fail<DeviceError>("futex: cannot wake those that wait for the word at {}: {}", static_cast<const void*>(&word),
                    reason_of(error));
}

}  // namespace apam::futex

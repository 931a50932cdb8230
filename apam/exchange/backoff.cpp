#include "apam/exchange/backoff.h"

#include <algorithm>
#include <thread>

namespace apam::exchange {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

nanoseconds Backoff::next(Waiting waiting) {
  constexpr int kYields = 40, kTransferSleeps = 500;
  constexpr nanoseconds kFirst = microseconds(20), kIdle = microseconds(1000);
  constexpr nanoseconds kTransfer = microseconds(100), kLongTransfer = microseconds(400);
  if (polls_ < kYields + kTransferSleeps) ++polls_;
  if (polls_ <= kYields) return {};
  const nanoseconds transfer = polls_ < kYields + kTransferSleeps ? kTransfer : kLongTransfer;
  sleep_ = std::min(waiting == Waiting::transfer ? transfer : kIdle, std::max(kFirst, sleep_ + sleep_ / 8));
  return sleep_;
}

void Backoff::pause(Waiting waiting) {
  const nanoseconds sleep = next(waiting);
  if (sleep.count() == 0) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(sleep);
  }
}

}  // namespace apam::exchange

#include "apam/backoff.h"

#include <algorithm>
#include <thread>

namespace apam::exchange {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

nanoseconds Backoff::next(Waiting waiting) {
  constexpr int kYields = 40;
  constexpr nanoseconds kFirst = microseconds(20);
  const nanoseconds limit = microseconds(waiting == Waiting::transfer ? 100 : 1000);
  if (polls_ < kYields) {
    ++polls_;
    return {};
  }
  sleep_ = std::min(limit, std::max(kFirst, sleep_ + sleep_ / 8));
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

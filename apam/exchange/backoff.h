// Back-off between two polls: waiting uses little processor time and adds little delay.
//
// The first 40 polls yield. Then sleeps start at 20 us and grow by an eighth each, so a wait of t ends at most about t/8 late.
// The limit is 1 ms for an idle rank. While a message is in flight it is 100 us, because a polling library moves a large
// message piece by piece; after 500 such sleeps it is 400 us, because the other side may be busy. A poll with its sleep costs 5
// to 15 us of processor time: a waiting rank uses less than 5 % of a core, from 10 ms on when idle, from 100 ms on during a
// transfer.
#pragma once

#include <chrono>
#include <cstdint>

namespace apam::exchange {

class Backoff {
 public:
  enum class Waiting : std::uint8_t { idle, transfer };

  /// The sleep after the next unsuccessful poll; zero: yield.
  std::chrono::nanoseconds next(Waiting waiting);

  /// Sleeps or yields for next().
  void pause(Waiting waiting);

  /// After a successful poll.
  void reset() { *this = {}; }

 private:
  int polls_ = 0;  // unsuccessful
  std::chrono::nanoseconds sleep_{};
};

}  // namespace apam::exchange

// How long to pause between two polls, so that waiting costs little processor time and adds little delay.
//
// A pause grows by an eighth of itself up to a limit, so that a wait of t ends at most about t/8 late: first 40 polls that
// yield, then sleeps from 20 us. The limit is 1 ms while a rank has nothing to do but wait. While a message is
// under way it is 100 us, since a library that polls moves a large message piece by piece; but the other side may be busy, so
// after 500 such sleeps it is 400 us. A poll with its sleep costs 5 to 15 us of processor time: a waiting rank takes less
// than 5 % of a core, from 10 ms on when idle, from 100 ms on when it expects a message to move.
#pragma once

#include <chrono>
#include <cstdint>

namespace apam::exchange {

class Backoff {
 public:
  enum class Waiting : std::uint8_t { idle, transfer };

  /// The sleep after the next unsuccessful poll; zero: yield, and poll again.
  std::chrono::nanoseconds next(Waiting waiting);

  /// Takes that pause.
  void pause(Waiting waiting);

  /// To be called when a poll found something.
  void reset() { *this = {}; }

 private:
  int polls_ = 0;  // without success
  std::chrono::nanoseconds sleep_{};
};

}  // namespace apam::exchange

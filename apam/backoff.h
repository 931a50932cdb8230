// How long to pause between two polls, so that waiting costs little processor time and adds little delay.
//
// A pause grows by an eighth of itself up to a limit, so that a wait of t ends at most about t/8 late: first 40 polls that
// yield, then sleeps from 20 us. The limit is 1 ms while a rank has nothing to do but wait, and 100 us while
// a message is under way, since a library that polls moves a large message piece by piece. A poll costs a few microseconds,
// a sleep about as many again: an idle rank takes below 5 % of a core from 10 ms on.
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
  int polls_ = 0;
  std::chrono::nanoseconds sleep_{};
};

}  // namespace apam::exchange

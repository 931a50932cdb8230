// The user's wish to end the program early, taken as something to ask for between two steps.
//
// SIGINT, SIGTERM and SIGHUP are blocked and read by a thread of their own. The first one is noted. A second one ends the
// process at once; since a launcher and a terminal may both pass on the same key press, it must come a while later. A signal
// that was ignored when the program started (nohup, a job in the background) stays ignored.
#pragma once

#include <csignal>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

namespace apam::cli {

/// While it lives the signals do not end the process; pending() tells whether one has come. Make it before other threads
/// start: they inherit the mask. Throws DeviceError when the system has no descriptor left.
class Interruption {
 public:
  /// A signal within this time of the first one is the same wish.
  static constexpr std::chrono::milliseconds kSameWish{300};

  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  /// The first signal that has come, if any. Any thread may ask; it is one atomic read.
  std::optional<int> pending() const {
    const int signal = signal_;
    return signal == 0 ? std::nullopt : std::optional(signal);
  }

 private:
  void watch();

  sigset_t signals_{};  // that this answers
  int arrived_;         // descriptor: signals
  int closing_;         // descriptor: the destructor
  std::atomic<int> signal_ = 0;
  std::jthread thread_;
};

}  // namespace apam::cli

// Signals that end the program early, as a flag to poll between two steps.
//
// SIGINT, SIGTERM and SIGHUP are blocked and read by a separate thread. The first one sets the flag. A second one ends the
// process at once, unless it arrives so soon that terminal and launcher may have passed on the same key press. Signals that
// were ignored at program start (nohup, background jobs) stay ignored.
#pragma once

#include <csignal>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

namespace apam::cli {

/// While it exists, these signals do not end the process. Make it before other threads start: they inherit the signal mask.
/// Throws DeviceError if the system has no descriptor left.
class Interruption {
 public:
  /// A signal within this time after the first one is a repetition of it.
  static constexpr std::chrono::milliseconds kRepetition{300};

  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  /// The first signal that has arrived, if any. One atomic read, from any thread.
  std::optional<int> pending() const {
    const int signal = signal_;
    return signal == 0 ? std::nullopt : std::optional(signal);
  }

 private:
  void watch();

  sigset_t signals_{};  // that are handled
  int arrived_;         // descriptor: signals
  int closing_;         // descriptor: the destructor
  std::atomic<int> signal_ = 0;
  std::jthread thread_;
};

}  // namespace apam::cli

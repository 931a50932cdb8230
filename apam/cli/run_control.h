// Clock and signals for the exchange.
#pragma once

#include <chrono>

#include "apam/cli/interruption.h"
#include "apam/exchange/control.h"
#include "apam/exchange/ending.h"
#include "kernels/runtime/error.h"

namespace apam::cli {

/// A signal arrived during set-up: there is nothing to save yet.
class Interrupted : public Error {
 public:
  explicit Interrupted(int signal)
      : Error(fmt::format("interrupted by signal {} before training began", signal)), signal_(signal) {}
  int signal() const { return signal_; }

 private:
  int signal_;
};

class RunControl final : public exchange::Control {
 public:
  /// Starts the clock. `interruption` must outlive the control.
  explicit RunControl(const Interruption& interruption) : interruption_(interruption) {}

  double now() override { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }
  int stop_signal() override { return interruption_.pending().value_or(0); }

 private:
  const Interruption& interruption_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// A signal after the last update, during the final evaluation, interrupts the run too.
inline exchange::Ending with_late_signal(exchange::Ending ending, const Interruption& interruption) {
  const auto signal = interruption.pending();
  if (ending.why == exchange::Ending::Why::complete && signal) {
    ending.why = exchange::Ending::Why::interrupted;
    ending.signal = *signal;
  }
  return ending;
}

/// Throws Interrupted if a signal has arrived.
inline void check_interruption(const Interruption& interruption) {
  if (const auto signal = interruption.pending()) throw Interrupted(*signal);
}

}  // namespace apam::cli

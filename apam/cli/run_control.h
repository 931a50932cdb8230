// Time and signals for the exchange, as they are.
#pragma once

#include <chrono>
#include <optional>
#include <utility>

#include "apam/training/run_config.h"
#include "apam/exchange/control.h"
#include "apam/cli/interruption.h"
#include "kernels/runtime/error.h"

namespace apam::cli {

/// Thrown where the set-up of a run looks at signals: there is nothing to save yet.
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
  /// Training begins now. `interruption` must outlive the control.
  explicit RunControl(const Interruption& interruption) : interruption_(interruption) {}

  double now() override { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }
  int stop_signal() override { return interruption_.pending().value_or(0); }

 private:
  const Interruption& interruption_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// How a run ended: a signal that came after the last update, while the model was evaluated, interrupts it too.
inline RunEnding end_of_run(exchange::Ending ending, std::optional<exchange::Divergence> divergence,
                            const Interruption& interruption) {
  const auto signal = interruption.pending();
  if (ending.why == exchange::Ending::Why::complete && signal) {
    ending.why = exchange::Ending::Why::interrupted;
    ending.signal = *signal;
  }
  return {ending, std::move(divergence)};
}

/// Throws Interrupted if a signal has come.
inline void check_interruption(const Interruption& interruption) {
  if (const auto signal = interruption.pending()) throw Interrupted(*signal);
}

}  // namespace apam::cli

// Clock and stop signal for the exchange, which has neither, so that tests and simulations control both.
#pragma once

namespace apam::exchange {

/// Called by the thread that runs the exchange, between two messages or updates.
class Control {
 public:
  virtual ~Control() = default;

  /// Seconds since training began. Never decreases.
  virtual double now() = 0;

  /// The signal that stops the run; 0 if none has arrived. Never returns to 0.
  virtual int stop_signal() = 0;
};

/// The clock is always 0 and no signal arrives: for a worker in the master's process, and for replays.
class NullControl final : public Control {
 public:
  double now() override { return 0; }
  int stop_signal() override { return 0; }
};

}  // namespace apam::exchange

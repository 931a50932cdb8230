// What the exchange asks of the outside: the time, and whether it is to stop. It has no clock and no signal handler of its
// own, so that tests and simulations decide both.
#pragma once

namespace apam::exchange {

/// Called on the thread that runs the exchange, between two messages or updates.
class Control {
 public:
  virtual ~Control() = default;

  /// Seconds since training began. Never decreases.
  virtual double now() = 0;

  /// The signal that asks the run to stop, 0 while there is none. Once it is not 0, it stays.
  virtual int stop_signal() = 0;
};

}  // namespace apam::exchange

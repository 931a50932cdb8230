// A worker of asynchronous training: computes its leases in order, at the weights that came with them.
#pragma once

#include <cstdint>
#include <deque>

#include "apam/exchange/control.h"
#include "apam/exchange/gradient_source.h"
#include "apam/exchange/transport.h"

namespace apam::exchange {

class Worker {
 public:
  explicit Worker(GradientSource& source) : source_(source) {}

  /// Takes weights and leases, and announces the new leases. The source reads the weights in place; on a GPU they are copied to
  /// its arena. False after a stop. Throws ExchangeError for an invalid reply, or one that leaves the worker without a lease.
  bool accept(const Delivery& delivery);

  /// Computes the gradient of the oldest lease into source.arena().outgoing().
  GradientHeader compute();

  /// Pulls, computes and pushes until the master replies with a stop; returns the number of gradients pushed. Offers gradients
  /// to a transport that sends early as backward completes them. A signal to this worker is sent to the master with the next
  /// gradient. Looks for a cancellation between computing and pushing: a step is not interrupted, but a gradient that would be
  /// refused is not pushed. Passes on exceptions of transport and source.
  std::int64_t run(WorkerTransport& transport, Control& control);

 private:
  GradientSource& source_;
  std::deque<std::int64_t> leases_;
  std::int64_t version_ = 0;  // of the weights in the arena
};

}  // namespace apam::exchange

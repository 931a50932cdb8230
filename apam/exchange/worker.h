// A worker of asynchronous training: computes the leases that it is dealt, in order, at the weights that came with them.
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

  /// Takes a reply whose weights are in source.arena().weights() already: prepares the new leases. False when it says stop.
  /// Throws ExchangeError for a reply that leaves the worker without a lease, and one whose verdict, leases or version
  /// cannot be.
  bool accept(const Reply& reply);

  /// Computes the gradient of the oldest lease into source.arena().outgoing().
  GradientHeader compute();

  /// Pulls, computes and pushes until the master says stop; returns the number of gradients computed. A signal that asks
  /// this worker to stop travels to the master with the next gradient. Throws whatever transport and source throw.
  std::int64_t run(WorkerTransport& transport, Control& control);

 private:
  GradientSource& source_;
  std::deque<std::int64_t> leases_;
  std::int64_t version_ = 0;  // of the weights in the arena
};

}  // namespace apam::exchange

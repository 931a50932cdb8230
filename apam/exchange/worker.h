// A worker of asynchronous training: computes its leases in order, at the weights that came with them.
//
//   it waits        pull v0, compute g1(v0), push g1, pull v1, compute g2(v1), push g2, pull v2 ...
//   computes ahead  pull v0, compute g1(v0), push g1, compute g2(v0), pull v1, push g2, compute g3(v1), pull v2, push g3 ...
//
// Computing ahead uses the time in which gradient, update and reply travel; its gradients are one exchange older. Without a
// lease for the next gradient the worker waits, and continues with the reply as at the start.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "apam/exchange/control.h"
#include "apam/exchange/gradient_source.h"
#include "apam/exchange/transport.h"

namespace apam::exchange {

class Worker {
 public:
  struct Gradient {
    GradientHeader header;
    ConstSpan<float> values;  ///< in the memory that the source has written; unchanged until the next but one is computed ahead
  };

  /// Waits for replies.
  explicit Worker(GradientSource& source) : source_(source) {}

  /// Computes ahead, unless `second` is empty. Consecutive gradients are written to the outgoing memory of the source's arena
  /// and to `second` (state size, zero) in turns, so that one can be sent while the next is computed. `second` must outlive the
  /// source's last step. With an arena on a GPU the first computation throws DeviceError.
  Worker(GradientSource& source, Span<float> second) : source_(source), other_(second) {}

  /// Takes weights and leases, and announces the new leases. The source reads the weights in place; on a GPU they are copied to
  /// its arena. False after a stop. Throws ExchangeError for an invalid reply, or one that leaves the worker without a lease.
  bool accept(const Delivery& delivery);

  /// The gradient to push: the one that was computed ahead, or else that of the oldest lease, computed now.
  Gradient next();

  /// After a push: computes the gradient of the next lease, if there is one, on the weights that the worker has. Does nothing
  /// for a worker that waits.
  void compute_ahead();

  /// Pulls, computes and pushes until the master replies with a stop; returns the number of gradients pushed. One that was
  /// computed ahead of the stop is dropped. Offers gradients to a transport that sends early as backward completes them. A
  /// signal to this worker is sent to the master with the next gradient. Looks for a cancellation between computing and
  /// pushing: a step is not interrupted, but a gradient that would be refused is not pushed. Passes on exceptions of transport
  /// and source; throws ExchangeError for a worker that computes ahead and a transport that does not keep its weights.
  std::int64_t run(WorkerTransport& transport, Control& control);

 private:
  Gradient compute();

  GradientSource& source_;
  Span<float> other_;  // what the latest gradient is not in; empty: the worker waits
  std::deque<std::int64_t> leases_;
  std::int64_t version_ = 0;  // of the weights that the source reads
  std::optional<Gradient> ahead_;
};

}  // namespace apam::exchange

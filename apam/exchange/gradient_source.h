// Gradients of mini-batches for the exchange, which depends on neither nets nor data. The program implements it with a net and
// a data set, tests with simpler functions.
#pragma once

#include <cstdint>
#include <functional>

#include "apam/exchange/transport.h"
#include "engine/parameters.h"

namespace apam::exchange {

/// The rows of a mini-batch that one worker computes: all of them (async, local), or its share (sync).
struct BatchShare {
  std::int64_t batch = 0;  ///< global number
  int part = 0, parts = 1;
};

class GradientSource {
 public:
  virtual ~GradientSource() = default;

  /// Announces a share that will be computed soon, so that its images can be prefetched.
  virtual void prepare(const BatchShare& share) = 0;

  /// Computes, at the arena's weights, the share's contribution to the mean gradient of the mini-batch: the sum over its
  /// rows divided by the rows of the whole batch. Writes gradients and batch statistics to arena().outgoing().
  /// Returns a header with batch, loss_sum, rows, top1 and top5. For a share without rows (more parts than rows), rows is 0 and
  /// the arena may stay untouched.
  virtual GradientHeader compute(const BatchShare& share) = 0;

  /// The weights that compute() uses and the gradients it writes.
  virtual const engine::ParameterArena& arena() const = 0;

  /// The callback runs during compute() as soon as a parameter's gradient is complete, for exchanges that send during backward.
  virtual void on_gradient_ready(std::function<void(engine::ParameterId)> callback) = 0;
};

}  // namespace apam::exchange

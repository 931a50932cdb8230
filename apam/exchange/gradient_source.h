// What the exchange asks of the outside: gradients for mini-batches. The program binds a net and a data set to it; tests bind
// whatever they like. The exchange itself knows neither nets nor data.
#pragma once

#include <cstdint>
#include <functional>

#include "apam/exchange/transport.h"
#include "engine/parameters.h"

namespace apam::exchange {

/// The rows of a mini-batch that one worker computes: all of them (async, local), or its share (sync).
struct BatchShare {
  std::int64_t batch = 0;  ///< global number of the mini-batch
  int part = 0, parts = 1;
};

class GradientSource {
 public:
  virtual ~GradientSource() = default;

  /// Announces a share that will be computed soon, so that its images can be prepared meanwhile.
  virtual void prepare(const BatchShare& share) = 0;

  /// Computes, at the arena's weights, the share's contribution to the mean gradient of the mini-batch: the sum over its
  /// rows divided by the rows of the whole batch. Gradients and batch statistics land in arena().outgoing().
  /// Returns a header with batch, loss_sum, rows and top1 filled in. A share without rows (more parts than rows) returns
  /// rows 0 and need not touch the arena.
  virtual GradientHeader compute(const BatchShare& share) = 0;

  /// The weights that compute() uses and the gradients it writes.
  virtual const engine::ParameterArena& arena() const = 0;

  /// Called during compute() as soon as a parameter's gradient is complete; for exchanges that send while backward goes on.
  virtual void on_gradient_ready(std::function<void(engine::ParameterId)> callback) = 0;
};

}  // namespace apam::exchange

// A pass over the range of one shard: the only code that changes weights in asynchronous training, on one master with the whole
// state as its range, on the sequencer of sharded masters and on its followers. Every operation is elementwise, so the ranges
// together have the bits of one pass over the whole state.
#pragma once

#include <optional>
#include <span>

#include "apam/exchange/policies/changed_gradient.h"
#include "apam/exchange/policies/policy.h"
#include "apam/exchange/shards/pass.h"
#include "apam/exchange/shards/range.h"
#include "engine/optim/updater.h"

namespace apam::exchange {

/// What a pass reads and writes: whole contributions and states, of which a shard uses its range.
struct PassMemory {
  std::span<const ConstSpan<float>> contributions;  ///< one per update; none for a mean
  ConstSpan<float> from;
  Span<float> to;
  ConstSpan<float> base{};  ///< of a compensated gradient
};

class RangeUpdater {
 public:
  /// `updater`: over the range only; it must outlive this. `policy`: whose gradients will be changed. Throws InputError for an
  /// updater of another size.
  RangeUpdater(engine::Updater& updater, const ShardRange& range, const StalenessPolicy& policy);

  /// Executes an apply.
  void apply(const ShardPass& pass, const PassMemory& memory);
  /// Adds a contribution to the mean, and returns how many it has.
  std::int64_t add(ConstSpan<float> contribution);

  const ShardRange& range() const { return range_; }
  engine::Updater& updater() const { return updater_; }

 private:
  ConstSpan<float> changed(const GradientChange& change, const PassMemory& memory);

  engine::Updater& updater_;
  ShardRange range_;
  std::optional<ChangedGradient> changed_;  // for a policy that changes or averages gradients
};

}  // namespace apam::exchange

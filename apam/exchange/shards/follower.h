// A shard that does not order: executes the log of the sequencer on its range (pass.h). Like MasterState it has no loop, clock,
// thread or network; its memory is given by a ShardMemory.
#pragma once

#include <optional>

#include "apam/exchange/shards/range_updater.h"

namespace apam::exchange {

/// Where whole contributions and versions are.
class ShardMemory {
 public:
  virtual ~ShardMemory() = default;
  virtual int workers() const = 0;
  virtual int slots() const = 0;
  virtual ConstSpan<float> contribution(int worker) const = 0;  ///< (state)
  virtual Span<float> version(int slot) const = 0;              ///< (state)
};

class ShardFollower {
 public:
  /// All must outlive the follower. Throws as RangeUpdater.
  ShardFollower(engine::Updater& updater, const ShardRange& range, const StalenessPolicy& policy, const ShardMemory& memory);

  /// Executes an entry. Throws ExchangeError for one after a stop, and as check().
  void take(const ShardPass& pass);

  /// Throws ExchangeError for a count, worker or slot that does not exist.
  void check(const ShardPass& pass) const;

  bool done() const { return done_; }
  std::int64_t version() const { return work_.updater().version(); }
  const ShardRange& range() const { return work_.range(); }

  /// The first value in the range that was not finite after a pass; its element counts from the start of the state.
  std::optional<engine::NonFinite> non_finite() const;

 private:
  void check_slot(int slot) const;

  RangeUpdater work_;
  const ShardMemory& memory_;
  bool done_ = false;
};

}  // namespace apam::exchange

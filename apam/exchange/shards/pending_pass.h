// The pass that a master which orders is about to make over its range, and the weights that each worker has from it, from which
// staleness is counted: of one master and of the sequencer (master_state.h), and of each master that has an order of its own
// (free_shard.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "apam/exchange/shards/range_updater.h"
#include "apam/exchange/transport.h"

namespace apam::exchange {

class PendingPass {
 public:
  static constexpr int kMost = ShardPass::kMost;

  struct Options {
    int workers = 1;
    bool ahead = false;  ///< workers compute ahead (worker.h)
  };

  /// A gradient that is applied with the pass.
  struct Taken {
    GradientMessage message;
    double step = 1;  ///< factor of the learning rate
    std::int64_t tau = 0, publish_lag = 0;
    GradientChange change{};
    VersionRef base{};  ///< of a compensated gradient
  };

  /// A pass that is being executed. Its version is discarded unless it is published.
  struct Begun {
    ShardPass pass;
    WritableVersion next;
  };

  /// All must outlive it. Throws as RangeUpdater.
  PendingPass(engine::Updater& updater, WeightHistory& history, const ShardRange& range, const StalenessPolicy& policy,
              const Options& options);

  /// The worker is sent a version. `computes`: it computes its next gradient already, on the weights that it has.
  void send(int worker, const VersionRef& version, bool computes);
  /// Of the two versions that a worker has which computes ahead, it used the latest for its next gradient.
  void used_latest(int worker);
  /// The worker will send no gradient that is applied.
  void forget(int worker) { of(worker).base = of(worker).latest = {}; }
  /// The version of the weights that its next gradient is computed on; and the latest that it was sent.
  std::int64_t computes_on(int worker) const { return of(worker).computes_on; }
  std::int64_t given(int worker) const { return of(worker).given; }

  /// Throws ExchangeError unless the gradient was computed on the version that its worker was sent for it.
  void check_version(const GradientMessage& message) const;
  /// Throws ExchangeError for invalid counts, and values of the wrong size.
  void check_contents(const GradientMessage& message) const;

  /// The number of the update that the next gradient makes.
  std::int64_t next_update() const { return work_.updater().version() + static_cast<std::int64_t>(taken_.size()) + 1; }
  /// As it. `present`: workers that have not left.
  Arrival describe(const GradientMessage& message, int present) const;

  /// What the policy makes of the gradient is applied next. Before: not full().
  void take(const GradientMessage& message, const Arrival& arrival);
  /// The mean of the gradients that were added.
  void take_mean(const GradientMessage& last) {
    taken_.push_back({.message = last, .change = {.kind = GradientChange::Kind::mean}});
  }
  std::int64_t add(ConstSpan<float> contribution) { return work_.add(contribution); }

  /// The pass must be made before another gradient is taken: there is memory for one changed gradient.
  bool full() const { return taken_.size() == kMost || (!taken_.empty() && policy_.changes_gradients()); }
  std::span<const Taken> taken() const { return taken_; }

  /// The pass of what was taken, which is not empty, from the newest version; then its execution on the range.
  Begun begin();
  void execute(const Begun& begun);
  void clear() { taken_.clear(); }

  const ShardRange& range() const { return work_.range(); }

 private:
  struct Sent {
    std::int64_t given = 0;                 // the latest version
    std::int64_t computes_on = 0;           // that one, or ahead of it the one before
    std::optional<std::int64_t> updated{};  // the number of the worker's latest update
    VersionRef base, latest;                // versions computes_on and, ahead, given: for a policy that compensates
  };

  Sent& of(int worker) { return workers_[static_cast<std::size_t>(worker)]; }
  const Sent& of(int worker) const { return workers_[static_cast<std::size_t>(worker)]; }

  WeightHistory& history_;
  const StalenessPolicy& policy_;
  bool ahead_;
  RangeUpdater work_;
  std::vector<Sent> workers_;
  std::vector<Taken> taken_;
};

}  // namespace apam::exchange

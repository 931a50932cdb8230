// A shard that orders by itself (Order::free): it applies the gradients to its range in the order in which they arrive here,
// and answers each worker at once. Like MasterState it has no loop, clock, thread or network.
//
// Every gradient is applied by every master, so all make the same updates, in orders of their own: the range of each master is
// that of a training by one master with its order of arrival. Staleness, learning rate and what a policy makes of a gradient
// are counted in the updates made here. The sequencer deals the leases. It stops a worker; the worker then leaves the others.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "apam/exchange/shards/pending_pass.h"
#include "apam/exchange/staleness.h"

namespace apam::exchange {

class FreeShard {
 public:
  struct Options {
    int workers = 1;
    bool ahead = false;  ///< workers compute ahead (worker.h). With a policy that compensates the history needs two versions
                         ///< per worker
    bool keep_going = false;  ///< gradients of losses that are not finite are applied too
  };

  /// Weights for a worker.
  struct Answer {
    int worker = 0;
    VersionRef version;
  };

  /// All must outlive it. The history has its first version. Throws as RangeUpdater, and InputError without workers, for
  /// another version than 0, and for a policy that does not apply every gradient.
  FreeShard(engine::Updater& updater, WeightHistory& history, const ShardRange& range, const StalenessPolicy& policy,
            const Options& options);

  /// The first weights, for all workers. Answers are valid until the next call, which releases their versions.
  std::span<const Answer> start();

  /// Gradients in order of arrival, applied up to PendingPass::kMost in one pass. A header that is marked as cancelled means
  /// that the worker has left. Throws ExchangeError for a worker that is unknown, has left or waits for weights, for a version
  /// that it was not sent, values of the wrong size, and invalid counts.
  std::span<const Answer> take(std::span<const GradientMessage> gradients);

  /// Every worker has left.
  bool done() const { return present_ == 0; }
  std::int64_t version() const { return updater_.version(); }
  const ShardRange& range() const { return pass_.range(); }
  const Staleness& staleness() const { return staleness_; }

  /// The first value in the range that was not finite after a pass; its element counts from the start of the state.
  const std::optional<ShardFinding>& non_finite() const { return found_; }

 private:
  enum class Phase : std::uint8_t { unknown, working, arrived, left };

  void take(const GradientMessage& message);
  void flush();
  void answer(int worker);

  engine::Updater& updater_;
  WeightHistory& history_;
  bool ahead_, keep_going_;
  PendingPass pass_;
  Staleness staleness_;
  std::vector<Phase> phases_;  // by worker
  int present_;                // workers that have not left
  std::optional<ShardFinding> found_;
  std::vector<int> skipped_;  // workers to be answered whose gradients are not applied
  std::vector<Answer> answers_;
};

}  // namespace apam::exchange

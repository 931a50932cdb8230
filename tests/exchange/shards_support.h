// Sharded masters in one process: a sequencer's model, and followers that execute each entry when the test says so.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "apam/exchange/master_state.h"
#include "apam/exchange/shards/follower.h"
#include "tests/exchange/support.h"

namespace apam::exchange::test {

struct ShardOptions {
  int workers = 2;
  int masters = 1;
  const StalenessPolicy* policy = nullptr;
};

/// An updater of one range, without the memory of a state.
struct Shard {
  Shard(Exec& exec, const engine::ParameterLayout& model, const ShardRange& shard_range,
        const engine::OptimizerOptions& options)
      : range(shard_range),
        arena({}, layout_of(model, shard_range), engine::ParameterArena::Contents::none),
        updater(exec, arena, options) {}

  ShardRange range;
  engine::ParameterArena arena;
  engine::Updater updater;
};

class ShardedModel final : public ShardFollowers, public ShardMemory {
 public:
  ShardedModel(Exec& exec, const QuadraticOptions& quadratic, const engine::OptimizerOptions& options,
               const ShardOptions& shards);

  /// Those, with the range and the followers of the sequencer.
  MasterOptions of_sequencer(MasterOptions options);
  engine::Updater& updater() { return shards_.front()->updater; }
  std::vector<float> state() const { return test::values(history.current().state()); }

  /// Where a worker's contribution is.
  void set_contribution(int worker, ConstSpan<float> values) { contributions_.at(static_cast<std::size_t>(worker)) = values; }
  /// Whether a follower executes an entry as soon as it is posted, or when the sequencer waits for it.
  std::function<bool()> at_once = [] { return false; };

  void post(const ShardPass& pass) override;
  std::optional<ShardFinding> finish() override;
  bool followers_are_done() const;

  int workers() const override { return static_cast<int>(contributions_.size()); }
  int slots() const override { return static_cast<int>(history.layout().slots); }
  ConstSpan<float> contribution(int worker) const override { return contributions_.at(static_cast<std::size_t>(worker)); }
  Span<float> version(int slot) const override;

 private:
  void take(std::size_t follower);

  engine::ParameterLayout layout_;
  Buffer memory_;  // of the versions
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<std::unique_ptr<ShardFollower>> followers_;
  std::vector<ConstSpan<float>> contributions_;
  ShardPass pass_;
  std::vector<bool> executed_;  // by follower

 public:
  WeightHistory history;
};

}  // namespace apam::exchange::test

#include "tests/exchange/shards_support.h"

#include <algorithm>

namespace apam::exchange::test {

ShardedModel::ShardedModel(Exec& exec, const QuadraticOptions& quadratic, const engine::OptimizerOptions& options,
                           const ShardOptions& shards)
    : layout_(quadratic_layout(quadratic)),
      memory_({}, history_layout(quadratic, shards.workers).bytes()),
      contributions_(static_cast<std::size_t>(shards.workers)),
      history(memory_.as<float>(), history_layout(quadratic, shards.workers)) {
  static const StalenessPolicy none;
  const StalenessPolicy& policy = shards.policy != nullptr ? *shards.policy : none;
  for (const auto& range : split_state(layout_.weights_size(), layout_.statistics_size(), shards.masters)) {
    shards_.push_back(std::make_unique<Shard>(exec, layout_, range, options));
    if (shards_.size() == 1) continue;
    followers_.push_back(std::make_unique<ShardFollower>(shards_.back()->updater, range, policy, *this));
  }
  executed_.resize(followers_.size());
  const engine::ParameterArena arena({}, layout_, engine::ParameterArena::Contents::state);
  arena.initialize(0);
  history.publish_first(arena.state());
}

MasterOptions ShardedModel::of_sequencer(MasterOptions options) {
  options.range = shards_.front()->range;
  options.followers = followers_.empty() ? nullptr : this;
  return options;
}

void ShardedModel::post(const ShardPass& pass) {
  pass_ = pass;
  std::fill(executed_.begin(), executed_.end(), false);
  for (std::size_t i = 0; i < followers_.size(); ++i) {
    if (pass.kind == ShardPass::Kind::stop || at_once()) take(i);
  }
}

std::optional<ShardFinding> ShardedModel::finish() {
  std::optional<ShardFinding> first;
  for (std::size_t i = 0; i < followers_.size(); ++i) {
    if (pass_.kind == ShardPass::Kind::apply) {
      EXPECT_NE(history.current().slot(), pass_.to) << "not readable before all shards have written it";
    }
    if (!executed_[i]) take(i);
    const auto found = followers_[i]->non_finite();
    if (!found || (first && first->update <= found->update)) continue;
    first = ShardFinding{{found->update, tensor_at(layout_, found->element), found->element}};
  }
  return first;
}

void ShardedModel::take(std::size_t follower) {
  executed_[follower] = true;
  followers_[follower]->take(pass_);
}

bool ShardedModel::followers_are_done() const {
  return std::all_of(followers_.begin(), followers_.end(), [](const auto& one) { return one->done(); });
}

Span<float> ShardedModel::version(int slot) const {
  const std::size_t state = history.layout().state();
  return memory_.as<float>().subspan(static_cast<std::size_t>(slot) * state, state);
}

}  // namespace apam::exchange::test

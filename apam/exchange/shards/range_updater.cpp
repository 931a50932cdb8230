#include "apam/exchange/shards/range_updater.h"

#include "apam/exchange/error.h"

namespace apam::exchange {

RangeUpdater::RangeUpdater(engine::Updater& updater, const ShardRange& range, const StalenessPolicy& policy)
    : updater_(updater), range_(range) {
  const engine::ParameterLayout& layout = updater.arena().layout();
  require<InputError>(layout.weights_size() == range.weights && layout.statistics_size() == range.statistics,
                      "shard: an updater of {} weights and {} statistics for a range of {} and {}", layout.weights_size(),
                      layout.statistics_size(), range.weights, range.statistics);
  if (policy.changes_gradients() || policy.averages()) {
    changed_.emplace(updater.arena().device(), range.weights, range.size(), updater.threads());
  }
}

void RangeUpdater::apply(const ShardPass& pass, const PassMemory& memory) {
  const auto count = static_cast<std::size_t>(pass.count);
  std::array<ConstSpan<float>, ShardPass::kMost> contributions;
  if (pass.change.kind == GradientChange::Kind::none) {
    for (std::size_t i = 0; i < count; ++i) contributions.at(i) = range_.of(memory.contributions[i]);
  } else {
    contributions[0] = changed(pass.change, memory);
  }
  updater_.apply_each(std::span(contributions).first(count), range_.of(memory.from), range_.of(memory.to),
                      std::span(pass.steps).first(count));
}

std::int64_t RangeUpdater::add(ConstSpan<float> contribution) { return changed_.value().add(range_.of(contribution)); }

ConstSpan<float> RangeUpdater::changed(const GradientChange& change, const PassMemory& memory) {
  ChangedGradient& to = changed_.value();
  if (change.kind == GradientChange::Kind::mean) return to.take_mean();
  const ConstSpan<float> gradient = range_.of(memory.contributions[0]);
  if (change.kind == GradientChange::Kind::scaled) return to.scaled(gradient, change.factor);
  return to.compensated(gradient, change.factor, range_.of(memory.from), range_.of(memory.base));
}

}  // namespace apam::exchange

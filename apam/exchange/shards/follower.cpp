#include "apam/exchange/shards/follower.h"

#include <array>

#include "apam/exchange/error.h"

namespace apam::exchange {

ShardFollower::ShardFollower(engine::Updater& updater, const ShardRange& range, const StalenessPolicy& policy,
                             const ShardMemory& memory)
    : work_(updater, range, policy), memory_(memory) {}

void ShardFollower::take(const ShardPass& pass) {
  require<ExchangeError>(!done_, "shard: an entry after the stop at version {}", version());
  check(pass);
  if (pass.kind == ShardPass::Kind::stop) {
    done_ = true;
  } else if (pass.kind == ShardPass::Kind::add) {
    work_.add(memory_.contribution(pass.workers[0]));
  } else {
    std::array<ConstSpan<float>, ShardPass::kMost> contributions;
    std::size_t given = 0;
    if (pass.change.kind != GradientChange::Kind::mean) {
      for (; given < static_cast<std::size_t>(pass.count); ++given) {
        contributions.at(given) = memory_.contribution(pass.workers.at(given));
      }
    }
    const bool compensated = pass.change.kind == GradientChange::Kind::compensated;
    work_.apply(pass, {.contributions = std::span(contributions).first(given),
                       .from = memory_.version(pass.from),
                       .to = memory_.version(pass.to),
                       .base = compensated ? memory_.version(pass.change.base) : ConstSpan<float>()});
  }
}

std::optional<engine::NonFinite> ShardFollower::non_finite() const {
  auto found = work_.updater().non_finite();
  if (found) found->element += range().begin;
  return found;
}

void ShardFollower::check(const ShardPass& pass) const {
  if (pass.kind == ShardPass::Kind::stop) return;
  require<ExchangeError>(pass.count >= 1 && pass.count <= ShardPass::kMost,
                         "shard: an entry of {} contributions, expected 1 to {}", pass.count, ShardPass::kMost);
  for (int i = 0; i < pass.count; ++i) {
    const int worker = pass.workers.at(static_cast<std::size_t>(i));
    require<ExchangeError>(worker >= 0 && worker < memory_.workers(), "shard: a contribution of worker {} of {}", worker,
                           memory_.workers());
  }
  if (pass.kind == ShardPass::Kind::add) return;
  require<ExchangeError>(pass.change.kind == GradientChange::Kind::none || pass.count == 1,
                         "shard: {} changed gradients in one pass, expected 1", pass.count);
  check_slot(pass.from);
  check_slot(pass.to);
  if (pass.change.kind == GradientChange::Kind::compensated) check_slot(pass.change.base);
}

void ShardFollower::check_slot(int slot) const {
  require<ExchangeError>(slot >= 0 && slot < memory_.slots(), "shard: a version in slot {} of {}", slot, memory_.slots());
}

}  // namespace apam::exchange

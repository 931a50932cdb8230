#include "apam/exchange/shards/free_shard.h"

#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "apam/exchange/error.h"

namespace apam::exchange {

FreeShard::FreeShard(engine::Updater& updater, WeightHistory& history, const ShardRange& range, const StalenessPolicy& policy,
                     const Options& options)
    : updater_(updater),
      history_(history),
      ahead_(options.ahead),
      keep_going_(options.keep_going),
      pass_(updater, history, range, policy, {.workers = options.workers, .ahead = options.ahead}),
      staleness_(options.workers),
      phases_(static_cast<std::size_t>(options.workers)),
      present_(options.workers) {
  require<InputError>(options.workers >= 1, "shard: {} workers, expected 1 or more", options.workers);
  require<InputError>(policy.applies_all(), "shard: an order of its own needs a policy that applies every gradient");
  require<InputError>(updater.version() == 0 && history.current().version() == 0,
                      "shard: starts with an updater at version {} and weights of version {}, expected 0", updater.version(),
                      history.current().version());
}

std::span<const FreeShard::Answer> FreeShard::start() {
  answers_.clear();
  for (std::size_t worker = 0; worker < phases_.size(); ++worker) {
    require<ExchangeError>(phases_[worker] == Phase::unknown, "shard: worker {} has weights already", worker);
    phases_[worker] = Phase::working;
    const VersionRef first = history_.current();
    pass_.send(static_cast<int>(worker), first, false);
    answers_.push_back({static_cast<int>(worker), first});
  }
  return answers_;
}

std::span<const FreeShard::Answer> FreeShard::take(std::span<const GradientMessage> gradients) {
  answers_.clear();
  for (const GradientMessage& gradient : gradients) take(gradient);
  flush();
  return answers_;
}

void FreeShard::take(const GradientMessage& message) {
  const int worker = message.worker;
  const auto workers = static_cast<int>(phases_.size());
  require<ExchangeError>(worker >= 0 && worker < workers, "shard: a gradient of worker {}, there are {}", worker, workers);
  Phase& phase = phases_[static_cast<std::size_t>(worker)];
  constexpr std::array<std::string_view, 4> what{"has no weights", "", "waits for a reply", "has left"};
  require<ExchangeError>(phase == Phase::working, "shard: a gradient of worker {}, which {}", worker,
                         what.at(static_cast<std::size_t>(phase)));
  if (message.header.cancelled != 0) {
    phase = Phase::left;
    pass_.forget(worker);
    --present_;
    return;
  }
  if (ahead_ && message.header.computed_at == pass_.given(worker)) pass_.used_latest(worker);
  pass_.check_version(message);
  pass_.check_contents(message);
  phase = Phase::arrived;
  if (!keep_going_ && !std::isfinite(message.header.loss_sum)) {  // no master applies it
    skipped_.push_back(worker);
    return;
  }
  // Workers leave only because the run ends, so a policy that asks for their number is given all.
  pass_.take(message, pass_.describe(message, workers));
  if (pass_.full()) flush();
}

/// Applies the pass and answers its workers.
void FreeShard::flush() {
  const auto together = pass_.taken();
  if (!together.empty()) {
    PendingPass::Begun begun = pass_.begin();
    pass_.execute(begun);
    history_.publish(std::move(begun.next));
    for (const auto& taken : together) staleness_.record(taken.message.worker, taken.tau, taken.publish_lag);
    if (const auto value = updater_.non_finite(); value && !found_) {
      found_ = ShardFinding{*value, together.back().message.worker};
      found_->element += range().begin;
    }
    for (const auto& taken : together) answer(taken.message.worker);
    pass_.clear();
  }
  for (const int worker : std::exchange(skipped_, {})) answer(worker);
}

void FreeShard::answer(int worker) {
  phases_[static_cast<std::size_t>(worker)] = Phase::working;
  const VersionRef newest = history_.current();
  pass_.send(worker, newest, ahead_);
  answers_.push_back({worker, newest});
}

}  // namespace apam::exchange

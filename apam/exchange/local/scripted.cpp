#include "apam/exchange/local/scripted.h"

#include "apam/exchange/error.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange {

ScriptedTransport::ScriptedTransport(std::span<GradientSource* const> sources, std::vector<std::vector<int>> arrivals)
    : arrivals_(arrivals.begin(), arrivals.end()) {
  for (GradientSource* source : sources) workers_.push_back({Worker(*source)});
}

ScriptedTransport::ScriptedTransport(std::span<GradientSource* const> sources, std::span<const Span<float>> seconds,
                                     std::vector<std::vector<int>> arrivals)
    : arrivals_(arrivals.begin(), arrivals.end()) {
  require<InputError>(sources.size() == seconds.size(), "script: {} second contributions for {} workers", seconds.size(),
                      sources.size());
  for (std::size_t i = 0; i < sources.size(); ++i) workers_.push_back({Worker(*sources[i], seconds[i])});
}

std::span<const GradientMessage> ScriptedTransport::poll(Duration /*timeout*/) {
  require<InputError>(!arrivals_.empty(), "script: it has ended, but the master waits for gradients");
  messages_.clear();
  for (const int index : arrivals_.front()) {
    require<InputError>(index >= 0 && index < workers(), "script: worker {} of {} arrives", index, workers());
    auto& state = workers_[static_cast<std::size_t>(index)];
    require<InputError>(state.phase == Phase::working, "script: worker {} arrives, but it {}", index,
                        state.phase == Phase::stopped ? "has stopped" : "waits for a reply");
    state.phase = Phase::waiting;
    const auto [header, values] = state.worker.next();
    state.worker.compute_ahead();
    state.version = {};
    messages_.push_back({index, header, values});
  }
  arrivals_.pop_front();
  return messages_;
}

void ScriptedTransport::send(int worker, const Reply& reply, const VersionRef& version) {
  auto& state = workers_.at(static_cast<std::size_t>(worker));
  require<ExchangeError>(state.phase == Phase::waiting, "script: worker {} gets a reply, but does not wait for one", worker);
  state.version = version;
  const Delivery delivery{reply, version ? version.weights() : ConstSpan<float>()};
  state.phase = state.worker.accept(delivery) ? Phase::working : Phase::stopped;
}

void ScriptedTransport::finish() {
  require<InputError>(arrivals_.empty(), "script: {} arrivals are left after the last update", arrivals_.size());
}

}  // namespace apam::exchange

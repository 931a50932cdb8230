#include "engine/optim/updater.h"

#include <array>

namespace apam::engine {

Updater::Updater(Exec& exec, const ParameterArena& arena, const OptimizerOptions& options)
    : exec_(exec), arena_(arena), optimizer_(arena.device(), arena.layout().weights_size(), options) {}

void Updater::apply(ConstSpan<float> contribution) { apply_each(std::span(&contribution, 1), arena_.state(), arena_.state()); }

void Updater::apply_each(std::span<const ConstSpan<float>> contributions, ConstSpan<float> from, Span<float> to,
                         std::span<const double> factors) {
  const auto& layout = arena_.layout();
  const std::size_t weights = layout.weights_size(), statistics = layout.statistics_size(), size = weights + statistics;
  require<ShapeError>(from.size() == size && to.size() == size, "update: from a state of {} floats to one of {}, expected {}",
                      from.size(), to.size(), size);
  require<InputError>(!contributions.empty() && contributions.size() <= Optimizer::kMostGradients,
                      "update: {} contributions at once, expected 1 to {}", contributions.size(), Optimizer::kMostGradients);
  std::array<ConstSpan<float>, Optimizer::kMostGradients> gradients;
  for (std::size_t i = 0; i < contributions.size(); ++i) {
    require<ShapeError>(contributions[i].size() == size, "update: a contribution of {} floats for a state of {}",
                        contributions[i].size(), size);
    gradients.at(i) = contributions[i].subspan(0, weights);
  }
  optimizer_.step_each(exec_, std::span(gradients).first(contributions.size()), from.subspan(0, weights),
                       to.subspan(0, weights), factors);
  const Span<float> running = to.subspan(weights, statistics);
  if (from.data() != to.data()) copy(exec_, from.subspan(weights, statistics), running);
  for (const auto& one : contributions) {
    update_running_statistics(exec_, one.subspan(weights, statistics), running, kStatisticsMomentum);
  }
}

void Updater::choose_kernels(int contributions) {
  for (int count = 1; count <= contributions; ++count) optimizer_.choose_kernel(exec_, count);
  using Average = kernels::RunningAverage;
  const auto statistics = static_cast<std::int64_t>(arena_.layout().statistics_size());
  if (statistics > 0) kernels::kernel<Average>(exec_, {statistics}, Average::Pass::update);
}

std::optional<std::string> Updater::non_finite_tensor(ConstSpan<float> state, int updates) const {
  const bool due = version() / kCheckInterval != (version() - updates) / kCheckInterval;
  if (state.device().kind != DeviceKind::cpu && !due) return std::nullopt;
  return engine::non_finite_tensor(exec_, arena_.layout(), state);
}

}  // namespace apam::engine

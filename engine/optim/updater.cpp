#include "engine/optim/updater.h"

namespace apam::engine {

Updater::Updater(Exec& exec, const ParameterArena& arena, const OptimizerOptions& options)
    : exec_(exec), arena_(arena), optimizer_(arena.device(), arena.layout().weights_size(), options) {}

void Updater::apply(ConstSpan<float> contribution) {
  require<ShapeError>(contribution.size() == arena_.state().size(), "update: a contribution of {} floats for a state of {}",
                      contribution.size(), arena_.state().size());
  const auto& layout = arena_.layout();
  optimizer_.step(exec_, contribution.subspan(0, layout.weights_size()), arena_.weights());
  update_running_statistics(exec_, contribution.subspan(layout.weights_size(), layout.statistics_size()),
                            arena_.running_statistics(), kStatisticsMomentum);
}

void Updater::choose_kernels() {
  optimizer_.choose_kernel(exec_);
  using Average = kernels::RunningAverage;
  const auto statistics = static_cast<std::int64_t>(arena_.layout().statistics_size());
  if (statistics > 0) kernels::kernel<Average>(exec_, {statistics}, Average::Pass::update);
}

std::optional<std::string> Updater::non_finite_tensor() const {
  if (arena_.device().kind != DeviceKind::cpu && version() % kCheckInterval != 0) return std::nullopt;
  return engine::non_finite_tensor(exec_, arena_.layout(), arena_.state());
}

}  // namespace apam::engine

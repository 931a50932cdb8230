#include "engine/optim/updater.h"

namespace apam::engine {

Updater::Updater(Exec& exec, const ParameterArena& arena, const OptimizerOptions& options)
    : exec_(exec),
      arena_(arena),
      optimizer_(arena.device(), arena.layout().weights_size(), options),
      findings_(arena.device(), sizeof(Findings)) {
  const Findings none;
  copy_bytes(findings_.data(), findings_.device(), &none, Device{}, sizeof none);
  for (auto& slot : published_) {
    slot = {Buffer(arena.device(), sizeof(Findings), MemoryKind::pinned), Event(arena.device())};
  }
}

void Updater::apply(ConstSpan<float> contribution) {
  require<ShapeError>(contribution.size() == arena_.state().size(), "update: a contribution of {} floats for a state of {}",
                      contribution.size(), arena_.state().size());
  const auto& layout = arena_.layout();
  const Span<std::int64_t> findings = findings_.as<std::int64_t>();
  const RoundedWeights& rounded = arena_.rounded();
  optimizer_.step(exec_, contribution.subspan(0, layout.weights_size()),
                  {arena_.weights(), rounded.values(), findings.subspan(0, 1)});
  arena_.rounded().written();
  update_running_statistics(exec_, contribution.subspan(layout.weights_size(), layout.statistics_size()),
                            arena_.running_statistics(), kStatisticsMomentum, findings.subspan(1, 1));
  publish();
}

void Updater::publish() {
  Published& slot = published_[static_cast<std::size_t>(version() % 2)];
  copy(exec_, findings_.as<std::int32_t>(), slot.findings.as<std::int32_t>());
  slot.ready.record(exec_.stream());
  slot.update = version();
}

void Updater::choose_kernels() {
  optimizer_.choose_kernel(exec_);
  using Average = kernels::RunningAverage;
  const auto statistics = static_cast<std::int64_t>(arena_.layout().statistics_size());
  if (statistics > 0) kernels::kernel<Average>(exec_, {statistics}, Average::Pass::update);
}

std::optional<NonFinite> Updater::non_finite(Examine examine) {
  const bool late = arena_.device().kind != DeviceKind::cpu && examine == Examine::without_waiting;
  note(published_[static_cast<std::size_t>((version() + 1) % 2)]);
  if (!late) note(published_[static_cast<std::size_t>(version() % 2)]);
  return first_;
}

/// Takes over the findings of a slot, unless there are older ones.
void Updater::note(const Published& published) {
  if (first_ || published.update == 0) return;
  published.ready.synchronize();
  const auto found = published.findings.as<std::int64_t>().host();
  if (found[0] != kernels::kNone) {
    first_ = {published.update, tensor_at(arena_.layout(), static_cast<std::size_t>(found[0]))};
  } else if (found[1] != kernels::kNone) {
    first_ = {published.update,
              tensor_at(arena_.layout(), arena_.layout().weights_size() + static_cast<std::size_t>(found[1]))};
  }
}

}  // namespace apam::engine

#include "engine/optim/updater.h"

#include <array>

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
  const Span<std::int64_t> findings = findings_.as<std::int64_t>();
  RoundedWeights& rounded = arena_.rounded();
  const bool in_arena = to.data() == arena_.state().data();  // whose copy is that of these weights
  optimizer_.step_each(exec_, std::span(gradients).first(contributions.size()), from.subspan(0, weights),
                       {to.subspan(0, weights), in_arena ? rounded.values() : Span<BFloat16>(), findings.subspan(0, 1)},
                       factors);
  if (in_arena) rounded.written();
  const Span<float> running = to.subspan(weights, statistics);
  if (from.data() != to.data()) copy(exec_, from.subspan(weights, statistics), running);
  for (const auto& one : contributions) {
    update_running_statistics(exec_, one.subspan(weights, statistics), running, kStatisticsMomentum, findings.subspan(1, 1));
  }
  publish();
}

void Updater::publish() {
  Published& slot = published_[static_cast<std::size_t>(++passes_ % 2)];
  copy(exec_, findings_.as<std::int32_t>(), slot.findings.as<std::int32_t>());
  slot.ready.record(exec_.stream());
  slot.update = version();
}

void Updater::choose_kernels(int contributions) {
  for (int count = 1; count <= contributions; ++count) optimizer_.choose_kernel(exec_, count);
  using Average = kernels::RunningAverage;
  const auto statistics = static_cast<std::int64_t>(arena_.layout().statistics_size());
  if (statistics > 0) kernels::kernel<Average>(exec_, {statistics}, Average::Pass::update);
}

std::optional<NonFinite> Updater::non_finite(Examine examine) {
  const bool late = arena_.device().kind != DeviceKind::cpu && examine == Examine::without_waiting;
  note(published_[static_cast<std::size_t>((passes_ + 1) % 2)]);
  if (!late) note(published_[static_cast<std::size_t>(passes_ % 2)]);
  return first_;
}

/// Takes over the findings of a slot, unless there are older ones.
void Updater::note(const Published& published) {
  if (first_ || published.update == 0) return;
  published.ready.synchronize();
  const auto found = published.findings.as<std::int64_t>().host();
  const bool in_weights = found[0] != kernels::kNone;
  if (!in_weights && found[1] == kernels::kNone) return;
  const std::size_t element =
      in_weights ? static_cast<std::size_t>(found[0]) : arena_.layout().weights_size() + static_cast<std::size_t>(found[1]);
  first_ = {published.update, tensor_at(arena_.layout(), element), element};
}

}  // namespace apam::engine

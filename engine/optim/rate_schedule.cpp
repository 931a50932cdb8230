#include "engine/optim/rate_schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "kernels/runtime/error.h"

namespace apam::engine {
namespace {

using Decay = RateSchedule::Decay;

double warmup_at(const RateSchedule& schedule, std::int64_t update) {
  if (update >= schedule.warmup_updates) return 1.0;
  return static_cast<double>(update) / static_cast<double>(schedule.warmup_updates);
}

double decay_at(const RateSchedule& schedule, std::int64_t update) {
  switch (schedule.decay) {
    case Decay::constant:
      return 1.0;
    case Decay::step: {
      const std::int64_t steps = (update - 1) / schedule.step_updates;
      return std::pow(schedule.step_factor, static_cast<double>(steps));
    }
    case Decay::cosine: {
      const std::int64_t start = std::max<std::int64_t>(1, schedule.warmup_updates);
      if (update <= start) return 1.0;
      const double part = static_cast<double>(update - start) / static_cast<double>(schedule.total_updates - start + 1);
      return 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(part, 1.0)));
    }
  }
  return 1.0;
}

}  // namespace

void RateSchedule::check() const {
  require<InputError>(warmup_updates >= 0, "learning rate: the warm-up must not be negative, got {} updates", warmup_updates);
  if (decay == Decay::step) {
    require<InputError>(step_updates >= 1, "learning rate: a step must have at least 1 update, got {}", step_updates);
    require<InputError>(step_factor > 0 && step_factor <= 1, "learning rate: the factor of a step must be in (0, 1], got {}",
                        step_factor);
  }
  require<InputError>(decay != Decay::cosine || total_updates >= 1,
                      "learning rate: a cosine must have at least 1 update, got {}", total_updates);
}

double RateSchedule::factor(std::int64_t update) const { return warmup_at(*this, update) * decay_at(*this, update); }

double RateSchedule::lower_bound() const {
  return warmup_at(*this, 1) * decay_at(*this, std::max<std::int64_t>(1, total_updates));
}

RateSchedule::Decay parse_decay(std::string_view text) {
  for (const auto decay : {Decay::constant, Decay::step, Decay::cosine}) {
    if (to_string(decay) == text) return decay;
  }
  fail<InputError>("learning rate: expected constant, step or cosine, got '{}'", text);
}

std::string_view to_string(RateSchedule::Decay decay) {
  constexpr std::array<std::string_view, 3> names{"constant", "step", "cosine"};
  return names.at(static_cast<std::size_t>(decay));
}

}  // namespace apam::engine

// The learning rate over a training, as a factor of the base rate. A pure function of the update u = 1, 2, ..., counted over
// all workers.
//
//   factor(u) = min(1, u / warmup) decay(u)
//
//   constant   decay(u) = 1
//   step       decay(u) = step_factor ^ floor((u - 1) / step_updates)
//   cosine     decay(u) = (1 + cos(pi (u - s) / (total - s + 1))) / 2 from u = s = max(1, warmup) on, before that 1
//
// Cosine begins at 1, at the end of the warm-up, and would reach 0 one update after the last. A constant schedule without
// warm-up gives exactly 1.
#pragma once

#include <cstdint>
#include <string_view>

namespace apam::engine {

struct RateSchedule {
  enum class Decay : std::uint8_t { constant, step, cosine };

  Decay decay = Decay::constant;
  std::int64_t warmup_updates = 0;  ///< 0: none
  std::int64_t step_updates = 0;    ///< step: updates between two reductions
  double step_factor = 1;           ///< step: factor of a reduction
  std::int64_t total_updates = 0;   ///< of the training

  /// Throws InputError unless warmup_updates >= 0; step: step_updates >= 1 and step_factor in (0, 1]; cosine:
  /// total_updates >= 1.
  void check() const;

  /// Of update `update` >= 1. Defined if check() passes.
  double factor(std::int64_t update) const;

  /// At most the smallest factor in a training of total_updates updates.
  double lower_bound() const;
};

/// Parses "constant", "step" or "cosine". Throws InputError otherwise.
RateSchedule::Decay parse_decay(std::string_view text);
std::string_view to_string(RateSchedule::Decay decay);

}  // namespace apam::engine

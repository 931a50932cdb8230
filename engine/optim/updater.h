// Applies contributions to a model. Every training changes weights only here.
//
//   contribution = [ gradients | batch statistics ]     (ParameterArena::outgoing)
//   weights      <- optimizer step by the gradients     (optimizer.h)
//   running      <- running + momentum (batch statistics - running)
//   version      <- version + 1
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "engine/optim/optimizer.h"
#include "engine/parameters.h"

namespace apam::engine {

/// Owns the optimizer of one model. The state is in the arena, which must outlive it, or in versions of the caller.
class Updater {
 public:
  static constexpr float kStatisticsMomentum = 0.1F;   // PyTorch's default
  static constexpr std::int64_t kCheckInterval = 100;  // updates, of non_finite_tensor() on a GPU

  /// Throws InputError for invalid options.
  Updater(Exec& exec, const ParameterArena& arena, const OptimizerOptions& options);

  /// One update of the arena's weights and running statistics. Throws ShapeError unless the contribution is as large as the
  /// state.
  void apply(ConstSpan<float> contribution);
  /// One update per contribution, in order, in one pass over memory: the same bits as apply() for each. 1 to
  /// Optimizer::kMostGradients contributions. Reads the state `from` and writes the state `to`, which are the same memory or
  /// apart. `factors`: of the learning rate of each update; empty: 1. Throws ShapeError unless all are as large as the state.
  void apply_each(std::span<const ConstSpan<float>> contributions, ConstSpan<float> from, Span<float> to,
                  std::span<const double> factors = {});

  /// Chooses the kernels of updates by up to this many contributions at once in advance.
  void choose_kernels(int contributions = 1);

  /// The name of the first tensor in `state` with a NaN or an infinity; nothing if all are finite. On a GPU the state is
  /// examined only if the latest `updates` updates include a kCheckInterval-th one, and otherwise taken as finite, because it
  /// is copied to the host: until then a NaN in a weight shows as a loss of NaN.
  std::optional<std::string> non_finite_tensor(ConstSpan<float> state, int updates = 1) const;

  std::int64_t version() const { return optimizer_.steps(); }  ///< updates applied so far
  double rate() const { return rate(version()); }              ///< learning rate of the last update
  double rate(std::int64_t update) const { return options().rate(update); }
  int threads() const { return exec_.threads(); }
  const ParameterArena& arena() const { return arena_; }
  const OptimizerOptions& options() const { return optimizer_.options(); }

 private:
  Exec& exec_;
  const ParameterArena& arena_;
  Optimizer optimizer_;
};

}  // namespace apam::engine

// Applies contributions to a model. Every training changes weights only here.
//
//   contribution = [ gradients | batch statistics ]     (ParameterArena::outgoing)
//   weights      <- optimizer step by the gradients     (optimizer.h)
//   running      <- running + momentum (batch statistics - running)
//   version      <- version + 1
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "engine/optim/optimizer.h"
#include "engine/parameters.h"

namespace apam::engine {

/// Owns the optimizer of one model; the weights stay in the arena, which must outlive it.
class Updater {
 public:
  static constexpr float kStatisticsMomentum = 0.1F;   // PyTorch's default
  static constexpr std::int64_t kCheckInterval = 100;  // updates, of non_finite_tensor() on a GPU

  /// Throws InputError for invalid options.
  Updater(Exec& exec, const ParameterArena& arena, const OptimizerOptions& options);

  /// One update of weights and running statistics. Throws ShapeError unless the contribution is as large as the state.
  void apply(ConstSpan<float> contribution);

  /// Chooses the kernels of apply() in advance.
  void choose_kernels();

  /// The name of the first tensor in the state with a NaN or an infinity; nothing if all are finite. On a GPU the state is
  /// examined after every kCheckInterval-th update only, and otherwise taken as finite, because it is copied to the host: until
  /// then a NaN in a weight shows as a loss of NaN.
  std::optional<std::string> non_finite_tensor() const;

  std::int64_t version() const { return optimizer_.steps(); }  ///< updates applied so far
  double rate() const { return options().rate(version()); }    ///< learning rate of the last update
  const ParameterArena& arena() const { return arena_; }
  const OptimizerOptions& options() const { return optimizer_.options(); }

 private:
  Exec& exec_;
  const ParameterArena& arena_;
  Optimizer optimizer_;
};

}  // namespace apam::engine

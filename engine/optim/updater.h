// Applies contributions to a model. Every training changes weights only here.
//
//   contribution = [ gradients | batch statistics ]     (ParameterArena::outgoing)
//   weights      <- optimizer step by the gradients     (optimizer.h)
//   running      <- running + momentum (batch statistics - running)
//   version      <- version + 1
//
// The optimizer's pass also writes the weights' copy in bfloat16, if steps read one.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "engine/optim/optimizer.h"
#include "engine/parameters.h"

namespace apam::engine {

/// A NaN or an infinity in the state.
struct NonFinite {
  std::int64_t update = 0;  ///< that wrote it
  std::string tensor;       ///< the first tensor with one, by its PyTorch name
};

/// Owns the optimizer of one model; the weights stay in the arena, which must outlive it.
class Updater {
 public:
  static constexpr float kStatisticsMomentum = 0.1F;  // PyTorch's default

  /// Throws InputError for invalid options.
  Updater(Exec& exec, const ParameterArena& arena, const OptimizerOptions& options);

  /// One update of weights and running statistics. Throws ShapeError unless the contribution is as large as the state.
  void apply(ConstSpan<float> contribution);

  /// Chooses the kernels of apply() in advance.
  void choose_kernels();

  enum class Examine : std::uint8_t {
    without_waiting,  ///< on a GPU: all updates but the latest
    all               ///< waits for the latest update
  };
  /// The first update known to have left a NaN or an infinity in the state, if any. Every update examines what it writes, in
  /// its own pass, and leaves the finding on the device; like a loss it is read a step late. So on a GPU it is known of the
  /// update before the latest, once work that was given to the stream after it (the latest gradient) is done; on the CPU of the
  /// latest.
  std::optional<NonFinite> non_finite(Examine examine = Examine::without_waiting);

  std::int64_t version() const { return optimizer_.steps(); }  ///< updates applied so far
  double rate() const { return options().rate(version()); }    ///< learning rate of the last update
  const ParameterArena& arena() const { return arena_; }
  const OptimizerOptions& options() const { return optimizer_.options(); }

 private:
  /// Indices of the first value in the state that is not finite.
  struct Findings {
    std::int64_t weights = kernels::kNone, statistics = kernels::kNone;
  };
  /// The findings up to an update, read by the host.
  struct Published {
    Buffer findings;  // pinned
    Event ready;
    std::int64_t update = 0;
  };
  void publish();
  void note(const Published& published);

  Exec& exec_;
  const ParameterArena& arena_;
  Optimizer optimizer_;
  Buffer findings_;  // Findings
  std::array<Published, 2> published_;
  std::optional<NonFinite> first_;
};

}  // namespace apam::engine

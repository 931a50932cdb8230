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
#include <span>
#include <string>

#include "engine/optim/optimizer.h"
#include "engine/parameters.h"

namespace apam::engine {

/// A NaN or an infinity in the state.
struct NonFinite {
  std::int64_t update = 0;  ///< that wrote it, or the last one of its pass
  std::string tensor;       ///< the first tensor with one, by its PyTorch name
  std::size_t element = 0;  ///< its place in the state
};

/// Owns the optimizer of one model. The state is in the arena, which must outlive it, or in versions of the caller.
class Updater {
 public:
  static constexpr float kStatisticsMomentum = 0.1F;  // PyTorch's default

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

  enum class Examine : std::uint8_t {
    without_waiting,  ///< on a GPU: all updates but those of the latest pass
    all               ///< waits for the latest pass
  };
  /// The first update known to have left a NaN or an infinity in the state, if any. Every pass examines what it writes, and
  /// leaves the finding on the device; like a loss it is read late. So on a GPU it is known of the pass before the latest, once
  /// work that was given to the stream after it (the latest gradient) is done; on the CPU of the latest.
  std::optional<NonFinite> non_finite(Examine examine = Examine::without_waiting);

  std::int64_t version() const { return optimizer_.steps(); }  ///< updates applied so far
  /// The optimizer's (optimizer.h). To be read or written between updates.
  Span<float> moments() const { return optimizer_.moments(); }
  /// Continues a training: `version` updates have been applied, and the caller has put their state and moments in place.
  void resume(std::int64_t version) { optimizer_.resume(version); }
  double rate() const { return rate(version()); }  ///< learning rate of the last update
  double rate(std::int64_t update) const { return options().rate(update); }
  int threads() const { return exec_.threads(); }
  /// Waits for all updates.
  void synchronize() const { exec_.synchronize(); }
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
  Buffer findings_;                     // Findings
  std::array<Published, 2> published_;  // by the last bit of the pass
  std::int64_t passes_ = 0;
  std::optional<NonFinite> first_;
};

}  // namespace apam::engine

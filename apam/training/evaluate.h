// Scores of a model on the test images.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "apam/training/calibration.h"
#include "data/batches.h"
#include "engine/step.h"
#include "nets/net.h"

namespace apam::training {

struct Scores {
  double loss = 0;      ///< mean cross-entropy
  double accuracy = 0;  ///< share of images whose label has the largest logit
  double top5 = 0;      ///< share of images whose label is among the five largest
  std::int64_t images = 0;
  double seconds = 0;               ///< duration of the evaluation, with the calibration of batch norm
  std::vector<float> statistics{};  ///< of batch norm, if it was calibrated (calibration.h)

  bool finite() const { return std::isfinite(loss); }
};

/// Called before every batch; true abandons the evaluation.
using GiveUp = std::function<bool()>;

/// Runs a net over batches in inference mode, on its own copy of the model. With images for it, batch norm is calibrated first.
class Scorer {
 public:
  /// Exec and net must outlive the scorer.
  Scorer(Exec& exec, const nets::Net& net, const EvaluationImages& images);

  /// The copy of the model, to load weights into.
  const engine::ParameterArena& arena() const { return arena_; }

  /// Scores all batches at `state`: [ weights | running statistics ]. Nothing if `give_up` returned true.
  std::optional<Scores> score(ConstSpan<float> state, const GiveUp& give_up);
  /// Scores all batches at the contents of arena().
  std::optional<Scores> score(const GiveUp& give_up);

  /// Runs each batch size once, which chooses kernels and allocates memory.
  void warm_up();

 private:
  void run(std::int64_t batch, Scores& sums);

  Exec& exec_;
  std::shared_ptr<const data::Batches> batches_;
  engine::ParameterArena arena_;
  engine::EvaluationStep step_;
  data::Batch batch_;
  std::optional<Calibration> calibration_;
};

}  // namespace apam::training

// Population statistics of batch norm for one version of the weights (--bn recalibrate), as the reference program estimates
// them:
//
//   running mean = mean over the batches of the batch's mean,     running variance = mean of the batches' unbiased variances
//
// over the first B mini-batches of an order that the seed fixes, without augmentation. Sums are in double, in order of the
// batches, so the result depends on the weights, the seed and the kernels only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "data/batches.h"
#include "engine/step.h"
#include "nets/net.h"

namespace apam::training {

/// The images of an evaluation, and those that batch norm is calibrated on before it.
struct EvaluationImages {
  EvaluationImages(std::shared_ptr<const data::Batches> evaluated) : scored(std::move(evaluated)) {}  // NOLINT: the usual case
  EvaluationImages(std::shared_ptr<const data::Batches> evaluated, std::shared_ptr<const data::Batches> calibrated,
                   std::int64_t batches)
      : scored(std::move(evaluated)), calibration(std::move(calibrated)), calibration_batches(batches) {}

  std::shared_ptr<const data::Batches> scored;
  std::shared_ptr<const data::Batches> calibration{};  ///< null: with the running statistics of the training
  std::int64_t calibration_batches = 0;                ///< the first of them, of equal size
};

class Calibration {
 public:
  /// Exec, net and arena, which needs outgoing values, must outlive this. `images` has calibration batches. Throws InputError
  /// unless they are 1 or more of equal size.
  Calibration(Exec& exec, const nets::Net& net, const engine::ParameterArena& arena, const EvaluationImages& images);

  /// Replaces the running statistics of the arena by those of its weights. False, and nothing is replaced, if `give_up`, called
  /// before every batch, returned true.
  bool run(const std::function<bool()>& give_up);

  /// Runs one batch, which chooses kernels and allocates memory.
  void warm_up();

 private:
  void compute(std::int64_t batch);

  Exec& exec_;
  const engine::ParameterArena& arena_;
  std::shared_ptr<const data::Batches> batches_;
  std::int64_t count_;
  engine::CalibrationStep step_;
  data::Batch batch_;
  std::vector<double> sums_;
  std::vector<float> statistics_;  // of a batch, then the result
};

}  // namespace apam::training

// A training step of a net, the same for training, benchmarks and tests:
//
//   load      mini-batch -> slots at fixed addresses                              (step_slots.h)
//             or the numbers of its images, which are on the device               (resident_images.h)
//   forward   logits = net(images); sums = softmax_cross_entropy(logits, labels)  (ops/, tape.h)
//   backward  d loss / d parameters -> arena.outgoing(), parameter by parameter
//   update    weights, running statistics <- arena.outgoing()                     (optim/updater.h)
//
// All work is given to the stream of the Exec in this order, and the host waits only in score(). No host code reads what the
// step computes; what changes from step to step (images, labels, gradient scale, learning rate) is read from memory. So steps
// of the same number of rows give the device the same work, and after the first of them nothing is allocated. On a GPU forward
// and backward are one graph from the second such step on (step_graphs.h).
#pragma once

#include <functional>

#include "engine/optim/updater.h"
#include "engine/step_graphs.h"
#include "engine/step_slots.h"

namespace apam::engine {

/// Builds a net on the tape of `images` (N, H, W, C) and returns its logits (N, classes) or (N, 1, 1, classes).
using Forward = std::function<Var(const Var& images)>;

class TrainingStep {
 public:
  /// For mini-batches of up to images[0] images of shape `images` = (N, H, W, C). Exec and arena must outlive the step; the
  /// parameters that `forward` uses must be the arena's.
  /// `resident`: the images that mini-batches are selected from, which must outlive the step; null: mini-batches are loaded.
  TrainingStep(Exec& exec, const ParameterArena& arena, Forward forward, const Shape& images, int classes,
               const ResidentImages* resident = nullptr);

  /// The next mini-batch; see StepSlots::load. gradient_scale is 1 / n for the mean over it, and 1 / (rows of all) for a part
  /// of a larger one.
  void load(ConstSpan<float> images, Labels labels, float gradient_scale) { slots_.load(images, labels, gradient_scale); }

  /// The next mini-batch of resident images; see StepSlots::select.
  void select(std::span<const std::int32_t> images, std::int64_t epoch, float gradient_scale) {
    slots_.select(images, epoch, gradient_scale);
  }

  /// Forward and backward on the loaded mini-batch: writes gradients and batch statistics to arena.outgoing().
  PendingScore compute_gradients();

  /// The whole step: the mean gradient of a mini-batch, and the update by it. The updater must be of the same arena.
  PendingScore run(ConstSpan<float> images, Labels labels, Updater& updater);

  /// Waits until the loss is computed. Of the latest two steps only: a step's score can be read while the next one runs.
  BatchScore score(const PendingScore& pending) const { return slots_.score(pending); }

  /// compute_gradients() calls this once per parameter, when its gradient has been given to the stream: an Event recorded by
  /// the callback marks its completion, so that an exchange can send it while backward continues. With a callback, steps are
  /// not replayed as graphs.
  void on_gradient_ready(std::function<void(ParameterId)> callback);

  /// Chooses the kernels of a step of `rows` images and allocates its memory, by one step on zeros. Overwrites
  /// arena.outgoing(): leaves zeros there.
  void warm_up(int rows);

  const ActivationArena& activations() const { return tape_.arena(); }
  const StepGraphs& graphs() const { return graphs_; }

 private:
  const ParameterArena& arena_;
  Forward forward_;
  StepSlots slots_;
  bool is_resident_;
  Tape tape_;
  StepGraphs graphs_;
  bool tells_gradients_ = false;
};

/// Forward in inference mode, for scores: batch norm uses running statistics, and nothing is kept for backward.
class EvaluationStep {
 public:
  /// As for TrainingStep. The arena needs no outgoing values.
  EvaluationStep(Exec& exec, const ParameterArena& arena, Forward forward, const Shape& images, int classes);

  PendingScore run(ConstSpan<float> images, Labels labels);
  BatchScore score(const PendingScore& pending) const { return slots_.score(pending); }

 private:
  Forward forward_;
  StepSlots slots_;
  Tape tape_;
  StepGraphs graphs_;
};

/// Forward with batch statistics, which it writes to arena.batch_statistics(): what a training step does before backward, in
/// the memory of an evaluation.
class CalibrationStep {
 public:
  /// As for TrainingStep.
  CalibrationStep(Exec& exec, const ParameterArena& arena, Forward forward, const Shape& images, int classes);

  void run(ConstSpan<float> images, Labels labels);

 private:
  Forward forward_;
  StepSlots slots_;
  Tape tape_;
  StepGraphs graphs_;
};

}  // namespace apam::engine

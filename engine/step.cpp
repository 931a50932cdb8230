#include "engine/step.h"

#include <utility>
#include <vector>

namespace apam::engine {
namespace {

/// Makes a tape read rounded weights, if steps of its Exec do.
void keep_rounded_weights(Tape& tape) {
  if (!reads_rounded_weights(tape.exec())) return;
  tape.parameters().rounded().keep();
  tape.read_rounded_weights();
}

}  // namespace

TrainingStep::TrainingStep(Exec& exec, const ParameterArena& arena, Forward forward, const Shape& images, int classes,
                           const ResidentImages* resident)
    : arena_(arena),
      forward_(std::move(forward)),
      slots_(exec, images, classes, resident),
      is_resident_(resident != nullptr),
      tape_(exec, arena),
      graphs_(exec) {
  keep_rounded_weights(tape_);
}

PendingScore TrainingStep::compute_gradients() {
  arena_.rounded().refresh(tape_.exec(), arena_.weights_read());
  const auto work = [&] {
    tape_.begin(Mode::training);
    slots_.compute_loss(forward_(slots_.input(tape_)));
    tape_.backward();
  };
  tells_gradients_ ? work() : graphs_.run(slots_.rows(), work);
  return slots_.publish_score();
}

void TrainingStep::on_gradient_ready(std::function<void(ParameterId)> callback) {
  tells_gradients_ = static_cast<bool>(callback);
  tape_.on_gradient_ready(std::move(callback));
}

PendingScore TrainingStep::run(ConstSpan<float> images, Labels labels, Updater& updater) {
  load(images, labels, 1.0F / static_cast<float>(labels.size()));
  const PendingScore pending = compute_gradients();
  updater.apply(arena_.outgoing());
  return pending;
}

void TrainingStep::warm_up(int rows) {
  const Shape& images = slots_.largest();
  const std::vector<std::int32_t> zeros(static_cast<std::size_t>(rows));  // labels, or numbers of images
  if (is_resident_) {
    select(zeros, 0, 1.0F);
  } else {
    const std::vector<float> pixels(Shape{rows, images[1], images[2], images[3]}.size());
    load(std::span(pixels), std::span(zeros), 1.0F);
  }
  compute_gradients();
  zero(tape_.exec(), arena_.outgoing());
}

EvaluationStep::EvaluationStep(Exec& exec, const ParameterArena& arena, Forward forward, const Shape& images, int classes)
    : forward_(std::move(forward)), slots_(exec, images, classes), tape_(exec, arena), graphs_(exec) {
  keep_rounded_weights(tape_);
}

PendingScore EvaluationStep::run(ConstSpan<float> images, Labels labels) {
  slots_.load(images, labels, 1.0F);
  tape_.parameters().rounded().refresh(tape_.exec(), tape_.parameters().weights_read());
  graphs_.run(slots_.rows(), [&] {
    tape_.begin(Mode::inference);
    slots_.compute_loss(forward_(slots_.input(tape_)));
  });
  return slots_.publish_score();
}

CalibrationStep::CalibrationStep(Exec& exec, const ParameterArena& arena, Forward forward, const Shape& images, int classes)
    : forward_(std::move(forward)), slots_(exec, images, classes), tape_(exec, arena), graphs_(exec) {
  keep_rounded_weights(tape_);
}

void CalibrationStep::run(ConstSpan<float> images, Labels labels) {
  slots_.load(images, labels, 1.0F);
  tape_.parameters().rounded().refresh(tape_.exec(), tape_.parameters().weights_read());
  graphs_.run(slots_.rows(), [&] {
    tape_.begin(Mode::calibration);
    forward_(slots_.input(tape_));
  });
}

}  // namespace apam::engine

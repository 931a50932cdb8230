#include "engine/step_slots.h"

#include "kernels/ops/softmax_cross_entropy.h"

namespace apam::engine {
namespace {

constexpr std::size_t kSums = kernels::SoftmaxCrossEntropy::sum_count;

std::size_t image_size(const Shape& images) {
  require<ShapeError>(images.rank() == 4 && images.size() > 0, "step: images must be (N, H, W, C), not empty, got {}", images);
  return images.size() / static_cast<std::size_t>(images[0]);
}

}  // namespace

StepSlots::StepSlots(Exec& exec, const Shape& images, int classes)
    : exec_(exec),
      largest_(images),
      classes_(classes),
      images_(exec.device(), images.size() * sizeof(float)),
      labels_(exec.device(), image_size(images) > 0 ? static_cast<std::size_t>(images[0]) * sizeof(std::int32_t) : 0),
      gradient_scale_(exec.device(), sizeof(float)),
      sums_(exec.device(), kSums * sizeof(float)) {
  require<InputError>(classes >= 1, "step: at least 1 class is required, got {}", classes);
  for (auto& slot : published_) {
    slot = {Buffer(exec.device(), kSums * sizeof(float), MemoryKind::pinned), Event(exec.device())};
  }
}

void StepSlots::load(ConstSpan<float> images, Labels labels, float gradient_scale) {
  const auto capacity = static_cast<std::size_t>(largest_[0]);
  require<ShapeError>(!labels.empty() && labels.size() <= capacity, "step: {} images, expected 1 to {}", labels.size(),
                      capacity);
  require<ShapeError>(images.size() == labels.size() * image_size(largest_),
                      "step: {} labels with {} pixel values, expected {} per image", labels.size(), images.size(),
                      image_size(largest_));
  if (labels.device().kind == DeviceKind::cpu) {
    for (const std::int32_t label : labels.host()) {
      require<InputError>(label >= 0 && label < classes_, "step: label {} is not in 0 .. {}", label, classes_ - 1);
    }
  }
  rows_ = static_cast<int>(labels.size());
  copy(exec_, images, images_.as<float>().subspan(0, images.size()));
  copy(exec_, labels, labels_.as<std::int32_t>().subspan(0, labels.size()));
  copy(exec_, ConstSpan<float>(&gradient_scale, 1), gradient_scale_.as<float>());
}

Tensor StepSlots::images() const {
  const Shape shape{rows_, largest_[1], largest_[2], largest_[3]};
  return {shape, images_.as<float>().subspan(0, shape.size())};
}

LossOperands StepSlots::loss() const {
  return {labels_.as<std::int32_t>().subspan(0, static_cast<std::size_t>(rows_)), gradient_scale_.as<float>(),
          sums_.as<float>()};
}

PendingScore StepSlots::publish_score() {
  ++steps_;
  Published& slot = published_[static_cast<std::size_t>(steps_ % kScores)];
  copy(exec_, sums_.as<float>(), slot.sums.as<float>());
  slot.ready.record(exec_.stream());
  slot.step = steps_;
  return {steps_, rows_};
}

BatchScore StepSlots::score(const PendingScore& pending) const {
  const Published& slot = published(pending.step);
  require<KernelError>(pending.step >= 1 && slot.step == pending.step,
                       "step: the score of step {} is requested after step {}, only the latest {} are kept", pending.step,
                       steps_, kScores);
  slot.ready.synchronize();
  return batch_score(slot.sums.as<float>(), pending.rows);
}

}  // namespace apam::engine

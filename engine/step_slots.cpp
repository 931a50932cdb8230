#include "engine/step_slots.h"

#include "kernels/ops/softmax_cross_entropy.h"

namespace apam::engine {
namespace {

constexpr std::size_t kSums = kernels::SoftmaxCrossEntropy::sum_count;

const Shape& checked(const Shape& images) {
  require<ShapeError>(images.rank() == 4 && images.size() > 0, "step: images must be (N, H, W, C), not empty, got {}", images);
  return images;
}

}  // namespace

StepSlots::StepSlots(Exec& exec, const Shape& images, int classes, const ResidentImages* resident)
    : exec_(exec),
      largest_(checked(images)),
      classes_(classes),
      resident_(resident),
      images_(exec.device(), resident == nullptr ? images.size() * sizeof(float) : 0),
      selected_(exec.device(), resident == nullptr ? 0 : static_cast<std::size_t>(images[0]) * sizeof(std::int32_t)),
      epoch_(exec.device(), resident == nullptr ? 0 : sizeof(std::int64_t)),
      labels_(exec.device(), static_cast<std::size_t>(images[0]) * sizeof(std::int32_t)),
      gradient_scale_(exec.device(), sizeof(float)),
      sums_(exec.device(), kSums * sizeof(float)) {
  require<InputError>(classes >= 1, "step: at least 1 class is required, got {}", classes);
  for (auto& slot : published_) {
    slot = {Buffer(exec.device(), kSums * sizeof(float), MemoryKind::pinned), Event(exec.device())};
  }
}

void StepSlots::load(ConstSpan<float> images, Labels labels, float gradient_scale) {
  require<KernelError>(resident_ == nullptr, "step: {} images are loaded, but images are resident", labels.size());
  const std::size_t image = largest_.size() / static_cast<std::size_t>(largest_[0]);
  require<ShapeError>(images.size() == labels.size() * image, "step: {} labels with {} pixel values, expected {} per image",
                      labels.size(), images.size(), image);
  if (labels.device().kind == DeviceKind::cpu) {
    for (const std::int32_t label : labels.host()) {
      require<InputError>(label >= 0 && label < classes_, "step: label {} is not in 0 .. {}", label, classes_ - 1);
    }
  }
  begin_batch(labels.size(), gradient_scale);
  copy(exec_, images, images_.as<float>().subspan(0, images.size()));
  copy(exec_, labels, labels_.as<std::int32_t>().subspan(0, labels.size()));
}

void StepSlots::select(std::span<const std::int32_t> images, std::int64_t epoch, float gradient_scale) {
  require<KernelError>(resident_ != nullptr, "step: {} images are selected, but none is resident", images.size());
  const int all = resident_->images()[0];
  for (const std::int32_t image : images) {
    require<InputError>(image >= 0 && image < all, "step: image {} is not in 0 .. {}", image, all - 1);
  }
  begin_batch(images.size(), gradient_scale);
  copy(exec_, ConstSpan<std::int32_t>(images), selected_.as<std::int32_t>().subspan(0, images.size()));
  copy(exec_, ConstSpan<std::int32_t>(reinterpret_cast<const std::int32_t*>(&epoch), 2), epoch_.as<std::int32_t>());
}

void StepSlots::begin_batch(std::size_t rows, float gradient_scale) {
  require<ShapeError>(rows >= 1 && rows <= static_cast<std::size_t>(capacity()), "step: {} images, expected 1 to {}", rows,
                      capacity());
  rows_ = static_cast<int>(rows);
  copy(exec_, ConstSpan<float>(&gradient_scale, 1), gradient_scale_.as<float>());
}

Var StepSlots::input(Tape& tape) const {
  require<KernelError>(rows_ > 0, "step: a mini-batch of 1 to {} images must be loaded first, got {}", capacity(), rows_);
  const auto rows = static_cast<std::size_t>(rows_);
  if (resident_ != nullptr) {
    const kernels::Augment::Selection selection{selected_.as<std::int32_t>().subspan(0, rows), epoch_.as<std::int64_t>(),
                                                resident_->seed()};
    return augment(tape, *resident_, selection, labels_.as<std::int32_t>().subspan(0, rows));
  }
  const Shape shape{rows_, largest_[1], largest_[2], largest_[3]};
  return net_input(tape, {shape, images_.as<float>().subspan(0, shape.size())});
}

void StepSlots::compute_loss(const Var& logits) const {
  const Shape& shape = logits.shape();
  const std::size_t expected = static_cast<std::size_t>(rows_) * static_cast<std::size_t>(classes_);
  require<ShapeError>(shape.size() == expected, "step: the net's logits are {}, expected {} rows of {} classes", shape, rows_,
                      classes_);
  softmax_cross_entropy(logits, {labels_.as<std::int32_t>().subspan(0, static_cast<std::size_t>(rows_)),
                                 gradient_scale_.as<float>(), sums_.as<float>()});
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

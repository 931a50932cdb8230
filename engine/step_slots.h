// The operands of a step that come from the host or go to it, at addresses that never change: so a step can be captured once
// and replayed for every mini-batch.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "engine/ops/ops.h"
#include "kernels/runtime/buffer.h"
#include "kernels/runtime/exec.h"

namespace apam::engine {

/// The score of a step that may still be running.
struct PendingScore {
  std::int64_t step = 0;  ///< 1, 2, ...
  int rows = 0;
};

class StepSlots {
 public:
  /// Room for mini-batches of up to images[0] images of shape `images` = (N, H, W, C), with labels in 0 .. classes-1. Exec and
  /// `resident` must outlive the slots. With resident images, mini-batches are selected from them and cannot be loaded.
  StepSlots(Exec& exec, const Shape& images, int classes, const ResidentImages* resident = nullptr);

  /// Copies a mini-batch of n images (n, H, W, C) and labels (n), in host memory or on the device, 1 <= n <= N. In order with
  /// the other work of the Exec. Throws ShapeError for other shapes, InputError for a label in host memory out of range.
  void load(ConstSpan<float> images, Labels labels, float gradient_scale);

  /// Selects n resident images, 1 <= n <= N, with the placements of an epoch. Throws ShapeError for another number, InputError
  /// for an image that the data set does not have.
  void select(std::span<const std::int32_t> images, std::int64_t epoch, float gradient_scale);

  int capacity() const { return largest_[0]; }
  const Shape& largest() const { return largest_; }  ///< (N, H, W, C)
  int rows() const { return rows_; }                 ///< of the mini-batch; 0 before the first
  /// The mini-batch as the input of a net. Throws KernelError before the first.
  Var input(Tape& tape) const;
  /// The loss of the mini-batch. Throws ShapeError unless there are n rows of as many classes as labels are checked for.
  void compute_loss(const Var& logits) const;

  /// Call after compute_loss(): makes its sums available to score().
  PendingScore publish_score();
  /// Waits until the step has computed its loss. Of the latest kScores steps only: throws KernelError for an earlier one.
  BatchScore score(const PendingScore& pending) const;

  static constexpr int kScores = 2;

 private:
  struct Published {
    Buffer sums;  // pinned
    Event ready;
    std::int64_t step = 0;
  };
  const Published& published(std::int64_t step) const { return published_[static_cast<std::size_t>(step % kScores)]; }

  void begin_batch(std::size_t rows, float gradient_scale);

  Exec& exec_;
  Shape largest_;
  int classes_;
  const ResidentImages* resident_;
  int rows_ = 0;
  Buffer images_;          // (N, H, W, C) float32; unless images are resident
  Buffer selected_;        // (N) int32, and
  Buffer epoch_;           // (1) int64, if images are resident
  Buffer labels_;          // (N) int32
  Buffer gradient_scale_;  // (1)
  Buffer sums_;            // (SoftmaxCrossEntropy::sum_count)
  std::int64_t steps_ = 0;
  std::array<Published, kScores> published_;
};

}  // namespace apam::engine

// The exchange's GradientSource for a net on a data set.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "apam/exchange/drivers/trace.h"
#include "apam/exchange/gradient_source.h"
#include "data/loader.h"
#include "engine/step.h"
#include "nets/net.h"

namespace apam::training {

/// The shape of mini-batches of up to `rows` images.
engine::Shape batch_shape(const data::Batches& batches, std::int64_t rows);

/// The images of these mini-batches in the memory of the device, with their normalisation and augmentation. Throws OutOfMemory
/// if there is no room, InputError if an image cannot be read.
engine::ResidentImages resident_images(Exec& exec, const data::Batches& batches);

class NetGradientSource : public exchange::GradientSource {
 public:
  /// Exec, net and arena must outlive the source; the arena has the net's layout. On a GPU the images are first read into its
  /// memory, and steps augment them there; if they do not fit, mini-batches are prepared by a loader, as on the CPU.
  NetGradientSource(Exec& exec, const nets::Net& net, const engine::ParameterArena& arena,
                    std::shared_ptr<const data::Batches> batches, const data::LoaderOptions& loader);

  /// Chooses the kernels of a step of `rows` images and allocates its memory, by one step on zeros. Only before training: it
  /// overwrites the arena's outgoing values.
  void choose_kernels(std::int64_t rows);

  void prepare(const exchange::BatchShare& share) override;
  exchange::GradientHeader compute(const exchange::BatchShare& share) override;
  const engine::ParameterArena& arena() const override { return arena_; }
  void on_gradient_ready(std::function<void(engine::ParameterId)> callback) override;

  /// Records compute() on a track, which must outlive the source.
  void record_on(exchange::TraceTrack& track) { track_ = &track; }

 private:
  std::int64_t give(const data::Request& request);  // to the step; returns the number of rows

  Exec& exec_;
  const engine::ParameterArena& arena_;
  std::shared_ptr<const data::Batches> batches_;
  std::optional<engine::ResidentImages> resident_;
  std::optional<data::Loader> loader_;  // unless images are resident
  engine::TrainingStep step_;
  std::deque<data::Request> announced_;  // not computed yet
  std::vector<std::int32_t> selected_;   // scratch
  exchange::TraceTrack* track_ = nullptr;
};

}  // namespace apam::training

// The exchange's GradientSource for a net on a data set.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "apam/exchange/gradient_source.h"
#include "data/loader.h"
#include "engine/step.h"
#include "nets/net.h"

namespace apam::training {

/// The shape of mini-batches of up to `rows` images.
engine::Shape batch_shape(const data::Batches& batches, std::int64_t rows);

class NetGradientSource : public exchange::GradientSource {
 public:
  /// Exec, net and arena must outlive the source; the arena has the net's layout.
  NetGradientSource(Exec& exec, const nets::Net& net, const engine::ParameterArena& arena,
                    std::shared_ptr<const data::Batches> batches, const data::LoaderOptions& loader);

  /// Chooses the kernels of a step of `rows` images and allocates its memory, by one step on zeros. Only before training: it
  /// overwrites the arena's outgoing values.
  void choose_kernels(std::int64_t rows);

  void prepare(const exchange::BatchShare& share) override;
  exchange::GradientHeader compute(const exchange::BatchShare& share) override;
  const engine::ParameterArena& arena() const override { return arena_; }
  void on_gradient_ready(std::function<void(engine::ParameterId)> callback) override;

 private:
  Exec& exec_;
  const engine::ParameterArena& arena_;
  data::Loader loader_;
  engine::TrainingStep step_;
  std::deque<data::Request> announced_;  // submitted to the loader, not computed yet
};

}  // namespace apam::training

// Gradients of a net on a data set: what the exchange asks for, by the engine.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>

#include "apam/exchange/gradient_source.h"
#include "data/loader.h"
#include "engine/tape.h"
#include "nets/net.h"

namespace apam::training {

/// A view of memory that is only read, in the type that the tape takes.
engine::Tensor readable(const engine::Shape& shape, In values);

class NetGradientSource : public exchange::GradientSource {
 public:
  /// Exec, net and arena must outlive the source; the arena has the net's layout.
  NetGradientSource(Exec& exec, const nets::Net& net, const engine::ParameterArena& arena,
                    std::shared_ptr<const data::Batches> batches, const data::LoaderOptions& loader);

  /// Chooses the kernels of a step of `rows` images: computes one, on zeros, and leaves nothing of it but the memory it
  /// needed. For before the training; the arena's outgoing values mean nothing afterwards.
  void choose_kernels(std::int64_t rows);

  void prepare(const exchange::BatchShare& share) override;
  exchange::GradientHeader compute(const exchange::BatchShare& share) override;
  const engine::ParameterArena& arena() const override { return arena_; }
  void on_gradient_ready(std::function<void(engine::ParameterId)> callback) override;

 private:
  const nets::Net& net_;
  const engine::ParameterArena& arena_;
  engine::Tape tape_;
  data::Loader loader_;
  std::deque<data::Request> announced_;  // given to the loader and not computed yet
};

}  // namespace apam::training

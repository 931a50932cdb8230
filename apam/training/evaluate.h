// How good a model is on the test images.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "data/batches.h"
#include "engine/tape.h"
#include "nets/net.h"

namespace apam::training {

struct Scores {
  double loss = 0;      ///< mean cross-entropy
  double accuracy = 0;  ///< share of images whose label has the largest logit
  double top5 = 0;      ///< share of images whose label is among the five largest
  std::int64_t images = 0;
  double seconds = 0;  ///< that scoring took

  bool finite() const { return std::isfinite(loss); }
};

/// Asked before every batch whether to give up.
using GiveUp = std::function<bool()>;

/// Runs a net over batches in inference mode. Holds a copy of the model of its own.
class Scorer {
 public:
  /// Exec and net must outlive the scorer.
  Scorer(Exec& exec, const nets::Net& net, std::shared_ptr<const data::Batches> batches);

  /// Its own model, for those who load one.
  const engine::ParameterArena& arena() const { return arena_; }

  /// Scores all batches at `state`: [ weights | running statistics ]. Nothing if `give_up` said so.
  std::optional<Scores> score(In state, const GiveUp& give_up);
  /// Scores all batches at what arena() holds.
  std::optional<Scores> score(const GiveUp& give_up);

  /// Runs each size of batch once, so that kernels are chosen and memory is at hand.
  void warm_up();

 private:
  void run(std::int64_t batch, Scores& sums);

  const nets::Net& net_;
  std::shared_ptr<const data::Batches> batches_;
  engine::ParameterArena arena_;
  engine::Tape tape_;
  data::Batch batch_;
};

}  // namespace apam::training

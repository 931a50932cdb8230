// How good a model is on the test images.
#pragma once

#include <cstdint>
#include <memory>

#include "data/batches.h"
#include "engine/tape.h"
#include "nets/net.h"

namespace apam::commands {

struct Scores {
  double loss = 0;      ///< mean cross-entropy
  double accuracy = 0;  ///< share of images whose label has the largest logit
  double top5 = 0;      ///< share of images whose label is among the five largest
  std::int64_t images = 0;
  double seconds = 0;  ///< that scoring took
};

/// Runs a net over batches in inference mode. Holds a copy of the model of its own.
class Scorer {
 public:
  /// Exec and net must outlive the scorer.
  Scorer(Exec& exec, const nets::Net& net, std::shared_ptr<const data::Batches> batches);

  /// Its own model, for those who load one.
  const engine::ParameterArena& arena() const { return arena_; }

  /// Scores all batches at `state`: [ weights | running statistics ].
  Scores score(In state);
  /// Scores all batches at what arena() holds.
  Scores score();

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

}  // namespace apam::commands

// Detects divergence: a loss, a weight or a running statistic is NaN or infinite. The loss is checked before its gradient is
// applied, so the weights of a run that stops there are still finite. Every update examines the state that it writes; of
// several in one pass, the state after the last.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "apam/exchange/shards/pass.h"
#include "apam/exchange/transport.h"
#include "engine/optim/updater.h"

namespace apam::exchange {

/// The first value that was not finite.
struct Divergence {
  std::int64_t update = 0;  ///< its update; the next one if the gradient was not applied
  int worker = 0;           ///< whose gradient it was
  std::string what;         ///< "the loss is nan", "conv1.weight is not finite"
};

class DivergenceWatch {
 public:
  /// `keep_going`: records the first divergence, but never ends the run. The updater must outlive the watch.
  DivergenceWatch(engine::Updater& updater, bool keep_going) : updater_(updater), keep_going_(keep_going) {}

  /// Before the gradient of `header` is applied, as update `update`. True if the run must end without it.
  bool ends_before(const GradientHeader& header, int worker, std::int64_t update);

  /// After updates in one pass, the last of them by a gradient of `worker`. True if the run must end. On a GPU this is known a
  /// pass late, except with Examine::all, which waits: for the last update, and before a snapshot. `elsewhere`: the first
  /// finding in the ranges of other masters, which are behind this one's.
  bool ends_after(int worker, engine::Updater::Examine examine = engine::Updater::Examine::without_waiting,
                  const std::optional<ShardFinding>& elsewhere = {});

  /// At the end of a run whose masters order by themselves. A finding elsewhere is the cause of a loss that was not finite,
  /// because no master applies the gradient of such a loss. True if the run has diverged and does not keep going.
  bool ends_together(const std::optional<ShardFinding>& elsewhere);

  const std::optional<Divergence>& first() const { return first_; }

 private:
  engine::Updater& updater_;
  bool keep_going_;
  std::optional<Divergence> first_;
  bool is_loss_ = false;  // the first
  int worker_ = 0;        // of the update before
};

}  // namespace apam::exchange

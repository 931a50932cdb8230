// Synchronous training with backup ranks: of N ranks, the first K = N - B to finish make an update, so that no update waits for
// the B slowest (Chen et al., "Revisiting distributed synchronous SGD", arXiv 1604.00981).
//
//   g = sum over the K of (sum over the share's rows of the row's gradient) / rows of its mini-batch
//   s = sum over the K of rows_r s_r / sum over the K of rows_r                       (batch statistics)
//
// A share is 1 / K of a mini-batch (share_leases.h), so an update averages over as many images as without backup ranks. Every
// rank has a replica and applies every update to it, its own contribution in it or not. A rank that is late drops its gradient,
// applies the updates that it has missed, and continues with the current weights. It looks before and after its computation,
// which is not interrupted. Gradients are summed once K are there: they are not sent during backward.
//
// The result follows from the ranks of each update, which are in UpdateRecord::ranks.
#pragma once

#include <optional>
#include <vector>

#include "apam/exchange/control.h"
#include "apam/exchange/divergence.h"
#include "apam/exchange/ending.h"
#include "apam/exchange/first_arrivals.h"
#include "apam/exchange/gradient_source.h"
#include "apam/exchange/observer.h"
#include "apam/exchange/share_leases.h"
#include "engine/optim/updater.h"

namespace apam::exchange {

class BackupTrainer {
 public:
  /// All must outlive the trainer. Throws InputError unless source.arena() is the updater's arena and total_updates > 0.
  BackupTrainer(FirstArrivals& arrivals, engine::Updater& updater, GradientSource& source, const Schedule& schedule,
                Observer& observer);

  /// Collective: copies the state of rank 0 to all ranks and makes all updates, with events on every rank. A signal to any
  /// rank, or divergence, stops all ranks after the same update. Throws ExchangeError if replicas differ at a snapshot. Returns
  /// once all ranks have made the last update.
  Ending run(Control& control);

  const std::optional<Divergence>& divergence() const { return watch_.first(); }

  /// After run(): `refused` were computed and late, `abandoned` belonged to ranks that were still behind, or to none at the
  /// end.
  LeaseCounts leases() const;

 private:
  void contribute(std::int64_t update, Control& control);
  std::optional<Ending> advance(std::int64_t update, Control& control);
  GradientHeader sum_headers(std::int64_t update, std::span<const EarlyGradient> arrivals) const;

  FirstArrivals& arrivals_;
  engine::Updater& updater_;
  GradientSource& source_;
  Schedule schedule_;
  Observer& observer_;
  DivergenceWatch watch_;
  ShareLeases leases_;
};

}  // namespace apam::exchange

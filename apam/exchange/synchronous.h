// Synchronous training, the baseline: each of N ranks computes its share of every mini-batch, the contributions are summed over
// the ranks, and every rank applies the same update to its own replica.
//
//   g = sum over ranks of (sum over the share's rows of the row's gradient) / rows of the mini-batch
//   s = sum over ranks of rows_r s_r / sum over ranks of rows_r                    (batch statistics)
//
// Gradients are sent in buckets while backward computes the rest (buckets.h). Batch norm normalises each share by its own
// moments; docs/protocol.md has the consequence for s.
#pragma once

#include "apam/exchange/all_reduce.h"
#include "apam/exchange/buckets.h"
#include "apam/exchange/control.h"
#include "apam/exchange/divergence.h"
#include "apam/exchange/ending.h"
#include "apam/exchange/gradient_source.h"
#include "apam/exchange/observer.h"
#include "engine/optim/updater.h"

namespace apam::exchange {

class SynchronousTrainer {
 public:
  static constexpr std::size_t kBucketFloats = std::size_t{1} << 20U;  // 4 MiB

  /// All must outlive the trainer. Throws InputError unless source.arena() is the updater's arena and total_updates > 0.
  SynchronousTrainer(AllReduce& all_reduce, engine::Updater& updater, GradientSource& source, const Schedule& schedule,
                     Observer& observer, std::size_t bucket_floats = kBucketFloats);
  ~SynchronousTrainer();
  SynchronousTrainer(const SynchronousTrainer&) = delete;
  SynchronousTrainer& operator=(const SynchronousTrainer&) = delete;

  /// Collective: broadcasts the state of rank 0, its version and moments, and makes the updates that are left, with events on
  /// every rank. A signal to any rank, or divergence (divergence.h), stops all ranks after the same update. Throws
  /// ExchangeError if replicas differ at a snapshot.
  Ending run(Control& control);

  const std::optional<Divergence>& divergence() const { return watch_.first(); }

 private:
  BatchShare share(std::int64_t batch) const { return {batch, all_reduce_.rank(), all_reduce_.ranks()}; }
  std::int64_t resume_together();
  std::optional<Ending> ending_at(std::int64_t update, const GradientHeader& header) const;
  GradientHeader contribute(std::int64_t batch, std::int32_t signal);
  void start(const Bucket& bucket);
  void sum_headers(GradientHeader& header);
  int first_signal(std::int32_t mine);
  void check_replicas(std::int64_t update);

  AllReduce& all_reduce_;
  engine::Updater& updater_;
  GradientSource& source_;
  Schedule schedule_;
  Observer& observer_;
  BucketQueue buckets_;
  DivergenceWatch watch_;
};

}  // namespace apam::exchange

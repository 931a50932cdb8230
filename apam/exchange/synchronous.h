// Synchronous training, the baseline: each of N ranks computes its share of every mini-batch, the contributions are added
// up over the ranks, and every rank applies the same update to its own replica.
//
//   g = sum over ranks of (sum over the share's rows of the row's gradient) / rows of the mini-batch
//   s = sum over ranks of rows_r s_r / sum over ranks of rows_r                    (batch statistics)
//
// The gradients travel in buckets, while backward still computes the rest (buckets.h). Batch norm normalises by each
// share's own moments; what that means for s is told in docs/protocol.md.
#pragma once

#include "apam/exchange/all_reduce.h"
#include "apam/exchange/buckets.h"
#include "apam/exchange/control.h"
#include "apam/exchange/divergence.h"
#include "apam/exchange/ending.h"
#include "apam/exchange/gradient_source.h"
#include "apam/exchange/observer.h"
#include "apam/exchange/updater.h"

namespace apam::exchange {

class SynchronousTrainer {
 public:
  static constexpr std::size_t kBucketFloats = std::size_t{1} << 20U;  // 4 MiB

  /// All must outlive the trainer. Throws InputError unless source.arena() is the updater's arena and there is an update to
  /// make.
  SynchronousTrainer(AllReduce& all_reduce, Updater& updater, GradientSource& source, const Schedule& schedule,
                     Observer& observer, std::size_t bucket_floats = kBucketFloats);
  ~SynchronousTrainer();
  SynchronousTrainer(const SynchronousTrainer&) = delete;
  SynchronousTrainer& operator=(const SynchronousTrainer&) = delete;

  /// Gives every rank the state of rank 0 and makes all updates. Every rank calls it; every rank's observer is told. A signal
  /// to any rank stops all of them after the same update, and so does a model that diverges (divergence.h).
  /// Throws ExchangeError when replicas differ at a snapshot.
  Ending run(Control& control);

  const std::optional<Divergence>& divergence() const { return watch_.first(); }

 private:
  BatchShare share(std::int64_t batch) const { return {batch, all_reduce_.rank(), all_reduce_.ranks()}; }
  GradientHeader contribute(std::int64_t batch, std::int32_t signal);
  void start(const Bucket& bucket);
  void add_up(GradientHeader& header);
  int first_signal(std::int32_t mine);
  void check_replicas(std::int64_t update);

  AllReduce& all_reduce_;
  Updater& updater_;
  GradientSource& source_;
  Schedule schedule_;
  Observer& observer_;
  BucketQueue buckets_;
  DivergenceWatch watch_;
};

}  // namespace apam::exchange

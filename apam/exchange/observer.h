// Events of a training, for progress, metrics and evaluation. Every event has its time, so an observer needs no clock.
#pragma once

#include <cstdint>

#include "apam/exchange/transport.h"

namespace apam::exchange {

/// One applied update.
struct UpdateRecord {
  std::int64_t update = 0;     ///< 1 .. total updates: the version of the weights after it
  int worker = 0;              ///< whose gradient it was; 0 in local and sync training
  std::int64_t staleness = 0;  ///< updates applied since the weights that the gradient was computed on; 0 in local and sync
  GradientHeader header;       ///< in sync training, summed over the ranks
  double at = 0;               ///< seconds since training began
  double rate = 0;             ///< learning rate
};

/// Called by the thread that applies updates, between an update and the reply to its worker. Calls should be short.
class Observer {
 public:
  virtual ~Observer() = default;

  /// After every update.
  virtual void on_update(const UpdateRecord& record) = 0;

  /// After the updates that Schedule selects, following on_update. `state` is [ weights | running statistics ] of version
  /// `update` at `at` seconds, valid during the call: copy it and evaluate the copy elsewhere, so that workers wait only for
  /// the copy.
  virtual void on_snapshot(std::int64_t update, double at, ConstSpan<float> state) = 0;
};

class IgnoreEvents final : public Observer {
 public:
  void on_update(const UpdateRecord& /*record*/) override {}
  void on_snapshot(std::int64_t /*update*/, double /*at*/, ConstSpan<float> /*state*/) override {}
};

/// How long to train, and when to take snapshots.
struct Schedule {
  std::int64_t total_updates = 0;
  std::int64_t snapshot_every = 0;  ///< at every multiple of it; 0: none. Always after the last update
  bool keep_going = false;          ///< continue if the model diverges

  bool snapshot_at(std::int64_t update) const {
    return update == total_updates || (snapshot_every > 0 && update % snapshot_every == 0);
  }
};

}  // namespace apam::exchange

// Events of a training, for progress, metrics and evaluation. Every event has its time, so an observer needs no clock.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "apam/exchange/ending.h"
#include "apam/exchange/epochs.h"
#include "apam/exchange/events.h"
#include "apam/exchange/leases.h"
#include "apam/exchange/transport.h"

namespace apam::exchange {

/// One applied update.
struct UpdateRecord {
  std::int64_t update = 0;       ///< 1 .. total updates: the version of the weights after it
  int worker = 0;                ///< whose gradient it was; 0 in local and sync training
  std::int64_t staleness = 0;    ///< updates applied since the weights that the gradient was computed on; 0 in local and sync
  std::int64_t publish_lag = 0;  ///< the part of it that computing ahead adds (staleness.h)
  GradientHeader header;         ///< in sync training, summed over the ranks
  double at = 0;                 ///< seconds since training began
  double rate = 0;               ///< learning rate
  int place = 1;             ///< in its pass over memory: 1 for the first update of a pass. Only the last one of a pass makes a
                             ///< version of the weights
  std::vector<int> ranks{};  ///< with backup ranks: those whose gradients it is the mean of, ascending; else empty
};

/// The state after an update, to evaluate or to save.
struct StateSnapshot {
  std::int64_t update = 0;
  double at = 0;           ///< seconds since training began
  ConstSpan<float> state;  ///< [ weights | running statistics ] of version `update`
  VersionRef version{};    ///< `state` is unchanged while a copy of this exists; empty: valid during the call only
  std::vector<std::int64_t> versions{};  ///< with Order::free: updates in the range of each master; else empty
};

/// Between two passes: nothing is being updated, and the optimizer's moments are those of this version.
struct RestPoint {
  std::int64_t update = 0;                   ///< the version
  double at = 0;                             ///< seconds since training began
  std::optional<Ending> ending{};            ///< the run has ended at this version
  const WeightHistory* history = nullptr;    ///< its newest version is this one; null: the state is that of the updater's arena
  std::function<BatchProgress()> batches{};  ///< during the call only
  std::function<std::int64_t()> copied_bytes{};  ///< MasterTransport::copied_bytes(), during the call only; null: not counted
};

/// Called by the thread that applies updates, after the replies to the workers of those updates. Calls should be short.
class Observer {
 public:
  virtual ~Observer() = default;

  /// Asynchronous training: the events of one call of the master, before the updates that it has made of them. The values of
  /// gradients are no longer there.
  virtual void on_events(std::span<const Event> /*events*/) {}

  /// After every update.
  virtual void on_update(const UpdateRecord& record) = 0;

  /// After the updates that Schedule selects, following on_update. Keep snapshot.version to read the state elsewhere without a
  /// copy; one that has no version must be copied.
  virtual void on_snapshot(const StateSnapshot& snapshot) = 0;

  /// After on_update() and on_snapshot() for the updates of a pass, or of several; and at the end of the run. Not with several
  /// masters.
  virtual void on_rest(const RestPoint& /*point*/) {}

  /// A worker has left, although it was not stopped; its leases are dealt again.
  virtual void on_departure(const Departure& /*departure*/, double /*at*/) {}
};

class IgnoreEvents final : public Observer {
 public:
  void on_update(const UpdateRecord& /*record*/) override {}
  void on_snapshot(const StateSnapshot& /*snapshot*/) override {}
};

/// How long to train, and when to take snapshots.
struct Schedule {
  std::int64_t total_updates = 0;
  std::int64_t snapshot_every = 0;          ///< at every multiple of it; 0: none. Always after the last update
  bool keep_going = false;                  ///< continue if the model diverges
  std::optional<Epochs> snapshot_epochs{};  ///< snapshots at the end of each; nothing: none

  bool snapshot_at(std::int64_t update) const {
    return update == total_updates || (snapshot_every > 0 && update % snapshot_every == 0) ||
           (snapshot_epochs && snapshot_epochs->ends_at(update));
  }
};

}  // namespace apam::exchange

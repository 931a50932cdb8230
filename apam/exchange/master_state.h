// The master of asynchronous training: a state machine. Events go in, actions come out. It has no loop, clock, thread or
// network, so its results depend only on the order of the events. A driver (drivers/) takes events from a transport and carries
// out the actions.
//
//   event          meaning
//   Joined         a worker is ready for its first weights
//   GradientReady  a gradient has arrived
//   Departed       a worker will send nothing more
//   StopRequested  a signal: the run ends at the current version; with Order::free after the gradients in flight
//   Tick           time has passed and nothing has happened
//
// The gradients of one call are applied in order of arrival, up to kMostTogether in one pass over memory (engine/optim), as
// single updates with the same bits. A pass reads the newest version of the weight history and writes the next one, which is
// immutable from then on: replies, evaluations and checkpoints refer to it. A pass ends early at an update whose state is
// needed: a snapshot, the last one, or one that a signal stops at.
//
// A worker is answered when its gradient has been taken. If no lease is left for it, it waits: leases of a worker that leaves
// are dealt again. All waiting workers are stopped at the end of the run.
//
// A staleness policy (policies/policy.h) may refuse a gradient, cancel a computation, let a worker wait, change the learning
// rate of an update or the gradient, and make an update of several gradients.
//
// Of sharded masters (shards/) this is the sequencer: it orders, and updates its range of the state. The followers execute the
// same passes on their ranges. A version is published when all have written it. With Order::free every master orders for its
// own range (shards/free_shard.h), and this one also deals the leases and ends the run.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "apam/exchange/artificial_delay.h"
#include "apam/exchange/divergence.h"
#include "apam/exchange/ending.h"
#include "apam/exchange/events.h"
#include "apam/exchange/leases.h"
#include "apam/exchange/observer.h"
#include "apam/exchange/policies/policy.h"
#include "apam/exchange/shards/pending_pass.h"
#include "apam/exchange/staleness.h"
#include "apam/exchange/transport.h"
#include "engine/optim/updater.h"

namespace apam::exchange {

/// The reply to a worker.
struct Send {
  int worker = 0;
  Reply reply;
  VersionRef version;  ///< empty for a stop
};
/// An update was made.
struct Applied {
  UpdateRecord record;
};
struct Snapshot {
  StateSnapshot state;
};
/// A gradient was too stale; its worker is answered as always.
struct Refuse {
  int worker = 0;
  GradientHeader header;
  std::int64_t staleness = 0;
};
/// The worker's computation on weights of version `computed_at` would be refused.
struct Cancel {
  int worker = 0;
  std::int64_t computed_at = 0;
};
/// A worker that was not stopped has left.
struct Left {
  Departure departure;
  double at = 0;
};
/// Every worker has been stopped or has left. The last action of a run.
struct Stop {};
using Action = std::variant<Send, Applied, Snapshot, Refuse, Cancel, Left, Stop>;

struct MasterOptions {
  int workers = 1;
  Schedule schedule;
  const ArtificialDelay* delay = nullptr;   ///< replies carry older weights; null: the newest. For one worker
  const StalenessPolicy* policy = nullptr;  ///< null: none
  std::optional<std::int64_t> batches{};    ///< mini-batches; nothing: total_updates times the policy's gradients per update
  std::optional<ShardRange> range{};        ///< that `updater` updates; nothing: the whole state
  ShardFollowers* followers = nullptr;      ///< update the rest of the state; null: nothing is left
  Order order = Order::sequenced;           ///< of the followers
  BatchProgress done{};                     ///< of a training that is continued at the version of updater and history
  bool ahead = false;                       ///< workers compute ahead (worker.h). With a policy that compensates the history
                                            ///< needs two versions per worker
};

class MasterState {
 public:
  static constexpr int kMostTogether = PendingPass::kMost;

  /// All must outlive the master. The history has its first version. Throws InputError without workers or updates to make, for
  /// an updater and a history at different versions, or at another one than that of the batches done, for an updater of another
  /// size than its range, for a delay and more than one worker, for batches that do not make that many updates, and for
  /// Order::free and a policy that does not apply every gradient.
  MasterState(engine::Updater& updater, WeightHistory& history, const MasterOptions& options);

  /// Takes events that happened `at` seconds after the start, in order. The actions are valid until the next call, which
  /// releases their versions. Throws ExchangeError for an event of a worker that is unknown or not in the state for it, a batch
  /// that is not its oldest lease, a version that it was not sent, values of the wrong size, or invalid counts.
  std::span<const Action> on(std::span<const Event> events, double at);
  std::span<const Action> on(const Event& event, double at) { return on(std::span(&event, 1), at); }

  /// True when every worker got a stop or has left. Unless the run ended early, all updates have been made then.
  bool done() const { return active_ == 0; }

  int workers() const { return leases_.workers(); }
  /// Updates of the whole run.
  std::int64_t updates() const { return schedule_.total_updates; }
  /// Updates made.
  std::int64_t version() const { return updater_.version(); }
  /// `complete` unless the run ended early.
  Ending ending() const;
  const std::optional<Divergence>& divergence() const { return watch_.first(); }
  const Staleness& staleness() const { return staleness_; }
  const LeaseCounts& leases() const { return leases_.counts(); }
  /// What has been done at version(). Between two calls of on().
  BatchProgress progress() const { return leases_.progress(); }
  /// Null with several masters: then the optimizer's moments are not all here.
  const WeightHistory* whole_history() const { return followers_ == nullptr ? &history_ : nullptr; }

 private:
  enum class Phase : std::uint8_t {
    unknown,  // has not joined
    working,  // computes a lease
    arrived,  // its gradient is in the current pass
    waiting,  // for a lease
    stopped,
    departed,
  };
  struct WorkerState {
    Phase phase = Phase::unknown;
    bool started = false;    // it was sent weights
    bool asked = false;      // to cancel its computation
    std::int64_t taken = 0;  // its gradients that were applied or kept
  };

  void take(const Joined& event);
  void take(const GradientReady& event);
  void take(const Departed& event);
  void take(const StopRequested& event);
  void take(const Tick& /*event*/) {}

  WorkerState& state_of(int worker) { return states_[static_cast<std::size_t>(worker)]; }
  void check(const GradientMessage& message) const;
  void flush();
  std::optional<ShardFinding> update();
  bool is_shown(const GradientHeader& last) const;
  void collect(int slot);
  bool ends_pass(const GradientHeader& last) const;
  void refuse(const GradientMessage& message, std::int64_t tau);
  void take_for_mean(const GradientMessage& message);
  void answer(int worker);
  bool must_wait(int worker) const;
  void cancel_stale();
  void stop(int worker);
  void settle();
  void end_together();
  std::vector<std::int64_t> versions() const;
  /// Whether gradients are applied: while it runs; and afterwards if other masters may have applied those in flight already.
  bool applies() const { return running() || order_ == Order::free; }
  bool running() const { return ending_.why == Ending::Why::complete && version() < schedule_.total_updates; }
  void end(Ending::Why why, int signal);

  engine::Updater& updater_;
  WeightHistory& history_;
  const ArtificialDelay* delay_;
  const StalenessPolicy& policy_;
  Schedule schedule_;
  Leases leases_;
  bool ahead_;
  DivergenceWatch watch_;
  Ending ending_;
  Staleness staleness_;
  PendingPass pass_;  // what is not applied yet, of the current call
  ShardFollowers* followers_;
  Order order_;
  GradientHeader mean_;  // of the gradients kept for the next update
  std::vector<WorkerState> states_;
  int active_;                  // workers that are neither stopped nor departed
  int present_;                 // workers that have not departed
  std::int64_t collected_ = 0;  // newest version of which this process has the whole state; one master: unused
  bool over_ = false;           // Stop was given

  // Of the current call.
  double at_ = 0;
  std::vector<Action> actions_;
};

}  // namespace apam::exchange

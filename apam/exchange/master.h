// The master of asynchronous training: applies each gradient as it arrives and replies only to its worker. A state machine
// whose inputs are messages, without clock, threads or network: its results depend only on the order of arrival.
#pragma once

#include <vector>

#include "apam/exchange/artificial_delay.h"
#include "apam/exchange/control.h"
#include "apam/exchange/divergence.h"
#include "apam/exchange/ending.h"
#include "apam/exchange/leases.h"
#include "apam/exchange/observer.h"
#include "apam/exchange/staleness.h"
#include "apam/exchange/transport.h"
#include "engine/optim/updater.h"

namespace apam::exchange {

class Master {
 public:
  /// All must outlive the master. With `delayed`, replies carry older weights (artificial_delay.h); null: the current ones.
  /// Throws InputError without workers or updates to make, or for delayed weights and more than one worker.
  Master(engine::Updater& updater, int workers, const Schedule& schedule, Observer& observer,
         DelayedWeights* delayed = nullptr);

  /// The first reply to a worker: the initial weights and its first leases, or a stop if there are none for it. Once per
  /// worker.
  Reply welcome(int worker);

  /// Applies a gradient that arrived `at` seconds after the start, and returns the reply to its worker. A signal in the header
  /// stops the run. After the run was stopped or has diverged, gradients are not applied and every reply is a stop. Throws
  /// ExchangeError for a worker that is unknown, not welcomed or stopped, a batch that is not its oldest lease, a version that
  /// it was not sent, values of the wrong size, or invalid counts.
  Reply handle(const GradientMessage& message, double at);

  /// Ends the run at the current version of the weights, because of a signal. No effect after the end.
  void stop(int signal);

  /// True when every worker got a stop. Unless the run ended early, exactly schedule.total_updates have been applied then.
  bool done() const { return active_ == 0; }

  /// Welcomes all workers, handles gradients as they arrive until done, and finishes the transport. Stops the run on a signal
  /// from `control`. Throws ExchangeError if the transport has another number of workers; passes on exceptions of transport and
  /// observer.
  void run(MasterTransport& transport, Control& control);

  /// `complete` unless the run ended early.
  Ending ending() const;
  const std::optional<Divergence>& divergence() const { return watch_.first(); }

  /// The current weights.
  ConstSpan<float> weights() const { return updater_.arena().weights(); }
  /// The weights that a reply announces, valid until the next update.
  ConstSpan<float> weights_of(const Reply& reply) const {
    return delays() ? delayed_->history().at(reply.version).weights() : weights();
  }
  bool delays() const { return delayed_ != nullptr; }
  const Staleness& staleness() const { return staleness_; }

 private:
  enum class Phase : std::uint8_t { unknown, working, stopped };
  struct WorkerState {
    Phase phase = Phase::unknown;
    std::int64_t given = 0;  // version of the weights last sent to it
  };

  void check(const GradientMessage& message) const;
  void apply(const GradientMessage& message, double at);
  void end(Ending::Why why, int signal);
  Reply close(int worker, Reply reply);

  engine::Updater& updater_;
  Observer& observer_;
  DelayedWeights* delayed_;
  Schedule schedule_;
  Leases leases_;
  DivergenceWatch watch_;
  Ending ending_;
  Staleness staleness_;
  std::vector<WorkerState> states_;
  int active_;  // workers not stopped yet
};

}  // namespace apam::exchange

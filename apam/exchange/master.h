// The master of asynchronous training: it applies each gradient as it arrives and answers that worker alone.
// A state machine whose inputs are messages; it knows no clock, no thread and no network, so that order of arrival is all
// that its results depend on.
#pragma once

#include <vector>

#include "apam/exchange/control.h"
#include "apam/exchange/divergence.h"
#include "apam/exchange/ending.h"
#include "apam/exchange/leases.h"
#include "apam/exchange/observer.h"
#include "apam/exchange/staleness.h"
#include "apam/exchange/transport.h"
#include "apam/exchange/updater.h"

namespace apam::exchange {

class Master {
 public:
  /// The updater and the observer must outlive the master. Throws InputError unless there is a worker and an update to make.
  Master(Updater& updater, int workers, const Schedule& schedule, Observer& observer);

  /// The first answer to a worker: the initial weights and its first leases, or a stop when there are none for it. Once a
  /// worker.
  Reply welcome(int worker);

  /// Applies a gradient that arrived `at` seconds after the beginning, and says what its worker does next. Once the run has
  /// been stopped or has diverged, gradients are not applied and every worker is told to stop; so is the run if the gradient's
  /// header carries a signal. Throws ExchangeError for a worker that is unknown, not welcomed or stopped, a batch that is not
  /// its oldest lease, a version that it was not given, values of the wrong size, or counts that cannot be.
  Reply handle(const GradientMessage& message, double at);

  /// Ends the run at the current version of the weights, because of a signal. Nothing changes once it has ended.
  void stop(int signal);

  /// True when every worker has been told to stop. Unless the run ended early, exactly schedule.total_updates have been
  /// applied then.
  bool done() const { return active_ == 0; }

  /// Welcomes all workers, handles gradients as they arrive until done, and lets the transport finish. Stops the run when
  /// `control` asks for it. Throws ExchangeError when the transport has another number of workers, and whatever transport and
  /// observer throw.
  void run(MasterTransport& transport, Control& control);

  /// How the run ended; complete while it has not ended early.
  Ending ending() const;
  const std::optional<Divergence>& divergence() const { return watch_.first(); }

  In weights() const { return updater_.arena().weights(); }
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

  Updater& updater_;
  Observer& observer_;
  Schedule schedule_;
  Leases leases_;
  DivergenceWatch watch_;
  Ending ending_;
  Staleness staleness_;
  std::vector<WorkerState> states_;
  int active_;  // workers not stopped yet
};

}  // namespace apam::exchange

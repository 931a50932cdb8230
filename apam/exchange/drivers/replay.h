// Repeats an asynchronous training whose events were recorded: the same master takes the same events, call by call, and the
// gradients are computed again. Workers, transports and their waiting are left out: what a worker computes follows from the
// replies to it, and when it does so has no effect.
//
// A run that was interrupted and resumed is a sequence of masters. The next one continues with the updates of the one before,
// and what its workers had not pushed is lost, as in the run.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "apam/exchange/master_state.h"
#include "apam/exchange/transport.h"

namespace apam::exchange {

/// An event as it is recorded.
struct RecordedEvent {
  enum class Kind : std::uint8_t {
    start,      ///< `number` workers join a master
    gradient,   ///< of worker `number`; `signal`: its header's
    cancelled,  ///< worker `number` has given up its computation; `signal` too
    departed,   ///< worker `number`
    stop,       ///< `number` is the signal
  };
  Kind kind = Kind::gradient;
  int number = 0;
  int signal = 0;

  friend bool operator==(const RecordedEvent&, const RecordedEvent&) = default;
};

/// The events of one call of the master.
using RecordedCall = std::vector<RecordedEvent>;

/// What there is to record of the events of a call: nothing of a Tick, and one start of all that join.
RecordedCall recorded(std::span<const Event> events);

/// Computes the gradients of a replay: at once, later, or several at a time.
class ReplayedGradients {
 public:
  struct Gradient {
    GradientHeader header;    ///< as of GradientSource::compute()
    ConstSpan<float> values;  ///< [ gradients | batch statistics ], valid until release()
  };

  virtual ~ReplayedGradients() = default;

  /// `worker` begins the gradient of a mini-batch at these weights. It has begun at most two that it has neither pushed nor
  /// given up.
  virtual void begin(int worker, std::int64_t batch, const VersionRef& weights) = 0;

  /// The first of these. Waits until it is computed.
  virtual Gradient take(int worker) = 0;

  /// The first of these is not needed.
  virtual void give_up(int worker) = 0;

  /// What has been taken so far is no longer read.
  virtual void release() {}
};

/// The workers of one master, seen from it.
class ReplayedWorkers final : public MasterTransport {
 public:
  /// `ahead`: workers compute ahead (worker.h).
  ReplayedWorkers(int workers, bool ahead, ReplayedGradients& gradients);

  /// The events of a recorded call that is not a start. Throws InputError for an event that cannot follow on those before.
  std::span<const Event> events(const RecordedCall& call);

  int workers() const override { return static_cast<int>(workers_.size()); }
  std::string_view name() const override { return "replay"; }
  std::span<const GradientMessage> poll(Duration /*timeout*/) override { return {}; }
  void send(int worker, const Reply& reply, const VersionRef& version) override;
  void finish() override {}

 private:
  struct Begun {
    std::int64_t batch = 0, computed_at = 0;
  };
  struct WorkerState {
    bool works = false;  // has weights, and a gradient is expected
    std::deque<std::int64_t> leases{};
    std::deque<Begun> begun{};
    VersionRef version{};  // the newest it has
  };

  WorkerState& worker(int index, std::string_view what);
  void begin_next(int index, WorkerState& state);
  void end(int index, WorkerState& state);
  GradientMessage arrive(const RecordedEvent& event);

  bool ahead_;
  ReplayedGradients& gradients_;
  std::vector<WorkerState> workers_;
  std::vector<Event> events_;
};

/// Hands the start of a run to the master: all workers join.
void begin_replay(MasterState& master, ReplayedWorkers& workers, Observer& observer, double at);

/// Hands a recorded call to the master. False, and does nothing, once the master has made its last update.
bool replay(const RecordedCall& call, MasterState& master, ReplayedWorkers& workers, Observer& observer, double at);

}  // namespace apam::exchange

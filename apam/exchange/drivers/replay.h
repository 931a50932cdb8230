// Repeats an asynchronous training whose events were recorded: the same master takes the same events, call by call, and the
// gradients are computed again, one at a time. Workers, transports and waiting are left out: what a worker would compute
// follows from the replies to it. So the memory of a replay does not grow with the number of workers, except for the versions
// of the weights that they hold.
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

/// Computes the gradients of a replay.
class ReplayedGradients {
 public:
  virtual ~ReplayedGradients() = default;

  /// Of a mini-batch at these weights, as `worker` has computed it. Returns a header as GradientSource::compute(), and writes
  /// [ gradients | batch statistics ] to `contribution` (state).
  virtual GradientHeader compute(int worker, std::int64_t batch, ConstSpan<float> weights, Span<float> contribution) = 0;
};

/// The workers of one master, seen from it.
class ReplayedWorkers final : public MasterTransport {
 public:
  /// `contributions`: (state) each, as many as a call may have gradients. `ahead`: workers compute ahead (worker.h).
  ReplayedWorkers(int workers, bool ahead, ReplayedGradients& gradients, std::vector<Span<float>> contributions);

  /// The events of a recorded call that is not a start. Computes its gradients; they are valid until the next call. Throws
  /// InputError for an event that cannot follow on those before, or more gradients than contributions.
  std::span<const Event> events(const RecordedCall& call);

  int workers() const override { return static_cast<int>(workers_.size()); }
  std::string_view name() const override { return "replay"; }
  std::span<const GradientMessage> poll(Duration /*timeout*/) override { return {}; }
  void send(int worker, const Reply& reply, const VersionRef& version) override;
  void finish() override {}

 private:
  struct WorkerState {
    bool works = false;  // has weights, and a gradient is expected
    std::deque<std::int64_t> leases{};
    VersionRef version{};  // the newest it has
    VersionRef ahead{};    // of the gradient that is computed ahead, if one is
  };

  WorkerState& worker(int index, std::string_view what);
  GradientMessage gradient(const RecordedEvent& event, Span<float> contribution);

  bool ahead_;
  ReplayedGradients& gradients_;
  std::vector<Span<float>> contributions_;
  std::vector<WorkerState> workers_;
  std::vector<Event> events_;
};

/// Hands the start of a run to the master: all workers join.
void begin_replay(MasterState& master, ReplayedWorkers& workers, Observer& observer, double at);

/// Hands a recorded call to the master. False, and does nothing, once the master has made its last update.
bool replay(const RecordedCall& call, MasterState& master, ReplayedWorkers& workers, Observer& observer, double at);

}  // namespace apam::exchange

// The exchange over MPI between masters and workers (roles.h), from and to host memory, or memory of GPUs.
//
//   tag 1  worker -> master   GradientHeader, after the parts of its contribution
//   tag 2  worker -> master   contribution, in parts (parts.h); parts without values if cancelled
//   tag 3  master -> worker   reply or cancellation
//   tag 4  master -> worker   weights, after a reply to proceed
//
// Each master has a range of contributions and weights (shards/range.h): a worker sends the header to every master and each
// part to the master of its range, and continues when all masters have replied. With Order::free a header has the version that
// its master sent, and a worker that is stopped by the sequencer sends the other masters a header that is marked as cancelled.
// Between masters (log_entry.h):
//
//   tag 5  sequencer -> follower   an entry of the log
//   tag 6  follower -> sequencer   what it has executed
//   tag 7  in both directions      the follower's range of a version, when an entry asks for it
//
// Synchronous training with backup ranks has tags 8 to 11 (first_arrivals.h).
//
// In each rank one thread makes all MPI calls between the construction of the transport and its end: MPI moves large messages
// only inside its calls, so contributions arrive and weights leave while the master applies an update. It and the thread that
// computes hand work to each other (handoff.h) and never wait for each other's work. A worker's parts leave while it computes.
// The thread of a master on a GPU waits for updates whose versions it sends (worker_messages.h). A rank that is a master and a
// worker has both transports, each with a thread of its own; no tag is of both. All sends and receives are non-blocking, and
// their memory is that of the caller: the version of the weights, the contribution of a worker, and the weights of a worker. Of
// ranks on GPUs that is memory of the GPU, if MPI takes it (device_buffers.h). In bfloat16, and of a master on a GPU whose
// memory MPI does not take, it is buffers of the transport. A thread that waits sleeps, or polls with back-off (backoff.h).
#pragma once

#include <memory>

#include "apam/exchange/control.h"
#include "apam/exchange/mpi/environment.h"
#include "apam/exchange/policies/policy.h"
#include "apam/exchange/shards/free_shard.h"
#include "apam/exchange/transport.h"
#include "engine/optim/updater.h"

namespace apam::exchange::mpi {

/// Values of gradients and weights on their way. bfloat16: rounded to nearest, ties to even; batch statistics stay float32.
enum class Wire : std::uint8_t { float32, bfloat16 };

/// In floats. All ranks must agree on these.
struct MessageSizes {
  std::size_t contribution = 0;              ///< [ gradients | batch statistics ]
  std::size_t weights = 0;                   ///< and gradients
  std::size_t part = std::size_t{1} << 20U;  ///< of a contribution: 4 MiB, each with a small message ahead of its values
  Wire wire = Wire::float32;
  int masters = 1;  ///< each has a range of both
  Order order = Order::sequenced;
  bool colocated = false;  ///< the masters' ranks are workers too
};

/// Memory of a GPU that is sent or received: copied by way of pinned host memory, or handed to MPI. MPI must take it then
/// (device_buffers.h), and values travel in float32.
enum class DeviceBuffers : std::uint8_t { staged, direct };

/// How messages are sent. A synchronous send ends only once its receive has begun: a test that the exchange does not rely on
/// MPI's buffers.
enum class Sends : std::uint8_t { standard, synchronous };

/// The ranks of one exchange and what they have agreed on. A rank that is a master and a worker makes both sides of the same
/// peers.
class Peers {
 public:
  /// Collective. Throws ExchangeError if the sizes of two ranks differ or exceed one message, for colocated masters in an
  /// environment of Threads::one, for too few ranks, and if MPI fails.
  Peers(const Environment& environment, const MessageSizes& sizes, Sends sends = Sends::standard);

  struct Agreed;  // protocol.h
  const Agreed* operator->() const { return agreed_.get(); }

 private:
  std::shared_ptr<const Agreed> agreed_;
};

/// Rank 0 makes the master's side, workers make a worker's side, the other masters follow. They and the results throw
/// ExchangeError for a rank without that role, or if MPI fails; DeviceError for memory other than the CPU's, or if the system
/// refuses a thread. `updates`: the stream of a master on a GPU; versions and contributions are then memory of that GPU. A
/// worker receives into `weights`, or into `weights` and `second` in turns: then a delivery stays while the next one arrives
/// (keeps_weights()). Both must outlive its transport, after an error the process. `steps`: the stream of a worker whose
/// weights and contributions are memory of its GPU, which MPI must take; push() waits for it. Without, a worker on a GPU stages
/// its memory itself (staged_worker.h). Streams must outlive the result. The caller makes no MPI calls until the master's
/// finish() has returned, or a worker has pulled a stop, or the transport is destroyed.
std::unique_ptr<MasterTransport> make_master_transport(const Peers& peers, const Stream* updates = nullptr,
                                                       DeviceBuffers buffers = DeviceBuffers::staged);
std::unique_ptr<WorkerTransport> make_worker_transport(const Peers& peers, Span<float> weights, Span<float> second = {},
                                                       const Stream* steps = nullptr);

/// The transport of the sequencer of several masters.
class SequencerTransport : public MasterTransport {
 public:
  virtual ShardFollowers& followers() = 0;
};

/// As make_master_transport() for rank 0 of several masters. `history` has its first version, of which followers are sent their
/// ranges. `model`: names what is not finite. Both must outlive the result, after an error the process.
std::unique_ptr<SequencerTransport> make_sequencer_transport(const Peers& peers, const WeightHistory& history,
                                                             const engine::ParameterLayout& model);

/// Executes the log of the sequencer on the range of this rank, which `updater` has, until its stop. `layout`: of the
/// sequencer's history. A signal of `control` is handed to the sequencer. Throws as the others, and as ShardFollower.
void follow(const Peers& peers, engine::Updater& updater, const HistoryLayout& layout, const StalenessPolicy& policy,
            Control& control);

/// With Order::free: applies gradients to the range of this rank in their order of arrival, until the sequencer has stopped and
/// every worker has left. `layout`: of a history for all workers. `options`: `workers` is ignored. Otherwise as follow(), and
/// throws as FreeShard.
void follow_freely(const Peers& peers, engine::Updater& updater, const HistoryLayout& layout, const StalenessPolicy& policy,
                   FreeShard::Options options, Control& control);

}  // namespace apam::exchange::mpi

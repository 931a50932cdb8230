// The contract between the algorithm and whatever carries its messages: MPI, threads of one process, a script in a test.
// The algorithm (master.h, worker.h) knows this file and nothing of MPI, CUDA or clocks.
//
// One exchange of a worker: it holds weights of some version and a lease on a mini-batch; it computes the gradient, pushes
// it, and pulls the reply: newer weights and its next leases. Leases are numbers of global mini-batches, dealt by the master
// one ahead, so that a worker can prepare the next batch while it computes this one; over all workers each number is dealt
// exactly once. The master answers the worker whose gradient it applied, alone; nobody waits for anybody else.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/runtime/device_span.h"

namespace apam::exchange {

/// What a worker says about a gradient. Plain data: it travels as bytes.
struct GradientHeader {
  std::int64_t computed_at = 0;  ///< version of the weights that it was computed on
  std::int64_t batch = -1;       ///< the lease that it fulfils
  double loss_sum = 0.0;         ///< over the rows of the batch
  std::int32_t rows = 0;
  std::int32_t top1 = 0;    ///< rows classified rightly
  std::int32_t signal = 0;  ///< that asks the run to stop, 0: none
};

struct GradientMessage {
  int worker = 0;  ///< 0 .. workers-1
  GradientHeader header;
  In values;  ///< [ gradients | batch statistics ], valid until the reply to this worker
};

enum class Verdict : std::uint8_t {
  go_on,  ///< the reply carries weights; leases may follow
  stop,   ///< the worker ends: no leases are left for it, or the run stops at this version
};

/// What the master answers. Plain data: it travels as bytes ahead of the weights.
struct Reply {
  static constexpr int kMostLeases = 2;

  Verdict verdict = Verdict::go_on;
  std::int32_t lease_count = 0;
  std::array<std::int64_t, kMostLeases> leases{};  ///< newly dealt: two with the first weights, then one for each gradient
  std::int64_t version = 0;                        ///< updates applied to the weights that follow
};

/// Throws ExchangeError unless the verdict is known and the number of leases and the version are possible. For what came from
/// another process, before it is used.
void check(const Reply& reply);

/// The master's side. One thread calls it.
class MasterTransport {
 public:
  virtual ~MasterTransport() = default;
  virtual int workers() const = 0;
  virtual std::string_view name() const = 0;  ///< for reports: "mpi (host buffers)", "threads"

  /// Waits until at least one gradient has arrived and returns all that have, in order of arrival. Waiting costs next to no
  /// processor time. Each message must be answered by reply().
  virtual std::span<const GradientMessage> wait_some() = 0;

  /// Sends a reply and, unless it says stop, the weights. The transport has read `weights` when this returns. Before any
  /// gradient, the master calls it once for every worker with the first weights.
  virtual void reply(int worker, const Reply& reply, In weights) = 0;

  /// Returns when all replies have left. Called once, after every worker was told to stop.
  virtual void finish() = 0;
};

/// A worker's side. One thread calls it.
class WorkerTransport {
 public:
  virtual ~WorkerTransport() = default;

  /// Sends a gradient. The transport may read `values` until the next pull() returns; if an error comes first, until the
  /// process ends.
  virtual void push(const GradientHeader& header, In values) = 0;

  /// Waits for the master's reply and receives its weights (untouched when it says stop).
  virtual Reply pull(Out weights) = 0;
};

}  // namespace apam::exchange

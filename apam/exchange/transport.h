// The contract between the algorithm and its transport: MPI, threads of one process, or a script in a test. The algorithm
// (master_state.h, worker.h) depends on this file, not on MPI, CUDA or clocks.
//
// A worker holds weights of some version and a lease on a mini-batch. It computes the gradient, pushes it, and pulls the reply:
// newer weights and its next leases. A lease is the global number of a mini-batch. The master deals one ahead, so that a worker
// can prefetch the next batch; over all workers each number is applied exactly once. The master replies only to the worker
// whose gradient it took; no worker waits for another.
//
// Weights are immutable versions (weight_history.h). A transport may hand a version to the worker in place, or copy it. It
// holds a reference to the version that it sent to a worker at most until that worker's next gradient arrives, and so at most
// one per worker.
//
// A worker may compute ahead (worker.h): its next gradient, on the weights that it has, while the reply to the one before
// travels. It still pushes that gradient after the reply. So a worker's gradients and replies always alternate.
//
// A transport that copies may send a contribution in parts, while the worker computes the rest of it. It is still taken whole
// or not at all: the header comes last.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "apam/exchange/weight_history.h"
#include "kernels/runtime/span.h"

namespace apam::exchange {

using Duration = std::chrono::nanoseconds;

/// Names of transports.
inline constexpr std::string_view kHostMessages = "mpi (host buffers)", kPinnedMessages = "mpi (pinned host buffers)",
                                  kDeviceMessages = "mpi (device buffers)", kMemoryOfGpus = "shared memory of GPUs (CUDA IPC)";

/// Precedes a gradient. Plain data, sent as bytes.
struct GradientHeader {
  std::int64_t computed_at = 0;  ///< version of the weights it was computed on
  std::int64_t batch = -1;       ///< the lease it fulfils
  double loss_sum = 0.0;         ///< over the rows of the batch
  std::int32_t rows = 0;
  std::int32_t top1 = 0;       ///< rows classified correctly
  std::int32_t top5 = 0;       ///< rows whose label has one of the five largest logits
  std::int32_t signal = 0;     ///< stops the run; 0: none
  std::int32_t cancelled = 0;  ///< 1: given up at the master's request; rows is 0 and no values follow
};

struct GradientMessage {
  int worker = 0;  ///< 0 .. workers-1
  GradientHeader header;
  ConstSpan<float> values;  ///< [ gradients | batch statistics ], valid until the reply to this worker; empty if cancelled
};

enum class Verdict : std::uint8_t {
  proceed,  ///< the reply carries weights, and leases if any are left
  stop,     ///< the worker ends: the run is complete, or stops at this version
};

/// The master's reply, ahead of the weights. Plain data, sent as bytes.
struct Reply {
  static constexpr int kMostLeases = 3;

  Verdict verdict = Verdict::proceed;
  std::int32_t lease_count = 0;
  std::array<std::int64_t, kMostLeases> leases{};  ///< newly dealt: two with the first weights, or three to compute ahead, then
                                                   ///< one per gradient
  std::int64_t version = 0;                        ///< updates applied to the weights that follow

  friend bool operator==(const Reply&, const Reply&) = default;
};

/// Throws ExchangeError unless verdict, number of leases and version are valid. Call it on replies from another process before
/// using them.
void check(const Reply& reply);

/// What a worker receives.
struct Delivery {
  Reply reply;
  ConstSpan<float> weights{};  ///< of version reply.version; empty for a stop. Valid until the next push(), and if the
                               ///< transport keeps_weights() until the one after that
};

/// A worker that will send nothing more, although it was not stopped.
struct Departure {
  int worker = 0;
  std::string why;
};

/// The master's side. One thread calls it.
class MasterTransport {
 public:
  virtual ~MasterTransport() = default;
  virtual int workers() const = 0;
  virtual std::string_view name() const = 0;  ///< for reports: "mpi (host buffers)", "threads"

  /// Returns all gradients that have arrived, in order of arrival. Waits up to `timeout` for the first, then returns nothing.
  /// Waiting uses almost no processor time. Each message requires a send() to its worker before that worker's next message.
  virtual std::span<const GradientMessage> poll(Duration timeout) = 0;

  /// Sends a reply and, unless it is a stop, the weights of `version`, which is empty for a stop. Never waits for the worker:
  /// the transport keeps a copy of the reference. Before any gradient, the master calls it with the first weights.
  virtual void send(int worker, const Reply& reply, const VersionRef& version) = 0;

  /// Asks the worker to give up its computation on weights of version `computed_at`, if it has not finished. Never waits. The
  /// worker answers as always, with its gradient or with a header that is marked as cancelled. A transport may do nothing.
  virtual void cancel(int /*worker*/, std::int64_t /*computed_at*/) {}

  /// Workers that have gone since the last call, each once, after poll() has returned all that they had sent. Does not wait.
  virtual std::span<const Departure> departed() { return {}; }

  /// Returns when all replies are sent. Called once, after every worker got a stop.
  virtual void finish() = 0;

  /// Bytes of contributions and weights that the transport has moved so far, on both sides; 0 if all are read where they are.
  virtual std::int64_t copied_bytes() const { return 0; }
};

/// A worker's side. One thread calls it.
class WorkerTransport {
 public:
  virtual ~WorkerTransport() = default;

  /// Whether weights stay while newer ones arrive, so that a worker can compute ahead.
  virtual bool keeps_weights() const { return false; }

  /// Whether offer() has an effect. If so, a worker calls it during each computation.
  virtual bool sends_early() const { return false; }

  /// Before push(): the gradients of `values`, which the next push() will be given, are complete from float `from` on. `from`
  /// never grows. The transport may begin to read and to send them. Of a gradient that is computed ahead, it does so once the
  /// reply to the gradient before has come; after a stop never. Never waits.
  virtual void offer(ConstSpan<float> /*values*/, std::size_t /*from*/) {}

  /// Sends a gradient, or a header that is marked as cancelled and no values: what has been offered is then discarded. May read
  /// `values` until the next pull() returns, or after an error until the process ends.
  virtual void push(const GradientHeader& header, ConstSpan<float> values) = 0;

  /// Whether the master has asked to give up the computation on weights of this version. Never waits.
  virtual bool cancelled(std::int64_t /*computed_at*/) { return false; }

  /// Waits for the master's reply and its weights.
  virtual Delivery pull() = 0;
};

}  // namespace apam::exchange

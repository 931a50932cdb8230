// The contract between the algorithm and its transport: MPI, threads of one process, or a script in a test. The algorithm
// (master.h, worker.h) depends on this file, not on MPI, CUDA or clocks.
//
// A worker holds weights of some version and a lease on a mini-batch. It computes the gradient, pushes it, and pulls the reply:
// newer weights and its next leases. A lease is the global number of a mini-batch. The master deals one ahead, so that a worker
// can prefetch the next batch; over all workers each number is dealt exactly once. The master replies only to the worker whose
// gradient it applied; no worker waits for another.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/runtime/span.h"

namespace apam::exchange {

/// Precedes a gradient. Plain data, sent as bytes.
struct GradientHeader {
  std::int64_t computed_at = 0;  ///< version of the weights it was computed on
  std::int64_t batch = -1;       ///< the lease it fulfils
  double loss_sum = 0.0;         ///< over the rows of the batch
  std::int32_t rows = 0;
  std::int32_t top1 = 0;    ///< rows classified correctly
  std::int32_t top5 = 0;    ///< rows whose label has one of the five largest logits
  std::int32_t signal = 0;  ///< stops the run; 0: none
};

struct GradientMessage {
  int worker = 0;  ///< 0 .. workers-1
  GradientHeader header;
  ConstSpan<float> values;  ///< [ gradients | batch statistics ], valid until the reply to this worker
};

enum class Verdict : std::uint8_t {
  proceed,  ///< the reply carries weights, and leases if any are left
  stop,     ///< the worker ends: no leases are left for it, or the run stops at this version
};

/// The master's reply, ahead of the weights. Plain data, sent as bytes.
struct Reply {
  static constexpr int kMostLeases = 2;

  Verdict verdict = Verdict::proceed;
  std::int32_t lease_count = 0;
  std::array<std::int64_t, kMostLeases> leases{};  ///< newly dealt: two with the first weights, then one per gradient
  std::int64_t version = 0;                        ///< updates applied to the weights that follow
};

/// Throws ExchangeError unless verdict, number of leases and version are valid. Call it on replies from another process before
/// using them.
void check(const Reply& reply);

/// The master's side. One thread calls it.
class MasterTransport {
 public:
  virtual ~MasterTransport() = default;
  virtual int workers() const = 0;
  virtual std::string_view name() const = 0;  ///< for reports: "mpi (host buffers)", "threads"

  /// Waits until at least one gradient has arrived and returns all that have, in order of arrival. Waiting uses almost no
  /// processor time. Each message requires a reply().
  virtual std::span<const GradientMessage> wait_some() = 0;

  /// Sends a reply and, unless it is a stop, the weights. Has read `weights` when it returns. Before any gradient, the master
  /// calls it once per worker with the first weights.
  virtual void reply(int worker, const Reply& reply, ConstSpan<float> weights) = 0;

  /// Returns when all replies are sent. Called once, after every worker got a stop.
  virtual void finish() = 0;
};

/// A worker's side. One thread calls it.
class WorkerTransport {
 public:
  virtual ~WorkerTransport() = default;

  /// Sends a gradient. May read `values` until the next pull() returns, or after an error until the process ends.
  virtual void push(const GradientHeader& header, ConstSpan<float> values) = 0;

  /// Waits for the master's reply and receives its weights. A stop leaves `weights` untouched.
  virtual Reply pull(Span<float> weights) = 0;
};

}  // namespace apam::exchange

// The contract between synchronous training and the code that sums its gradients: MPI, shared memory, threads of one process,
// NCCL. Every rank makes the same calls in the same order, with spans of the same sizes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/runtime/span.h"

namespace apam::exchange {

class AllReduce {
 public:
  virtual ~AllReduce() = default;
  virtual int rank() const = 0;
  virtual int ranks() const = 0;
  virtual std::string_view name() const = 0;  ///< for reports

  /// Whether a rank should call start() for gradients during backward, as they become complete.
  virtual bool sends_early() const { return true; }

  /// Starts the sum of `values` over the ranks; every rank gets the same bits. The memory is in use, and may be overwritten,
  /// until finish() returns, or after an error until the process ends.
  virtual void start(Span<float> values) = 0;

  /// The same for factor * values.
  virtual void start_scaled(Span<float> values, float factor) {
    for (float& value : values.host()) value *= factor;
    start(values);
  }

  /// Makes progress on started sums, without waiting.
  virtual void progress() = 0;

  /// Waits until all started sums are done, or, on a GPU, lets later work of its stream wait. Uses almost no processor time.
  virtual void finish() = 0;

  /// Where the sums of `values`, or of the parts of them that were started, are after finish() and until the next start(): in
  /// `values`, or in memory that all ranks read.
  virtual ConstSpan<float> sums(Span<float> values) const { return values; }

  /// Replaces the values by their sums over the ranks. Blocks.
  virtual void sum(std::span<double> values) = 0;

  /// All-gather: the number of each rank, by rank. Blocks.
  virtual std::vector<std::uint64_t> gather(std::uint64_t value) = 0;

  /// Copies the values of rank 0 to all ranks. Blocks, or, on a GPU, is in order with its stream.
  virtual void broadcast(Span<float> values) = 0;
};

}  // namespace apam::exchange

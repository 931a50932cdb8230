// The contract between synchronous training and whatever adds up its gradients: MPI, threads of one process, later NCCL.
// Every rank makes the same calls in the same order, with spans of the same sizes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/runtime/device_span.h"

namespace apam::exchange {

class AllReduce {
 public:
  virtual ~AllReduce() = default;
  virtual int rank() const = 0;
  virtual int ranks() const = 0;
  virtual std::string_view name() const = 0;  ///< for reports

  /// Starts to replace `values` by their sum over the ranks; every rank gets the same bits. The memory belongs to the sum
  /// until finish() returns; if an error comes first, until the process ends.
  virtual void start(Out values) = 0;

  /// Moves what has been started, without waiting.
  virtual void progress() = 0;

  /// Waits until everything started is done. Waiting costs next to no processor time.
  virtual void finish() = 0;

  /// Replaces the values by their sums over the ranks. Waits.
  virtual void sum(std::span<double> values) = 0;

  /// One number of each rank, by rank. Waits.
  virtual std::vector<std::uint64_t> gather(std::uint64_t value) = 0;

  /// Gives every rank the values of rank 0. Waits.
  virtual void broadcast(Out values) = 0;
};

}  // namespace apam::exchange

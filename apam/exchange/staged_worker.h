// A worker whose arena is on a GPU, over a transport of host memory. Contributions are copied to pinned memory in chunks, from
// the end on, as transports send them: while one is copied, those before it are on their way.
//
//   GPU         statistics | chunk 0 | chunk 1 | chunk 2     copied one after another, behind the step
//   transport                          chunk 0 | chunk 1 | chunk 2 | statistics, header
#pragma once

#include <vector>

#include "apam/exchange/transport.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange {

class StagedWorker final : public WorkerTransport {
 public:
  static constexpr std::size_t kChunkFloats = std::size_t{1} << 20U;  ///< 4 MiB, as a message of mpi/

  /// `transport` delivers weights in host memory, pinned for speed. It is given contributions in `staged`, which has their size
  /// and is pinned, and is offered their first `gradients` floats early. `steps`: the stream of the worker's Exec. All must
  /// outlive the result; `staged`, after an error, the process. Throws ExchangeError for more gradients than that, or chunks
  /// without floats.
  StagedWorker(WorkerTransport& transport, const Stream& steps, Span<float> staged, std::size_t gradients,
               std::size_t chunk = kChunkFloats);

  /// Backward reports no gradients to a worker on a GPU: its steps are replayed as graphs.
  bool sends_early() const override { return false; }

  /// Throws ExchangeError for values of another size. Waits for the step.
  void push(const GradientHeader& header, ConstSpan<float> values) override;
  bool cancelled(std::int64_t computed_at) override { return transport_.cancelled(computed_at); }
  Delivery pull() override { return transport_.pull(); }

 private:
  struct Chunk {
    std::size_t offset = 0, count = 0;
    apam::Event copied;
  };
  void start(Chunk& chunk, ConstSpan<float> values) const;

  WorkerTransport& transport_;
  const Stream& steps_;
  Span<float> staged_;
  std::vector<Chunk> chunks_;  // the statistics, then gradients from their end on
};

}  // namespace apam::exchange

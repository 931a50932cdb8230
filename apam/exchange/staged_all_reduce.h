// The all-reduce of ranks on GPUs over one of host memory: values are copied to pinned memory behind the step, summed there,
// and copied back before the update. Sums start in sum() and finish(), in the order of start(): collectives of MPI need the
// same order on all ranks, so it must not depend on which copies are complete.
#pragma once

#include <vector>

#include "apam/exchange/all_reduce.h"
#include "apam/exchange/transport.h"
#include "kernels/runtime/buffer.h"

namespace apam::exchange {

class StagedAllReduce final : public AllReduce {
 public:
  /// Sums parts of `contribution`, memory of a GPU, in `staged` of the same size, which is pinned. `steps`: the stream that
  /// computes contributions and applies updates. All must outlive the result; `staged`, after an error, the process. Throws
  /// ExchangeError if the sizes differ.
  StagedAllReduce(AllReduce& all_reduce, const Stream& steps, Span<float> contribution, Span<float> staged);

  int rank() const override { return all_reduce_.rank(); }
  int ranks() const override { return all_reduce_.ranks(); }
  std::string_view name() const override { return kPinnedMessages; }

  /// Backward reports no gradients: its steps are replayed as graphs.
  bool sends_early() const override { return false; }
  /// Throws ExchangeError for values outside the contribution.
  void start(Span<float> values) override { start_scaled(values, 1.0F); }
  /// Scales on the host.
  void start_scaled(Span<float> values, float factor) override;
  void progress() override { all_reduce_.progress(); }
  /// Waits for the sums; they are copied to the GPU before later work of its stream.
  void finish() override;

  void sum(std::span<double> values) override;
  std::vector<std::uint64_t> gather(std::uint64_t value) override { return all_reduce_.gather(value); }
  /// After all earlier work of the device. Throws ExchangeError for more values than a contribution has.
  void broadcast(Span<float> values) override;

 private:
  struct Part {
    Span<float> values, staged;
    float factor = 1;
    apam::Event copied;
  };
  void start_sums();

  AllReduce& all_reduce_;
  const Stream& steps_;
  Span<float> contribution_, staged_;
  std::vector<Part> parts_;  // of this mini-batch and, with their events, of those before
  std::size_t copying_ = 0;  // parts that are being copied, or have been
  std::size_t summing_ = 0;  // of these, parts whose sums have started
};

}  // namespace apam::exchange

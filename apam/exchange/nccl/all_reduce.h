// All-reduce over the GPUs of the ranks by NCCL, one rank per GPU: gradients do not pass through host memory, and the host does
// not wait for sums. Values of the host go by another all-reduce.
#pragma once

#include "apam/exchange/all_reduce.h"
#include "kernels/nccl/gpu_group.h"

namespace apam::exchange::nccl {

class AllReduce final : public exchange::AllReduce {
 public:
  static constexpr std::string_view kName = "nccl";

  /// `steps`: the stream of the group's GPU that computes contributions and applies updates. All must outlive the result.
  /// Throws what `hosts` throws, and DeviceError if NCCL fails.
  AllReduce(exchange::AllReduce& hosts, kernels::nccl::GpuGroup& group, const Stream& steps)
      : hosts_(hosts), group_(group), steps_(steps) {}

  int rank() const override { return hosts_.rank(); }
  int ranks() const override { return hosts_.ranks(); }
  std::string_view name() const override { return kName; }

  /// Backward reports no gradients: its steps are replayed as graphs.
  bool sends_early() const override { return false; }
  void start(Span<float> values) override { start_scaled(values, 1.0F); }
  void start_scaled(Span<float> values, float factor) override { group_.sum(steps_, values, factor); }
  void progress() override {}
  /// Later work of the stream finds the sums. Does not wait for them.
  void finish() override { group_.check(); }

  void sum(std::span<double> values) override { hosts_.sum(values); }
  std::vector<std::uint64_t> gather(std::uint64_t value) override { return hosts_.gather(value); }
  void broadcast(Span<float> values) override { group_.broadcast(steps_, values); }

 private:
  exchange::AllReduce& hosts_;
  kernels::nccl::GpuGroup& group_;
  const Stream& steps_;
};

}  // namespace apam::exchange::nccl

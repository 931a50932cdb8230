// Which of several plans is fastest. A plan's runs are captured in a CUDA graph, so that the time of a launch on the host does
// not count, and timed by events. Runs take turns on several sets of operands, together more than twice the L2 cache, so that
// no run finds its operands there; they hold random numbers, since the power that a GPU draws, and so its clock, depends on
// them.
#include <algorithm>
#include <utility>

#include "kernels/comparison.h"
#include "kernels/cudnn/call.h"
#include "kernels/cudnn/cuda_check.h"
#include "kernels/runtime/philox.h"

namespace apam::kernels::cudnn {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kLeastSets = 2, kMostSets = 32;

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Sets of operands for a graph.
class Sets {
 public:
  Sets(Exec& exec, const Graph& graph) : graph_(graph) {
    int l2 = 0;
    check_cuda(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, exec.device().index), "querying the L2 cache");
    for (const Operand& operand : graph.operands()) bytes_ += aligned(operand.bytes);
    count_ = std::clamp(2 * static_cast<std::size_t>(l2) / bytes_ + 1, kLeastSets, kMostSets);
    memory_ = Buffer(exec.device(), count_ * bytes_);
    fill(exec);
  }

  std::size_t count() const { return count_; }
  std::vector<Binding> bindings(std::size_t set) const {
    std::vector<Binding> all;
    const std::byte* next = memory_.data() + set * bytes_;
    for (const Operand& operand : graph_.operands()) {
      all.push_back({operand.id, next});
      next += aligned(operand.bytes);
    }
    static constexpr float kScalar = 1e-5F;  // as good as any other
    for (const int id : graph_.scalars()) all.push_back({id, &kScalar});
    return all;
  }

 private:
  /// Normal numbers in bfloat16. Two of them in a row are also a sane number in float32.
  void fill(Exec& exec) {
    constexpr std::size_t kBlock = std::size_t{1} << 20U;
    std::vector<BFloat16> numbers(kBlock / sizeof(BFloat16));
    const Random random(0, Purpose::sample);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = BFloat16(random.normal(i));
    for (std::size_t begin = 0; begin < memory_.size_bytes(); begin += kBlock) {
      copy_bytes(memory_.data() + begin, exec.device(), numbers.data(), Device{},
                 std::min(kBlock, memory_.size_bytes() - begin));
    }
  }

  const Graph& graph_;
  std::size_t bytes_ = 0, count_ = 0;
  Buffer memory_;
};

/// One run of a plan on each set, as a CUDA graph.
class CapturedRuns {
 public:
  CapturedRuns(Exec& exec, const Plan& plan, const Sets& sets, std::byte* workspace) {
    run(exec, plan, sets.bindings(0), workspace);  // what is loaded on first use must not be loaded while capturing
    exec.synchronize();
    const auto stream = static_cast<cudaStream_t>(exec.stream().native());
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "starting to capture plans");
    cudaGraph_t graph = nullptr;
    try {
      for (std::size_t set = 0; set < sets.count(); ++set) run(exec, plan, sets.bindings(set), workspace);
    } catch (...) {
      cudaStreamEndCapture(stream, &graph);
      throw;
    }
    check_cuda(cudaStreamEndCapture(stream, &graph), "capturing plans");
    const cudaError_t status = cudaGraphInstantiate(&runs_, graph, 0);
    cudaGraphDestroy(graph);
    check_cuda(status, "instantiating captured plans");
  }
  ~CapturedRuns() {
    if (runs_ != nullptr) cudaGraphExecDestroy(runs_);
  }
  CapturedRuns(CapturedRuns&& other) noexcept : runs_(std::exchange(other.runs_, nullptr)) {}
  CapturedRuns& operator=(CapturedRuns&&) = delete;

  void launch(const Exec& exec) const {
    check_cuda(cudaGraphLaunch(runs_, static_cast<cudaStream_t>(exec.stream().native())), "launching captured plans");
  }

 private:
  cudaGraphExec_t runs_ = nullptr;
};

/// Measures work on a stream by events: the time on the GPU, which nothing else interrupts.
class EventClock {
 public:
  explicit EventClock(const Exec& exec) : stream_(static_cast<cudaStream_t>(exec.stream().native())) {
    for (cudaEvent_t& event : events_) check_cuda(cudaEventCreate(&event), "creating an event");
  }
  ~EventClock() {
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  EventClock(const EventClock&) = delete;
  EventClock& operator=(const EventClock&) = delete;

  Taken take(const std::function<void()>& work) const {
    check_cuda(cudaEventRecord(events_[0], stream_), "recording an event");
    work();
    check_cuda(cudaEventRecord(events_[1], stream_), "recording an event");
    check_cuda(cudaEventSynchronize(events_[1]), "waiting for a plan");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]), "reading events");
    return {milliseconds, milliseconds, 0};
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t events_[2]{};
};

}  // namespace

std::size_t fastest(Exec& exec, const std::vector<Plan>& plans) {
  constexpr ComparisonRules kRules{.milliseconds = 2, .clear_after = 5, .enough = 30, .budget = 30};
  const Sets sets(exec, plans.front().graph());
  std::size_t workspace = 0;
  for (const Plan& plan : plans) workspace = std::max(workspace, plan.workspace());
  const Buffer scratch(exec.device(), workspace);
  std::vector<CapturedRuns> runs;
  for (const Plan& plan : plans) runs.emplace_back(exec, plan, sets, scratch.data());
  const EventClock clock(exec);
  const Comparison result = compare(
      plans.size(), [&](const std::function<void()>& work) { return clock.take(work); },
      [&](std::size_t i) { runs[i].launch(exec); }, kRules);
  exec.synchronize();
  return result.winner;
}

}  // namespace apam::kernels::cudnn

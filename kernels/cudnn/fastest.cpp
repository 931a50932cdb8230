// Which of several plans is fastest. A plan's runs are recorded as a graph, so that the time of a launch on the host does not
// count, and timed by the GPU's clock. Runs take turns on several sets of operands, together more than twice the L2 cache, so
// that no run finds its operands there; they hold random numbers, since the power that a GPU draws, and so its clock, depends
// on them.
#include <algorithm>

#include "kernels/comparison.h"
#include "kernels/cudnn/call.h"
#include "kernels/cudnn/cuda_check.h"
#include "kernels/runtime/philox.h"

namespace apam::kernels::cudnn {
namespace {

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

/// One run of a plan on each set, as a graph.
apam::Graph runs_on(Exec& exec, const Plan& plan, const Sets& sets, std::byte* workspace) {
  run(exec, plan, sets.bindings(0), workspace);  // what is loaded on first use must not be loaded while recording
  exec.synchronize();
  return {exec.stream(), [&] {
            for (std::size_t set = 0; set < sets.count(); ++set) run(exec, plan, sets.bindings(set), workspace);
          }};
}

}  // namespace

std::size_t fastest(Exec& exec, const std::vector<Plan>& plans) {
  constexpr ComparisonRules kRules{.milliseconds = 2, .clear_after = 5, .enough = 30, .budget = 30};
  const Sets sets(exec, plans.front().graph());
  std::size_t workspace = 0;
  for (const Plan& plan : plans) workspace = std::max(workspace, plan.workspace());
  const Buffer scratch(exec.device(), workspace);
  std::vector<apam::Graph> runs;
  for (const Plan& plan : plans) runs.push_back(runs_on(exec, plan, sets, scratch.data()));
  const Comparison result = compare(
      plans.size(), clock_of(exec.stream()), [&](std::size_t i) { runs[i].replay(exec.stream()); }, kRules);
  exec.synchronize();
  return result.winner;
}

}  // namespace apam::kernels::cudnn

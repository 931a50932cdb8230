// Which of several plans is fastest. A plan's runs are recorded as a graph, so that the time of a launch on the host does not
// count, and timed by the GPU's clock. Runs take turns on several sets of operands, together more than twice the L2 cache, so
// that no run finds its operands there; they hold random numbers, since the power that a GPU draws, and so its clock, depends
// on them.
#include <algorithm>
#include <span>

#include "kernels/comparison.h"
#include "kernels/cudnn/call.h"
#include "kernels/cudnn/cuda_check.h"
#include "kernels/runtime/philox.h"

namespace apam::kernels::cudnn {
namespace {

constexpr std::size_t kLeastSets = 2, kMostSets = 32;

std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// Normal numbers in bfloat16. Two of them in a row are also a sane number in float32.
const std::vector<BFloat16>& random_numbers() {
  static const std::vector<BFloat16> numbers = [] {
    constexpr std::size_t kCount = std::size_t{1} << 16U;
    std::vector<BFloat16> drawn(kCount);
    const Random random(0, Purpose::sample);
    for (std::size_t i = 0; i < kCount; ++i) drawn[i] = BFloat16(random.normal(i));
    return drawn;
  }();
  return numbers;
}

/// Memory of random numbers that all comparisons of an Exec work on: exec.cache<Pool>(). Plans write results into it, which are
/// random as well.
class Pool {
 public:
  std::byte* of_at_least(std::size_t bytes, const Exec& exec) {
    if (bytes > memory_.size_bytes()) {
      memory_ = Buffer();  // returned first
      memory_ = Buffer(exec.device(), bytes);
      fill(exec.device());
    }
    return memory_.data();
  }

 private:
  /// Copies what is there until the memory is full.
  void fill(Device device) {
    const auto numbers = std::as_bytes(std::span(random_numbers()));
    std::size_t filled = std::min(numbers.size(), memory_.size_bytes());
    copy_bytes(memory_.data(), device, numbers.data(), Device{}, filled);
    while (filled < memory_.size_bytes()) {
      const std::size_t next = std::min(filled, memory_.size_bytes() - filled);
      copy_bytes(memory_.data() + filled, device, memory_.data(), device, next);
      filled += next;
    }
  }

  Buffer memory_;
};

/// Sets of operands for a graph.
class Sets {
 public:
  Sets(Exec& exec, const Graph& graph) : graph_(graph) {
    int l2 = 0;
    check_cuda(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, exec.device().index), "querying the L2 cache");
    for (const Operand& operand : graph.operands()) bytes_ += aligned(operand.bytes);
    count_ = std::clamp(2 * static_cast<std::size_t>(l2) / bytes_ + 1, kLeastSets, kMostSets);
    memory_ = exec.cache<Pool>().of_at_least(count_ * bytes_, exec);
  }

  std::size_t count() const { return count_; }
  std::vector<Binding> bindings(std::size_t set) const {
    std::vector<Binding> all;
    const std::byte* next = memory_ + set * bytes_;
    for (const Operand& operand : graph_.operands()) {
      all.push_back({operand.id, next});
      next += aligned(operand.bytes);
    }
    static constexpr float kScalar = 1e-5F;  // as good as any other
    for (const int id : graph_.scalars()) all.push_back({id, &kScalar});
    return all;
  }

 private:
  const Graph& graph_;
  std::size_t bytes_ = 0, count_ = 0;
  std::byte* memory_ = nullptr;  // of the pool
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
  // The GPU's clock sees no other processes, so few runs will do.
  constexpr ComparisonRules kRules{.least = 5, .milliseconds = 1, .clear_after = 3, .enough = 10, .budget = 10};
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

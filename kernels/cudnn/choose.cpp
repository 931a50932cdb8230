// Which plan a step takes.
#include <algorithm>

#include "kernels/cudnn/call.h"
#include "kernels/cudnn/remembered.h"

namespace apam::kernels::cudnn {
namespace {

// Of the plans that are compared. The heuristics' order is good: nearly always one of the first two is the fastest.
constexpr std::size_t kMostTimed = 3;
constexpr std::size_t kMostCompiled = 1;  // half a second each

/// A step's trial on the GPU.
class Examination {
 public:
  Examination(Exec& exec, const Step& step) : exec_(exec) {
    if (!step.trial) return;
    trial_ = step.trial();
    for (const Trial::Values& values : trial_->operands) {
      const Buffer& memory = memory_.emplace_back(exec.device(), values.size);
      zero(exec, memory.as<std::uint8_t>());
      write(values, memory.data());
      bindings_.push_back({values.id, memory.data()});
    }
    actual_.resize(trial_->expected.size());
  }

  bool passes(const Plan& plan) {
    if (!trial_) return true;
    std::size_t result = 0;
    while (trial_->operands[result].id != trial_->result) ++result;
    const Trial::Values& old = trial_->operands[result];
    write(old, memory_[result].data());
    const Buffer workspace(exec_.device(), plan.workspace());
    run(exec_, plan, bindings_, workspace.data());
    exec_.synchronize();
    for_parts(old, [&](std::size_t begin, std::size_t at, std::size_t bytes) {
      copy_bytes(actual_.data() + begin, Device{}, memory_[result].data() + at, exec_.device(), bytes);
    });
    return trial_->right(actual_);
  }

 private:
  /// Calls visit(begin, at, bytes): the part from `begin` in values.bytes is at `at` in memory.
  template <class Visit>
  static void for_parts(const Trial::Values& values, const Visit& visit) {
    const std::size_t all = values.bytes.size(), half = all / 2;
    if (values.whole()) return visit(0, 0, all);
    visit(0, 0, half);
    visit(half, values.size - half, half);
  }

  void write(const Trial::Values& values, std::byte* memory) const {
    for_parts(values, [&](std::size_t begin, std::size_t at, std::size_t bytes) {
      copy_bytes(memory + at, exec_.device(), values.bytes.data() + begin, Device{}, bytes);
    });
  }

  Exec& exec_;
  std::optional<Trial> trial_;
  std::vector<Buffer> memory_;     // by operand
  std::vector<Binding> bindings_;  // by operand
  std::vector<std::byte> actual_;
};

/// Collects plans of candidates that fit the rules and pass the trial.
class Collection {
 public:
  Collection(Exec& exec, const Step& step) : gpu_(exec.device().index), step_(step), examination_(exec, step) {}

  std::vector<Plan>& plans() { return plans_; }

  /// Each engine is tried once.
  void add(const Engine& engine) {
    if (std::find(tried_.begin(), tried_.end(), engine) != tried_.end()) return;
    tried_.push_back(engine);
    try {
      Plan plan = take_plan(step_.graph, gpu_, engine);
      if (plan.workspace() <= step_.rules.workspace && examination_.passes(plan)) plans_.push_back(std::move(plan));
    } catch (const NotSupported&) {  // the next one
    }
  }

  /// Until there are `most` plans.
  void add(const std::vector<Candidate>& candidates, std::size_t most) {
    std::size_t compiled = 0;
    for (const Candidate& candidate : candidates) {
      if (plans_.size() >= most) return;
      if (candidate.compiled_late && compiled == kMostCompiled) continue;
      const std::size_t before = plans_.size();
      add(candidate.engine);
      if (candidate.compiled_late && plans_.size() > before) ++compiled;
    }
  }

 private:
  int gpu_;
  const Step& step_;
  Examination examination_;
  std::vector<Engine> tried_;
  std::vector<Plan> plans_;
};

}  // namespace

std::optional<Plan> choose(Exec& exec, const Step& step, bool timed, const Engine* preferred) {
  const int gpu = exec.device().index;
  Collection collection(exec, step);
  std::vector<Plan>& plans = collection.plans();
  if (preferred != nullptr) collection.add(*preferred);
  if (!plans.empty()) return std::move(plans.front());
  collection.add(first_candidates(*step.graph, gpu, step.rules), timed ? kMostTimed : 1);
  if (plans.empty()) collection.add(candidates(*step.graph, properties_of_gpu(gpu), step.rules), 1);
  if (plans.empty()) return {};
  return std::move(plans[plans.size() == 1 ? 0 : fastest(exec, plans)]);
}

}  // namespace apam::kernels::cudnn

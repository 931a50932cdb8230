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
      Buffer& memory = memory_.emplace_back(exec.device(), values.bytes.size());
      copy_bytes(memory.data(), exec.device(), values.bytes.data(), Device{}, values.bytes.size());
      bindings_.push_back({values.id, memory.data()});
    }
    actual_.resize(trial_->expected.size());
  }

  bool passes(const Plan& plan) {
    if (!trial_) return true;
    std::size_t result = 0;
    while (trial_->operands[result].id != trial_->result) ++result;
    std::byte* const memory = memory_[result].data();
    copy_bytes(memory, exec_.device(), trial_->operands[result].bytes.data(), Device{}, actual_.size());
    const Buffer workspace(exec_.device(), plan.workspace());
    run(exec_, plan, bindings_, workspace.data());
    exec_.synchronize();
    copy_bytes(actual_.data(), Device{}, memory, exec_.device(), actual_.size());
    return trial_->right(actual_);
  }

 private:
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

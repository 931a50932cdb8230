// Plans ready to run on an Exec: chosen when a kernel is made, run on plain pointers afterwards.
#pragma once

#include <initializer_list>
#include <optional>

#include "kernels/cudnn/steps.h"

namespace apam::kernels::cudnn {

/// cuDNN's handle, one per Exec: exec.cache<Session>().
class Session {
 public:
  Session() = default;
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// The handle, on the Exec's stream. Made by the first call. The GPU must be current.
  cudnnHandle_t handle(const Exec& exec);

 private:
  cudnnHandle_t handle_ = nullptr;
};

/// Of copies of operands in scratch memory, bytes.
inline constexpr std::size_t kAlignment = 256;

/// The address of an operand; null if it is empty. Throws TypeError unless it has this type, float32 or bfloat16.
inline const void* address(In operand, DType type, std::string_view name) {
  return type == DType::bfloat16 ? static_cast<const void*>(operand.as<BFloat16>(name).data()) : operand.as<float>(name).data();
}

/// An operand of a plan: memory of the GPU, or a float32 number on the host for a scalar.
struct Binding {
  int id;
  const void* address;
};

/// Launches a plan on the Exec's stream, with its workspace at `workspace`.
void run(Exec& exec, const Plan& plan, std::span<const Binding> bindings, std::byte* workspace);

using Plans = std::vector<std::optional<Plan>>;  // by step

/// Which engines a kernel's plans use, as it is stored with a decision: "9.19.0 | 67: 2=1 13=0 | none".
std::string to_text(std::span<const std::optional<Plan>> plans);
/// The engines of text that this version of cuDNN wrote for `steps` plans, else nothing.
std::vector<std::optional<Engine>> engines_of(std::string_view text, std::size_t steps);

/// The plans of a kernel, in the order of its steps.
class Calls {
 public:
  /// The plans that exec.plans() has for `key`, if cuDNN still supports them; else what choose() takes, which compares a few if
  /// `auto` chooses kernels. A step that follows takes the engine of the first step, if it passes the trial. Records what was
  /// taken. Throws KernelError if a step has no plan.
  ///
  /// Late steps get the first plan that is allowed when they are called for the first time. That is always the same one, so it
  /// is not recorded. The first call of a late step throws KernelError if the Exec is frozen, or if its stream is recorded as
  /// a graph: a training step runs before it is recorded.
  Calls(Exec& exec, const DecisionKey& key, std::vector<Step> steps);
  ~Calls();
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

  /// Whether a step that is needed `if_right` has a plan.
  bool has(std::size_t step) const { return plans_.at(step).has_value(); }

  /// Makes the plan of a late step before it is called.
  void prepare(Exec& exec, std::size_t step);

  /// Runs the plan of a step.
  void run(Exec& exec, std::size_t step, std::span<const Binding> bindings);
  void run(Exec& exec, std::size_t step, std::initializer_list<Binding> bindings) {
    run(exec, step, std::span<const Binding>(bindings.begin(), bindings.size()));
  }

 private:
  bool follow(std::string_view recorded);
  void choose_all(Exec& exec, bool timed);

  int gpu_;
  std::vector<Step> steps_;
  std::size_t early_;  // number of steps that are not late
  Plans plans_;
  std::size_t workspace_ = 0;  // bytes, the largest of all plans
};

/// The first candidate for a step that fits the rules and passes the trial; if `timed`, the fastest of the first three, of
/// which at most one is compiled when it is made. `preferred` is taken before all, if it passes. Nothing if no candidate does.
std::optional<Plan> choose(Exec& exec, const Step& step, bool timed, const Engine* preferred = nullptr);

/// The index of the fastest plan of the same graph; 0 wins ties and doubtful comparisons. Each plan runs in a recorded graph,
/// over operands that do not stay in the cache.
std::size_t fastest(Exec& exec, const std::vector<Plan>& plans);

/// The calls of a pass of a problem.
template <class Op>
Calls calls(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
  const auto pass_name = Op::pass_names[static_cast<std::size_t>(pass)];
  return {exec,
          {std::string(Op::name), problem.describe(), std::string(pass_name), exec.device(), exec.threads()},
          steps(problem, pass)};
}

}  // namespace apam::kernels::cudnn

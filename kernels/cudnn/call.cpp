#include "kernels/cudnn/call.h"

#include "kernels/cudnn/cuda_check.h"

namespace apam::kernels::cudnn {
namespace {

constexpr std::size_t kMostTimed = 6;  // plans per step
constexpr std::string_view kBetween = " | ";

std::vector<Plan> recorded_plans(const std::string& text, const Properties& device, const std::vector<Step>& steps) {
  std::vector<Plan> plans;
  const auto engines = engines_of(text, steps.size());
  try {
    for (std::size_t i = 0; i < engines.size(); ++i) plans.emplace_back(steps[i].graph, device, engines[i]);
  } catch (const NotSupported&) {
    plans.clear();
  }
  return plans;
}

/// Whether a plan follows the workspace rule of its step.
bool fits(const Plan& plan, const Step& step) { return plan.workspace() <= step.rules.workspace; }

}  // namespace

Session::~Session() {
  if (handle_ != nullptr) library().destroy(handle_);
}

cudnnHandle_t Session::handle(const Exec& exec) {
  if (handle_ == nullptr) {
    check(library().create(&handle_), fmt::format("creating a handle on {}", to_string(exec.device())));
    check(library().set_stream(handle_, static_cast<cudaStream_t>(exec.stream().native())), "setting the stream of a handle");
  }
  return handle_;
}

const Properties& Session::properties(const Exec& exec) {
  if (!properties_) properties_.emplace(Properties::of_gpu(exec.device().index));
  return *properties_;
}

void run(Exec& exec, const Plan& plan, std::span<const Binding> bindings, std::byte* workspace) {
  std::vector<std::int64_t> ids;
  std::vector<const void*> addresses;
  for (const Binding& binding : bindings) {
    ids.push_back(binding.id);
    addresses.push_back(binding.address);
  }
  const auto count = static_cast<std::int64_t>(ids.size());
  const void* const scratch = workspace;
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "operands of " + plan.graph().what());
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids.data())
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, addresses.data())
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &scratch)
      .finalize();
  check(library().execute(exec.cache<Session>().handle(exec), plan.get(), pack.get()), "running " + plan.graph().what());
}

std::string to_text(std::span<const Plan> plans) {
  std::string text = library().version;
  for (const Plan& plan : plans) text += fmt::format("{}{}", kBetween, plan.engine().to_text());
  return text;
}

std::vector<Engine> engines_of(std::string_view text, std::size_t steps) {
  std::vector<std::string_view> parts;
  for (std::size_t end = 0; end != text.npos;) {
    end = text.find(kBetween);
    parts.push_back(text.substr(0, end));
    if (end != text.npos) text.remove_prefix(end + kBetween.size());
  }
  if (parts.size() != steps + 1 || parts.front() != library().version) return {};
  std::vector<Engine> engines;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const auto engine = Engine::from_text(parts[i]);
    if (!engine) return {};
    engines.push_back(*engine);
  }
  return engines;
}

Plan choose(Exec& exec, const Step& step, bool timed) {
  const Properties& device = exec.cache<Session>().properties(exec);
  std::vector<Plan> plans;
  for (const Candidate& candidate : candidates(*step.graph, device, step.rules)) {
    if (plans.size() == (timed ? kMostTimed : 1)) break;
    try {
      Plan plan(step.graph, device, candidate.engine);
      if (fits(plan, step)) plans.push_back(std::move(plan));
    } catch (const NotSupported&) {  // the next candidate
    }
  }
  require<KernelError>(!plans.empty(), "{}: cuDNN {} has no plan that is allowed", step.graph->what(), library().version);
  const std::size_t taken = plans.size() == 1 ? 0 : fastest(exec, plans);
  return std::move(plans[taken]);
}

Calls::Calls(Exec& exec, const DecisionKey& key, const std::vector<Step>& steps) {
  const OnGpu on_gpu(exec);
  std::string& recorded = exec.plans()[plan_key("cudnn", key.to_text())];
  plans_ = recorded_plans(recorded, exec.cache<Session>().properties(exec), steps);
  if (plans_.empty()) {
    const bool timed = exec.selection().choice(key.op, key.pass).provider == "auto";
    for (const Step& step : steps) plans_.push_back(choose(exec, step, timed));
  }
  recorded = to_text(plans_);
  for (const Plan& plan : plans_) workspace_ = std::max(workspace_, plan.workspace());
  exec.reserve_workspace(workspace_);
}

void Calls::run(Exec& exec, std::size_t step, std::span<const Binding> bindings) const {
  const OnGpu on_gpu(exec);
  cudnn::run(exec, plans_.at(step), bindings, exec.workspace(workspace_));
}

}  // namespace apam::kernels::cudnn

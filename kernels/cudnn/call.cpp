#include "kernels/cudnn/call.h"

#include <algorithm>

#include "kernels/cudnn/cuda_check.h"
#include "kernels/cudnn/remembered.h"

namespace apam::kernels::cudnn {
namespace {

constexpr std::string_view kBetween = " | ", kNone = "none";

bool is_recorded(const Exec& exec) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(static_cast<cudaStream_t>(exec.stream().native()), &status), "querying a stream");
  return status != cudaStreamCaptureStatusNone;
}

bool is_late(const Step& step) { return step.need == Step::Need::late; }

Plan required(std::optional<Plan> plan, const Step& step) {
  require<KernelError>(plan.has_value(), "{}: cuDNN {} has no plan that is allowed and right", step.graph->what(),
                       library().version);
  return *std::move(plan);
}

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

std::string to_text(std::span<const std::optional<Plan>> plans) {
  std::string text = library().version;
  for (const auto& plan : plans) text += fmt::format("{}{}", kBetween, plan ? plan->engine().to_text() : kNone);
  return text;
}

std::vector<std::optional<Engine>> engines_of(std::string_view text, std::size_t steps) {
  std::vector<std::string_view> parts;
  for (std::size_t end = 0; end != text.npos;) {
    end = text.find(kBetween);
    parts.push_back(text.substr(0, end));
    if (end != text.npos) text.remove_prefix(end + kBetween.size());
  }
  if (parts.size() != steps + 1 || parts.front() != library().version) return {};
  std::vector<std::optional<Engine>> engines;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    engines.push_back(Engine::from_text(parts[i]));
    if (!engines.back() && parts[i] != kNone) return {};
  }
  return engines;
}

Calls::Calls(Exec& exec, const DecisionKey& key, std::vector<Step> steps)
    : gpu_(exec.device().index),
      steps_(std::move(steps)),
      early_(static_cast<std::size_t>(std::find_if(steps_.begin(), steps_.end(), is_late) - steps_.begin())),
      plans_(steps_.size()) {
  select_gpu(exec);
  std::string& recorded = exec.plans()[plan_key("cudnn", key.to_text())];
  if (!follow(recorded)) choose_all(exec, exec.selection().choice(key.op, key.pass).provider == "auto");
  recorded = to_text(std::span(plans_).first(early_));
  for (const auto& plan : plans_) workspace_ = std::max(workspace_, plan ? plan->workspace() : 0);
  exec.reserve_workspace(workspace_);
}

Calls::~Calls() {
  for (auto& plan : plans_) {
    if (plan) give_back(*std::move(plan), gpu_);
  }
}

/// Makes the recorded plans. Returns false if there are none, or if cuDNN does not support them.
bool Calls::follow(std::string_view recorded) {
  const auto engines = engines_of(recorded, early_);
  if (engines.empty()) return false;
  try {
    for (std::size_t i = 0; i < early_; ++i) {
      if (engines[i]) plans_[i].emplace(take_plan(steps_[i].graph, gpu_, *engines[i]));
    }
  } catch (const NotSupported&) {
    plans_ = Plans(steps_.size());
    return false;
  }
  for (std::size_t i = 0; i < early_; ++i) {
    if (!plans_[i] && steps_[i].need == Step::Need::always) return false;
  }
  return true;
}

void Calls::choose_all(Exec& exec, bool timed) {
  for (std::size_t i = 0; i < early_; ++i) {
    const Step& step = steps_[i];
    plans_[i] = step.follows ? choose(exec, step, false, &plans_.front()->engine()) : choose(exec, step, timed);
    if (step.need == Step::Need::always) plans_[i] = required(std::move(plans_[i]), step);
  }
}

void Calls::prepare(Exec& exec, std::size_t step) {
  if (plans_.at(step)) return;
  select_gpu(exec);
  const std::string& what = steps_[step].graph->what();
  exec.require_not_frozen(fmt::format("{} was not called before", what));
  require<KernelError>(!is_recorded(exec), "{}: the first call must not be recorded", what);
  plans_[step] = required(choose(exec, steps_[step], false), steps_[step]);
  workspace_ = std::max(workspace_, plans_[step]->workspace());
  exec.reserve_workspace(workspace_);
}

void Calls::run(Exec& exec, std::size_t step, std::span<const Binding> bindings) {
  prepare(exec, step);
  select_gpu(exec);
  cudnn::run(exec, *plans_[step], bindings, exec.workspace(workspace_));
}

}  // namespace apam::kernels::cudnn

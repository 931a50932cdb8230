// kernel<Op>(): which provider computes a pass of a problem. The choice is made once, and then the kernel, for that pass only.
// `auto` goes by a decision that was adopted, else by one in the file of timings, else it times the candidates.
#include <fmt/chrono.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/comparison.h"
#include "kernels/ops/all.h"
#include "kernels/ops/trial.h"
#include "kernels/tuning_cache.h"

namespace apam::kernels {
namespace {

template <class Op>
using Candidates = std::vector<const Implementation<Op>*>;

template <class Op>
struct KernelCache {
  std::map<std::pair<typename Op::Problem, typename Op::Pass>, std::unique_ptr<typename Op::Kernel>> kernels;
};

/// The file of timings of an Exec, opened when it is needed first.
struct Timings {
  std::optional<TuningCache> file;

  static TuningCache& of(Exec& exec) {
    auto& file = exec.cache<Timings>().file;
    if (!file)
      file.emplace(exec.options().tuning_cache,
                   CachePatience{.limit = exec.options().cache_patience, .give_up = exec.options().give_up});
    return *file;
  }
};

template <class Op>
std::string_view pass_name(typename Op::Pass pass) {
  return Op::pass_names[static_cast<std::size_t>(pass)];
}

/// Every provider of `Op` in this build for the device, in words.
template <class Op>
std::string known_providers(DeviceKind device) {
  std::string names = "auto";
  for (const auto& candidate : implementations<Op>()) {
    if (candidate.device == device) names += fmt::format(", {}", candidate.provider);
  }
  return names;
}

/// "2026-01-31T12:00:00Z"
std::string date_of_now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

double load_of_the_machine() {
  double minute = 0;
  return ::getloadavg(&minute, 1) == 1 ? minute : 0;
}

/// Compares the candidates, in table order. They live in an Exec of their own, which takes the kernels that lose and all the
/// workspace with it when it ends.
template <class Op>
KernelDecision measure(const Exec& exec, const Candidates<Op>& candidates, const typename Op::Problem& problem,
                       typename Op::Pass pass) {
  Exec scratch(exec.options());
  Trial<Op> trial(scratch, problem);
  std::vector<std::unique_ptr<typename Op::Kernel>> kernels;
  for (const auto* candidate : candidates) kernels.push_back(candidate->make(scratch, problem, pass));
  KernelDecision decision{{}, {{}, load_of_the_machine(), date_of_now(), false}};
  const auto result = compare(candidates.size(), exec.options().clock, [&](std::size_t i) {
    trial.run(scratch, *kernels[i], pass);
    scratch.synchronize();
  });
  decision.provider = candidates[result.winner]->provider;
  decision.measured.doubtful = result.doubtful;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    decision.measured.times.push_back({std::string(candidates[i]->provider), result.times[i].median, result.times[i].spread});
  }
  return decision;
}

/// The implementation by `provider`, or null.
template <class Op>
const Implementation<Op>* by(std::string_view provider, DeviceKind device) {
  const auto all = implementations<Op>();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.provider == provider && one.device == device; });
  return found == all.end() ? nullptr : &*found;
}

/// Whether a decision from a file is one for these candidates: it takes one of them, all were timed, and without doubt.
template <class Op>
bool covers(const KernelDecision& decision, const Candidates<Op>& candidates) {
  const auto& times = decision.measured.times;
  const auto is = [](const auto& provider) { return [&](const auto* one) { return one->provider == provider; }; };
  return !decision.measured.doubtful && std::any_of(candidates.begin(), candidates.end(), is(decision.provider)) &&
         std::all_of(candidates.begin(), candidates.end(), [&](const auto* candidate) {
           return std::any_of(times.begin(), times.end(), [&](const auto& t) { return t.provider == candidate->provider; });
         });
}

/// The adopted decision, if there is one. Throws KernelError when this build cannot follow it.
template <class Op>
const KernelDecision* adopted_decision(const Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass,
                                       const std::string& key) {
  const KernelDecision* adopted = exec.adopted().find(key);
  if (adopted == nullptr) return nullptr;
  const auto* taken = by<Op>(adopted->provider, exec.device().kind);
  require<KernelError>(taken != nullptr, "{}: provider '{}' was adopted for {} of {}; this build has {}", Op::name,
                       adopted->provider, pass_name<Op>(pass), problem.describe(), known_providers<Op>(exec.device().kind));
  require<KernelError>(taken->supports(problem, pass), "{}: provider '{}' was adopted for {} of {}, which it cannot do",
                       Op::name, adopted->provider, pass_name<Op>(pass), problem.describe());
  return adopted;
}

/// What `auto` takes. The file is looked into again when its turn has come: another process may have timed meanwhile.
template <class Op>
KernelDecision decide(Exec& exec, const Candidates<Op>& candidates, const typename Op::Problem& problem, typename Op::Pass pass,
                      const std::string& key) {
  if (const auto* adopted = adopted_decision<Op>(exec, problem, pass, key)) return *adopted;
  if (candidates.size() == 1) return {std::string(candidates.front()->provider), {}};
  TuningCache& file = Timings::of(exec);
  const auto stored = [&]() -> std::optional<KernelDecision> {
    if (exec.options().retime) return {};
    auto found = file.find(key);
    return found && covers<Op>(*found, candidates) ? std::move(found) : std::nullopt;
  };
  if (auto found = stored()) return *std::move(found);
  const auto turn = file.take_turn();
  if (auto found = stored()) return *std::move(found);
  auto measured = measure<Op>(exec, candidates, problem, pass);
  if (!measured.measured.doubtful) file.store(turn, key, measured);
  return measured;
}

template <class Op>
std::unique_ptr<typename Op::Kernel> choose(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
  const auto wanted = exec.selection().choice(Op::name, pass_name<Op>(pass));
  Candidates<Op> able;
  const Implementation<Op>* taken = nullptr;
  bool known = wanted.provider == "auto";
  for (const auto& candidate : implementations<Op>()) {
    if (candidate.device != exec.device().kind) continue;
    const bool supported = candidate.supports(problem, pass);
    if (candidate.provider == wanted.provider) {
      known = true;
      if (supported) taken = &candidate;
    }
    // The naive loops are the last resort of `auto`, never timed against real kernels.
    if (supported && (candidate.provider != "reference" || able.empty())) able.push_back(&candidate);
  }
  require<KernelError>(!wanted.demanded || known, "{}: no provider '{}' in this build; known: {}", Op::name, wanted.provider,
                       known_providers<Op>(exec.device().kind));
  require<KernelError>(!wanted.demanded || wanted.provider == "auto" || taken != nullptr,
                       "{}: provider '{}' cannot do {} of {}", Op::name, wanted.provider, pass_name<Op>(pass),
                       problem.describe());
  require<KernelError>(!able.empty(), "{}: no provider can do {} of {} on {}", Op::name, pass_name<Op>(pass),
                       problem.describe(), to_string(exec.device()));
  Measurement measured;
  if (taken == nullptr) {
    const DecisionKey about{std::string(Op::name), problem.describe(), std::string(pass_name<Op>(pass)), exec.device(),
                            exec.threads()};
    const std::string key = about.to_text();
    KernelDecision decision = decide<Op>(exec, able, problem, pass, key);
    exec.decisions().set(key, decision);
    taken = by<Op>(decision.provider, exec.device().kind);
    measured = std::move(decision.measured);
  }
  auto kernel = taken->make(exec, problem, pass);
  exec.report().push_back({std::string(Op::name), problem.describe(), std::string(pass_name<Op>(pass)),
                           std::string(taken->provider), std::move(measured)});
  return kernel;
}

}  // namespace

template <class Op>
typename Op::Kernel& kernel(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
  if (const auto& listener = exec.request_listener()) listener({Op::name, pass_name<Op>(pass), problem.describe()});
  auto& slot = exec.cache<KernelCache<Op>>().kernels[{problem, pass}];
  if (!slot) slot = choose<Op>(exec, problem, pass);
  return *slot;
}

void check_selection(const KernelSelection& selection) {
  for (const auto& entry : selection.entries()) {
    const std::string& key = entry.first;
    const std::string& provider = entry.second;
    bool key_known = key == "*";
    bool provider_known = provider == "auto";
    std::string keys = "*";
    std::string providers = "auto";
    for_each_operation([&]<class Op>() {
      keys += fmt::format(", {}", Op::name);
      const bool whole = key == Op::name;
      const bool one_pass = std::any_of(Op::pass_names.begin(), Op::pass_names.end(),
                                        [&](auto pass) { return key == fmt::format("{}.{}", Op::name, pass); });
      key_known = key_known || whole || one_pass;
      for (const auto& candidate : implementations<Op>()) {
        if (providers.find(candidate.provider) == std::string::npos) providers += fmt::format(", {}", candidate.provider);
        provider_known = provider_known || (provider == candidate.provider && (key == "*" || whole || one_pass));
      }
    });
    require<InputError>(key_known, "kernels: no operation '{}'; known: {} (or OPERATION.PASS)", key, keys);
    require<InputError>(provider_known, "kernels: this build has no provider '{}' for '{}'; known: {}", provider, key,
                        providers);
  }
}

void check_kernels_for(DeviceKind device) {
  std::string lacking;
  for_each_operation([&]<class Op>() {
    const auto all = implementations<Op>();
    const bool found = std::any_of(all.begin(), all.end(), [&](const auto& candidate) { return candidate.device == device; });
    if (!found) lacking += fmt::format("{}{}", lacking.empty() ? "" : ", ", Op::name);
  });
  require<DeviceError>(lacking.empty(), "device: this build has no kernels on {} for {}",
                       device == DeviceKind::cpu ? "cpu" : "cuda", lacking);
}

template Conv2d::Kernel& kernel<Conv2d>(Exec&, const Conv2d::Problem&, Conv2d::Pass);
template BatchNorm::Kernel& kernel<BatchNorm>(Exec&, const BatchNorm::Problem&, BatchNorm::Pass);
template Relu::Kernel& kernel<Relu>(Exec&, const Relu::Problem&, Relu::Pass);
template Add::Kernel& kernel<Add>(Exec&, const Add::Problem&, Add::Pass);
template Scale::Kernel& kernel<Scale>(Exec&, const Scale::Problem&, Scale::Pass);
template AvgPool::Kernel& kernel<AvgPool>(Exec&, const AvgPool::Problem&, AvgPool::Pass);
template Linear::Kernel& kernel<Linear>(Exec&, const Linear::Problem&, Linear::Pass);
template SoftmaxCrossEntropy::Kernel& kernel<SoftmaxCrossEntropy>(Exec&, const SoftmaxCrossEntropy::Problem&,
                                                                  SoftmaxCrossEntropy::Pass);
template OptimizerStep::Kernel& kernel<OptimizerStep>(Exec&, const OptimizerStep::Problem&, OptimizerStep::Pass);
template RunningAverage::Kernel& kernel<RunningAverage>(Exec&, const RunningAverage::Problem&, RunningAverage::Pass);

}  // namespace apam::kernels

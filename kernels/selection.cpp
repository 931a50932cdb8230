// Which implementation computes a pass of a problem. It is chosen once per Exec, and its kernel made for that pass only:
//   1. --kernels names a provider that supports the problem: that one. A demanded provider that does not is an error.
//   2. Else `auto`, among all that support it: the decision that this Exec adopted, else the one in the tuning cache, else the
//      result of timing them here. `reference`, and providers that are only_named, take part only if there is no other.
#include <fmt/chrono.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <map>
#include <optional>
#include <vector>

#include "kernels/comparison.h"
#include "kernels/ops/kernel.h"
#include "kernels/ops/sample_inputs.h"
#include "kernels/providers.h"
#include "kernels/tuning_cache.h"

namespace apam::kernels {
namespace {

/// The GPU of an Exec and the version of cuDNN that is loaded, on which timings, plans and refusals depend. Empty on a CPU.
std::string platform_of(const Exec& exec) {
  if (exec.device().kind != DeviceKind::cuda) return {};
  const auto names = gpu_names();
  const auto index = static_cast<std::size_t>(exec.device().index);
  const std::string library = cudnn::status();  // "9.19.0, PATH", or why there is none
  return fmt::format("-{}-cudnn-{}", index < names.size() ? names[index] : "GPU",
                     library.substr(0, library.find_first_of(",:")));
}

/// The tuning cache of an Exec, opened when first needed.
class LazyTuningCache {
 public:
  static TuningCache& of(Exec& exec) {
    auto& cache = exec.cache<LazyTuningCache>().cache_;
    if (!cache) {
      const ExecOptions& options = exec.options();
      cache.emplace(options.tuning_cache, CachePatience{.limit = options.cache_patience, .give_up = options.give_up},
                    platform_of(exec));
    }
    return *cache;
  }

 private:
  std::optional<TuningCache> cache_;
};

/// "2026-01-31T12:00:00Z"
std::string utc_now() { return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr))); }

double load_average() {
  double minute = 0;
  return ::getloadavg(&minute, 1) == 1 ? minute : 0;
}

/// Calls of a kernel per timing on a GPU: a graph, timed by the device's clock, so that launches do not count. Other processes
/// do not disturb it, so shorter comparisons will do.
constexpr int kCallsOnGpu = 4;
constexpr ComparisonRules kRulesOnGpu{.least = 5, .milliseconds = 3, .clear_after = 10, .enough = 40, .budget = 40};

template <class Op>
std::string_view name_of(typename Op::Pass pass) {
  return Op::pass_names[static_cast<std::size_t>(pass)];
}

template <class Op>
struct Chosen {
  std::string_view provider;
  std::unique_ptr<typename Op::Kernel> kernel;
};

/// The choice for one pass of one problem on one Exec.
template <class Op>
class Choice {
 public:
  using Candidates = std::vector<const Implementation<Op>*>;

  Choice(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass)
      : exec_(exec), problem_(problem), pass_(pass) {
    Candidates last_resort;
    for (const auto& implementation : implementations<Op>()) {
      if (implementation.device != exec.device().kind || !implementation.supports(problem, pass)) continue;
      const bool last = implementation.only_named || implementation.provider == "reference";
      (last ? last_resort : able_).push_back(&implementation);
    }
    if (able_.empty() && !last_resort.empty()) able_.push_back(last_resort.front());
    require<KernelError>(!able_.empty(), "{}: no provider supports {} of {} on {}", Op::name, name_of<Op>(pass),
                         problem.describe(), to_string(exec.device()));
  }

  /// Chooses, makes the kernel, and adds a line to the report of the Exec.
  Chosen<Op> make() {
    const Implementation<Op>* taken = named();
    KernelDecision decision;
    if (taken == nullptr) {
      decision = decide();
      taken = by(decision.provider);
      if (!decision.plan.empty()) exec_.plans()[plan_key(taken->provider, key())] = decision.plan;
    }
    Chosen<Op> chosen{taken->provider, taken->make(exec_, problem_, pass_)};
    if (!decision.provider.empty()) {
      decision.plan = plan(exec_, taken->provider);
      exec_.decisions().set(key(), decision);
    }
    exec_.report().push_back({std::string(Op::name), problem_.describe(), std::string(name_of<Op>(pass_)),
                              std::string(taken->provider), std::move(decision.measured)});
    return chosen;
  }

 private:
  /// The implementation that --kernels names, or null if `auto` decides.
  const Implementation<Op>* named() const {
    const auto wanted = exec_.selection().choice(Op::name, name_of<Op>(pass_));
    if (wanted.provider == "auto") return nullptr;
    const Implementation<Op>* found = by(wanted.provider);
    const bool supported = found != nullptr && found->supports(problem_, pass_);
    if (!wanted.demanded) return supported ? found : nullptr;
    require<KernelError>(found != nullptr, "{}: no provider '{}' in this build; known: {}", Op::name, wanted.provider,
                         known_providers());
    require<KernelError>(supported, "{}: provider '{}' does not support {} of {}", Op::name, wanted.provider,
                         name_of<Op>(pass_), problem_.describe());
    return found;
  }

  /// The decision of `auto`.
  KernelDecision decide() const {
    if (const KernelDecision* adopted = this->adopted()) return *adopted;
    if (able_.size() == 1) return {std::string(able_.front()->provider), {}};
    TuningCache& cache = LazyTuningCache::of(exec_);
    if (auto found = stored(cache)) return *std::move(found);
    const auto turn = cache.take_turn();
    if (auto found = stored(cache)) return *std::move(found);  // by the process that had the turn before
    KernelDecision decision = measure();
    if (!decision.measured.doubtful) cache.store(turn, key(), decision);
    return decision;
  }

  /// The adopted decision, or null. Throws KernelError if this build cannot follow it.
  const KernelDecision* adopted() const {
    const KernelDecision* decision = exec_.adopted().find(key());
    if (decision == nullptr) return nullptr;
    const Implementation<Op>* found = by(decision->provider);
    require<KernelError>(found != nullptr, "{}: provider '{}' was adopted for {} of {}; this build has {}", Op::name,
                         decision->provider, name_of<Op>(pass_), problem_.describe(), known_providers());
    require<KernelError>(found->supports(problem_, pass_),
                         "{}: provider '{}' was adopted for {} of {}, which it does not support", Op::name, decision->provider,
                         name_of<Op>(pass_), problem_.describe());
    return decision;
  }

  /// The decision in the file, if it is not doubtful, takes a candidate of this build, and has times of all of them.
  std::optional<KernelDecision> stored(const TuningCache& cache) const {
    if (exec_.options().retime) return {};
    auto decision = cache.find(key());
    if (!decision || decision->measured.doubtful) return {};
    const auto& times = decision->measured.times;
    bool taken = false, all_timed = true;
    for (const auto* candidate : able_) {
      taken = taken || candidate->provider == decision->provider;
      all_timed = all_timed && std::any_of(times.begin(), times.end(),
                                           [&](const ProviderTime& time) { return time.provider == candidate->provider; });
    }
    return taken && all_timed ? std::move(decision) : std::nullopt;
  }

  /// Times the candidates, on an Exec of their own: it takes the losing kernels and all workspace with it when it ends.
  KernelDecision measure() const {
    Exec scratch(exec_.options());
    SampleInputs<Op> samples(scratch, problem_);
    Candidates made;
    std::vector<std::unique_ptr<typename Op::Kernel>> kernels;
    KernelDecision decision{{}, {{}, load_average(), utc_now(), false}};
    for (const auto* candidate : able_) {
      try {
        kernels.push_back(candidate->make(scratch, problem_, pass_));
        made.push_back(candidate);
      } catch (const KernelError&) {  // a library may refuse only now
        if (candidate == able_.back() && made.empty()) throw;
        decision.measured.times.push_back({std::string(candidate->provider), kRefusedMilliseconds, 0});
      }
    }
    const bool gpu = Graph::supported(scratch.device());
    std::vector<Graph> graphs;
    for (std::size_t i = 0; gpu && i < kernels.size(); ++i) {
      samples.run(scratch, *kernels[i], pass_);  // allocates
      graphs.emplace_back(scratch.stream(), [&] {
        for (int call = 0; call < kCallsOnGpu; ++call) samples.run(scratch, *kernels[i], pass_);
      });
    }
    const auto run = [&](std::size_t i) {
      gpu ? graphs[i].replay(scratch.stream()) : samples.run(scratch, *kernels[i], pass_);
    };
    const RunClock clock = gpu ? clock_of(scratch.stream()) : exec_.options().clock;
    Comparison result;
    if (made.size() > 1) {
      result = compare(made.size(), clock, run, gpu ? kRulesOnGpu : ComparisonRules{});
    } else {
      result.times.push_back({clock([&] { run(0); }).wall, 0});  // nothing to compare with
    }
    decision.provider = made[result.winner]->provider;
    decision.plan = plan(scratch, decision.provider);
    decision.measured.doubtful = result.doubtful;
    for (std::size_t i = 0; i < made.size(); ++i) {
      decision.measured.times.push_back(
          {std::string(made[i]->provider), result.times[i].median / (gpu ? kCallsOnGpu : 1), result.times[i].spread});
    }
    return decision;
  }

  /// The implementation of a provider for the device, whether it supports the problem or not; null if there is none.
  const Implementation<Op>* by(std::string_view provider) const {
    for (const auto& implementation : implementations<Op>()) {
      if (implementation.provider == provider && implementation.device == exec_.device().kind) return &implementation;
    }
    return nullptr;
  }

  /// What the provider recorded in an Exec when it made a kernel for this problem; empty for providers without plans.
  std::string plan(Exec& exec, std::string_view provider) const {
    const auto found = exec.plans().find(plan_key(provider, key()));
    return found == exec.plans().end() ? std::string() : found->second;
  }

  std::string known_providers() const {
    std::string names = "auto";
    for (const auto& implementation : implementations<Op>()) {
      if (implementation.device == exec_.device().kind) names += fmt::format(", {}", implementation.provider);
    }
    return names;
  }

  std::string key() const {
    return DecisionKey{std::string(Op::name), problem_.describe(), std::string(name_of<Op>(pass_)), exec_.device(),
                       exec_.threads()}
        .to_text();
  }

  Exec& exec_;
  const typename Op::Problem& problem_;
  typename Op::Pass pass_;
  Candidates able_;  // in table order
};

/// The kernels of an Exec.
template <class Op>
struct KernelCache {
  std::map<std::pair<typename Op::Problem, typename Op::Pass>, Chosen<Op>> kernels;
};

template <class Op>
KernelCall<Op> look_up(Exec& exec, const typename Op::Problem& problem, typename Op::Pass pass) {
  const auto request = [&] { return KernelRequest(Op::name, name_of<Op>(pass), problem); };
  if (const auto& listener = exec.request_listener()) listener(request());
  auto& chosen = exec.cache<KernelCache<Op>>().kernels[{problem, pass}];
  if (!chosen.kernel) {
    if (exec.frozen()) {
      exec.require_not_frozen(
          fmt::format("{} of {} {} was not chosen before", name_of<Op>(pass), Op::name, problem.describe()));
    }
    chosen = Choice<Op>(exec, problem, pass).make();
  }
  if (!exec.verbose()) return KernelCall<Op>(*chosen.kernel);
  return KernelCall<Op>(*chosen.kernel, std::make_unique<KernelTrace>(exec, request(), chosen.provider));
}

template <class... Ops>
constexpr PerOperation<KernelLookup> lookups_of(Operations<Ops...>) {
  return {look_up<Ops>...};
}

}  // namespace

const PerOperation<KernelLookup>& kernel_lookups() {
  static constexpr PerOperation<KernelLookup> kLookups = lookups_of(AllOperations{});
  return kLookups;
}

void check_selection(const KernelSelection& selection) {
  for (const auto& [key, provider] : selection.entries()) {
    bool key_known = key == "*";
    bool provider_known = provider == "auto";
    std::string keys = "*";
    std::string providers = "auto";
    for_each_operation([&, &key = key, &provider = provider]<class Op>() {
      keys += fmt::format(", {}", Op::name);
      const bool names_pass = std::any_of(Op::pass_names.begin(), Op::pass_names.end(),
                                          [&](auto pass) { return key == fmt::format("{}.{}", Op::name, pass); });
      const bool names_op = key == Op::name || names_pass;
      key_known = key_known || names_op;
      for (const auto& candidate : implementations<Op>()) {
        if (providers.find(candidate.provider) == std::string::npos) providers += fmt::format(", {}", candidate.provider);
        provider_known = provider_known || (provider == candidate.provider && (key == "*" || names_op));
      }
    });
    require<InputError>(key_known, "kernels: no operation '{}'; known: {} (or OPERATION.PASS)", key, keys);
    require<InputError>(provider_known, "kernels: this build has no provider '{}' for '{}'; known: {}", provider, key,
                        providers);
  }
}

void check_kernels_for(DeviceKind device) {
  std::string missing;
  for_each_operation([&]<class Op>() {
    const auto all = implementations<Op>();
    const bool found = std::any_of(all.begin(), all.end(), [&](const auto& candidate) { return candidate.device == device; });
    if (!found) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", Op::name);
  });
  require<DeviceError>(missing.empty(), "device: this build has no kernels on {} for {}",
                       device == DeviceKind::cpu ? "cpu" : "cuda", missing);
}

}  // namespace apam::kernels

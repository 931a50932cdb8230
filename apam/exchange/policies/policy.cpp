#include "apam/exchange/policies/policy.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "apam/exchange/policies/table.h"
#include "kernels/runtime/error.h"

namespace apam::exchange {
namespace {

struct Entry {
  std::string_view name;
  policies::Policy (*make)(const PolicyOptions&);
  std::optional<std::int64_t> least_bound{};  // nothing: has no bound
  bool has_gradients = false, has_factor = false;
};

constexpr std::array<Entry, 10> kTable{{{"none", policies::none},
                                        {"bound", policies::bound, 0},
                                        {"ringmaster", policies::ringmaster, 1},
                                        {"ssp", policies::ssp, 0},
                                        {"rennala", policies::rennala, {}, true},
                                        {"scaled", policies::scaled, {}, false, true},
                                        {"fadas", policies::fadas, 0},
                                        {"cgad", policies::cgad, 1, false, true},
                                        {"compensated", policies::compensated, {}, false, true},
                                        {"rescaled", policies::rescaled}}};

constexpr auto kNames = [] {
  std::array<std::string_view, kTable.size()> names{};
  for (std::size_t i = 0; i < names.size(); ++i) names.at(i) = kTable.at(i).name;
  return names;
}();

void require_given(std::string_view policy, std::string_view parameter, bool given, bool needed) {
  require<InputError>(given == needed, "staleness policy {}: {} {}", policy, needed ? "needs a" : "has no", parameter);
}

}  // namespace

std::unique_ptr<const StalenessPolicy> make_policy(const PolicyOptions& options) {
  const auto entry = std::find_if(kTable.begin(), kTable.end(), [&](const Entry& one) { return one.name == options.name; });
  require<InputError>(entry != kTable.end(), "staleness policy: '{}' is unknown", options.name);
  require_given(options.name, "bound", options.bound.has_value(), entry->least_bound.has_value());
  require_given(options.name, "number of gradients", options.gradients.has_value(), entry->has_gradients);
  require_given(options.name, "factor", options.factor.has_value(), entry->has_factor);
  require<InputError>(!options.bound || *options.bound >= *entry->least_bound,
                      "staleness policy {}: a bound of {}, expected {} or more", options.name, options.bound.value_or(0),
                      entry->least_bound.value_or(0));
  require<InputError>(!options.gradients || *options.gradients >= 1, "staleness policy {}: {} gradients, expected 1 or more",
                      options.name, options.gradients.value_or(0));
  require<InputError>(!options.factor || (std::isfinite(*options.factor) && *options.factor >= 0),
                      "staleness policy {}: a factor of {}, expected a finite number, 0 or more", options.name,
                      options.factor.value_or(0));
  require<InputError>(options.warmup_updates >= 0 && options.warmup_gradients >= 1,
                      "staleness policy {}: a warm-up of {} updates by {} gradients, expected 0 or more and 1 or more",
                      options.name, options.warmup_updates, options.warmup_gradients);
  auto policy = entry->make(options);
  return options.warmup_updates > 0 ? policies::warmed_up(std::move(policy), options) : std::move(policy);
}

const StalenessPolicy& policy_or_none(const StalenessPolicy* policy) {
  static const StalenessPolicy none{};
  return policy != nullptr ? *policy : none;
}

std::span<const std::string_view> policy_names() { return kNames; }

}  // namespace apam::exchange

// What a master does about stale gradients. A policy is a value: it decides, and the master (master_state.h) acts.
//
//   name         what becomes of a gradient of staleness tau               parameters   source
//   none         applied as it is                                                       arXiv 2002.09095
//   bound        refused if tau > R                                        R
//   ringmaster   refused if tau >= R; computations that reach R cancelled  R            arXiv 2501.16168
//   ssp          a worker more than R gradients ahead of the slowest waits R            Ho et al., NIPS 2013
//   rennala      K of the current version averaged; older ones refused     K            arXiv 2205.08768
//   scaled       learning rate / (1 + C tau)                               C
//   fadas        min(learning rate, 1 / tau) if tau > R                    R            arXiv 2407.18365
//   cgad         times e^(-C tau) (1 + cos(pi min(tau / R, 1))) / 2        R, C         arXiv 2605.09126
//   compensated  g + C g g (w_now - w_base)                                C            arXiv 1609.08326
//   rescaled     learning rate * gap / N, see rescaled.cpp
//
// R: bound, K: gradients, C: factor. A refused gradient is counted and its lease dealt again.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace apam::exchange {

/// A gradient that has arrived.
struct Arrival {
  std::int64_t staleness = 0;
  std::int64_t update = 1;            ///< the number of the update that it would make, or be a part of
  double rate = 0;                    ///< learning rate of the update that it would make
  std::optional<std::int64_t> gap{};  ///< updates since the last one by the same worker, this one included; nothing: its first
  int workers = 1;                    ///< that have not left
};

class StalenessPolicy {
 public:
  virtual ~StalenessPolicy() = default;

  /// False: the gradient is refused.
  virtual bool accepts(const Arrival& /*arrival*/) const { return true; }
  /// Of the learning rate; above 0.
  virtual double step_factor(const Arrival& /*arrival*/) const { return 1; }

  /// Whether every gradient is applied, each as an update of its own.
  virtual bool applies_all() const { return true; }

  /// Whether gradients are changed before the moments of the optimizer see them. They are then applied one at a time.
  virtual bool changes_gradients() const { return false; }
  virtual double gradient_factor(const Arrival& /*arrival*/) const { return 1; }
  /// C of g + C g g (w_now - w_base).
  virtual double compensation() const { return 0; }

  /// A computation on weights that many updates old is cancelled.
  virtual std::optional<std::int64_t> cancels_at() const { return std::nullopt; }
  /// A worker may be this many gradients ahead of the slowest one that computes.
  virtual std::optional<std::int64_t> most_ahead() const { return std::nullopt; }
  /// Gradients that are averaged into update number `update`, from 1.
  virtual std::int64_t gradients_per_update(std::int64_t /*update*/) const { return 1; }
  /// Whether that is more than 1 for any update.
  virtual bool averages() const { return false; }
  /// Mini-batches of this many updates, and the reverse; the last update may have fewer.
  virtual std::int64_t batches_of(std::int64_t updates) const { return updates; }
  virtual std::int64_t updates_of(std::int64_t batches) const { return batches; }
};

struct PolicyOptions {
  std::string name = "none";
  std::optional<std::int64_t> bound{};      ///< R
  std::optional<std::int64_t> gradients{};  ///< K
  std::optional<double> factor{};           ///< C
  /// Synchronous warm-up, with any policy: each of these first updates is the mean of `warmup_gradients` gradients of the
  /// current version, as with rennala. From then on the policy decides, and a gradient from before is a stale one.
  std::int64_t warmup_updates = 0;
  std::int64_t warmup_gradients = 1;
};

/// Throws InputError for an unknown name, a parameter that is missing or that the policy does not have, bound < 0 (ringmaster
/// and cgad: < 1), gradients < 1, a factor that is negative or not finite, and a warm-up of < 0 updates or < 1 gradients.
std::unique_ptr<const StalenessPolicy> make_policy(const PolicyOptions& options);

/// *policy, or `none` for null.
const StalenessPolicy& policy_or_none(const StalenessPolicy* policy);

/// In the order of the table above.
std::span<const std::string_view> policy_names();

}  // namespace apam::exchange

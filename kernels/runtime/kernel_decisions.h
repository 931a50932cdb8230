// Decisions of `auto` as a value. One process measures and exports its decisions as text, the others adopt them: all processes
// agree, and none disturbs another's timings.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/device.h"

namespace apam {

/// The time of a provider that supports a problem, but could not make its kernel.
inline constexpr double kRefusedMilliseconds = 1e9;

/// Timings of one provider.
struct ProviderTime {
  std::string provider;
  double milliseconds = 0;  ///< median of its runs
  double spread = 0;        ///< interquartile range of its runs / median

  friend bool operator==(const ProviderTime&, const ProviderTime&) = default;
};

/// Comparison of providers; no times if nothing was compared.
struct Measurement {
  std::vector<ProviderTime> times;
  double load = 0;        ///< of the machine during the measurement: 1-minute average of getloadavg(3)
  std::string date;       ///< UTC, "2026-01-31T12:00:00Z"
  bool doubtful = false;  ///< too busy a machine or too close a lead: the table's first provider whose kernel was made is taken

  friend bool operator==(const Measurement&, const Measurement&) = default;
};

struct KernelDecision {
  std::string provider;
  Measurement measured;
  std::string plan{};  ///< what the provider needs to build the same kernel again; empty for most

  friend bool operator==(const KernelDecision&, const KernelDecision&) = default;
};

/// Identifies a decision.
struct DecisionKey {
  std::string op, problem, pass;
  Device device;
  int threads = 1;

  std::string to_text() const;  ///< "conv2d | 2x8x8x16 -> 16, 3x3, stride 1, padding 1 | forward | cpu | 2 threads"
};

/// The key of a provider's plan in Exec::plans(); `decision` is a DecisionKey as text.
inline std::string plan_key(std::string_view provider, std::string_view decision) {
  return std::string(provider).append(" | ").append(decision);
}

/// Decisions by DecisionKey::to_text().
class KernelDecisions {
 public:
  /// Replaces an earlier decision for the same key.
  void set(const std::string& key, KernelDecision decision) { decisions_[key] = std::move(decision); }
  /// Adds all decisions of `other`; they replace decisions for the same keys.
  void merge(const KernelDecisions& other);
  /// Null if there is no decision.
  const KernelDecision* find(const std::string& key) const;

  std::size_t size() const { return decisions_.size(); }
  bool empty() const { return decisions_.empty(); }
  const std::map<std::string, KernelDecision>& all() const { return decisions_; }

  /// One line of JSON.
  std::string to_text() const;
  /// Throws InputError for text that to_text() cannot have written.
  static KernelDecisions from_text(std::string_view text);

  friend bool operator==(const KernelDecisions&, const KernelDecisions&) = default;

 private:
  std::map<std::string, KernelDecision> decisions_;
};

}  // namespace apam

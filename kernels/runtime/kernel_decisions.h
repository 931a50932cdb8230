// What `auto` decided, as a value: one process times, exports its decisions as text, and others adopt them, so that processes
// agree and do not disturb each other's timings.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/device.h"

namespace apam {

/// What one provider took.
struct ProviderTime {
  std::string provider;
  double milliseconds = 0;  ///< median of its runs
  double spread = 0;        ///< interquartile range of its runs as a share of the median

  friend bool operator==(const ProviderTime&, const ProviderTime&) = default;
};

/// How providers compared; without times where there was nothing to compare.
struct Measurement {
  std::vector<ProviderTime> times;
  double load = 0;        ///< of the machine when it was measured: average over a minute, as getloadavg(3) has it
  std::string date;       ///< UTC, "2026-01-31T12:00:00Z"
  bool doubtful = false;  ///< the machine was too busy, or the lead too close, to tell; the table's first able one was taken

  friend bool operator==(const Measurement&, const Measurement&) = default;
};

struct KernelDecision {
  std::string provider;
  Measurement measured;

  friend bool operator==(const KernelDecision&, const KernelDecision&) = default;
};

/// What a decision is about.
struct DecisionKey {
  std::string op, problem, pass;
  Device device;
  int threads = 1;

  std::string to_text() const;  ///< "conv2d | 2x8x8x16 -> 16, 3x3, stride 1, padding 1 | forward | cpu | 2 threads"
};

/// Decisions by DecisionKey::to_text().
class KernelDecisions {
 public:
  /// Replaces an earlier decision about the same.
  void set(const std::string& key, KernelDecision decision) { decisions_[key] = std::move(decision); }
  /// Those of `other` win.
  void merge(const KernelDecisions& other);
  /// Null when nothing was decided.
  const KernelDecision* find(const std::string& key) const;

  std::size_t size() const { return decisions_.size(); }
  bool empty() const { return decisions_.empty(); }
  const std::map<std::string, KernelDecision>& all() const { return decisions_; }

  /// One line of JSON.
  std::string to_text() const;
  /// Throws InputError for what to_text() cannot have written.
  static KernelDecisions from_text(std::string_view text);

  friend bool operator==(const KernelDecisions&, const KernelDecisions&) = default;

 private:
  std::map<std::string, KernelDecision> decisions_;
};

}  // namespace apam

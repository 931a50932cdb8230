// Cores that this process may use:
//
//   cores = min(|CPUs|, max(1, ceil(quota)), limit)
//
// CPUs: the affinity mask of the process. If OpenMP binds threads (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY), all of its
// places too, because it restricts the main thread's mask to the first place before main() begins.
// Quota: CPU seconds per second granted by the control groups of the process: the tightest of the group and its ancestors.
// Limit: the maximum number of threads in an OpenMP loop (OMP_THREAD_LIMIT; 1 if OMP_MAX_ACTIVE_LEVELS is 0).
#pragma once

#include <sched.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace apam {

/// A set of CPUs, by the operating system's numbers. As text: "0-3,8"; "" if empty.
class CpuSet {
 public:
  CpuSet() = default;
  /// In any order, duplicates allowed; no negative numbers.
  explicit CpuSet(std::vector<int> cpus);

  /// Throws InputError for malformed text or numbers above kLast.
  static CpuSet parse(std::string_view text);
  std::string to_text() const;

  int count() const { return static_cast<int>(cpus_.size()); }
  bool empty() const { return cpus_.empty(); }
  bool has(int cpu) const;
  const std::vector<int>& cpus() const { return cpus_; }  ///< ascending

  friend bool operator==(const CpuSet&, const CpuSet&) = default;
  friend CpuSet operator|(const CpuSet& a, const CpuSet& b);
  friend CpuSet operator&(const CpuSet& a, const CpuSet& b);

  static constexpr int kLast = (1 << 20) - 1;

 private:
  std::vector<int> cpus_;  // ascending, no duplicates
};

struct Cores {
  CpuSet cpus;
  std::optional<double> quota{};  ///< CPU seconds per second; empty: no limit
  int limit = kNoLimit;           ///< threads

  static constexpr int kNoLimit = std::numeric_limits<int>::max();

  /// At least 1.
  int count() const;
};

/// The cores of this process.
Cores process_cores();

/// process_cores().count()
int available_cores();

namespace detail {

/// Like sched_getaffinity(2), for a set of `bytes` bytes: returns 0, or -1 and sets errno.
using AffinityQuery = std::function<int(std::size_t bytes, cpu_set_t* set)>;

/// The mask that `query` returns. Retries with a larger set on EINVAL (the kernel has more CPUs than the set has bits); empty
/// on any other error.
CpuSet affinity(const AffinityQuery& query);

/// The tightest limit of the control groups in root/proc/self/cgroup and of their ancestors: cpu.max (v2), cpu.cfs_quota_us /
/// cpu.cfs_period_us (v1). Mount points are read from root/proc/self/mountinfo. Files that cannot be read set no limit.
std::optional<double> cgroup_quota(const std::filesystem::path& root);

/// The CPUs of all places that OpenMP binds threads to; empty if it does not bind, or binds all threads to the place of the
/// calling thread. Defined in parallel_openmp.cpp; always empty in parallel_threads.cpp.
CpuSet openmp_places();

/// The maximum number of threads in an OpenMP loop, or Cores::kNoLimit.
int openmp_thread_limit();

}  // namespace detail

}  // namespace apam

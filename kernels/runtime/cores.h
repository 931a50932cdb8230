// Cores that this process may use:
//
//   cores = min(|CPUs|, max(1, ceil(quota)), limit)
//
// CPUs: the affinity mask of the process, and where OpenMP binds threads (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY) all of
// its places, since it has narrowed the mask of the main thread to the first of them before main() begins.
// Quota: CPU seconds per second that the control groups of the process grant; the tightest of the group and its ancestors.
// Limit: the most threads that OpenMP gives a loop (OMP_THREAD_LIMIT; 1 where OMP_MAX_ACTIVE_LEVELS is 0).
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

/// Any number of CPUs, by the number that the operating system gives them. As text: "0-3,8"; "" for none.
class CpuSet {
 public:
  CpuSet() = default;
  /// In any order, with repetitions; none is negative.
  explicit CpuSet(std::vector<int> cpus);

  /// Throws InputError for text that is not of that form, or numbers above kLast.
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
  std::vector<int> cpus_;  // ascending, each once
};

struct Cores {
  CpuSet cpus;
  std::optional<double> quota{};  ///< CPUs' worth of time; none: no limit
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

/// sched_getaffinity(2) for a set of that many bytes: 0, or -1 with errno.
using AffinityQuery = std::function<int(std::size_t bytes, cpu_set_t* set)>;

/// The mask that `query` tells. It is asked with larger and larger sets while it answers EINVAL (the kernel has more CPUs
/// than the set has bits); empty when it fails otherwise.
CpuSet affinity(const AffinityQuery& query);

/// The tightest limit of the control groups that root/proc/self/cgroup names, and of their ancestors: cpu.max (v2),
/// cpu.cfs_quota_us / cpu.cfs_period_us (v1). Where they are mounted is read in root/proc/self/mountinfo. What cannot be read
/// limits nothing.
std::optional<double> cgroup_quota(const std::filesystem::path& root);

/// The CPUs of all places that OpenMP binds threads to; empty when it does not bind, or binds all threads to the place of the
/// calling thread. In parallel_openmp.cpp; always empty in parallel_threads.cpp.
CpuSet openmp_places();

/// The most threads that OpenMP gives a loop, or Cores::kNoLimit.
int openmp_thread_limit();

}  // namespace detail

}  // namespace apam

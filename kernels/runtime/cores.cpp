#include "kernels/runtime/cores.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <iterator>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>

#include "kernels/runtime/error.h"

namespace apam {
namespace {

/// Parses and removes the number at the front of `text`; `all` is for the error message.
int take_number(std::string_view& text, std::string_view all) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require<InputError>(error == std::errc{} && value >= 0 && value <= CpuSet::kLast,
                      "cpus: expected a list of numbers and ranges from 0 to {}, got '{}'", CpuSet::kLast, all);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

}  // namespace

CpuSet::CpuSet(std::vector<int> cpus) : cpus_(std::move(cpus)) {
  std::sort(cpus_.begin(), cpus_.end());
  cpus_.erase(std::unique(cpus_.begin(), cpus_.end()), cpus_.end());
}

CpuSet CpuSet::parse(std::string_view text) {
  const std::string_view all = text;
  std::vector<int> cpus;
  while (!text.empty()) {
    const int first = take_number(text, all);
    int last = first;
    if (text.starts_with('-')) {
      text.remove_prefix(1);
      last = take_number(text, all);
    }
    const bool more = text.starts_with(',');
    if (more) text.remove_prefix(1);
    require<InputError>(first <= last && (more ? !text.empty() : text.empty()),
                        "cpus: expected a list of numbers and ranges from 0 to {}, got '{}'", kLast, all);
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return CpuSet(std::move(cpus));
}

std::string CpuSet::to_text() const {
  std::string text;
  for (std::size_t begin = 0, end = 0; begin < cpus_.size(); begin = end) {
    end = begin + 1;
    while (end < cpus_.size() && cpus_[end] == cpus_[end - 1] + 1) ++end;
    if (begin > 0) text += ',';
    text += std::to_string(cpus_[begin]);
    if (end - begin > 1) text += '-' + std::to_string(cpus_[end - 1]);
  }
  return text;
}

bool CpuSet::has(int cpu) const { return std::binary_search(cpus_.begin(), cpus_.end(), cpu); }

CpuSet operator|(const CpuSet& a, const CpuSet& b) {
  CpuSet both;
  std::set_union(a.cpus_.begin(), a.cpus_.end(), b.cpus_.begin(), b.cpus_.end(), std::back_inserter(both.cpus_));
  return both;
}

CpuSet operator&(const CpuSet& a, const CpuSet& b) {
  CpuSet common;
  std::set_intersection(a.cpus_.begin(), a.cpus_.end(), b.cpus_.begin(), b.cpus_.end(), std::back_inserter(common.cpus_));
  return common;
}

CpuSet detail::affinity(const AffinityQuery& query) {
  struct Free {
    void operator()(cpu_set_t* set) const { CPU_FREE(set); }
  };
  for (int bits = CPU_SETSIZE; bits <= CpuSet::kLast + 1; bits *= 2) {
    const std::unique_ptr<cpu_set_t, Free> set(CPU_ALLOC(static_cast<std::size_t>(bits)));
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(bits));
    if (!set) return {};
    CPU_ZERO_S(bytes, set.get());
    if (query(bytes, set.get()) != 0) {
      if (errno == EINVAL) continue;
      return {};
    }
    std::vector<int> cpus;
    for (int cpu = 0; cpu < bits; ++cpu) {
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, set.get())) cpus.push_back(cpu);
    }
    return CpuSet(std::move(cpus));
  }
  return {};
}

int Cores::count() const {
  const int threads = std::max(1, std::min(cpus.count(), limit));
  if (!quota || *quota >= threads) return threads;
  return std::max(1, static_cast<int>(std::ceil(*quota)));
}

Cores process_cores() {
  CpuSet cpus = detail::affinity([](std::size_t bytes, cpu_set_t* set) { return ::sched_getaffinity(0, bytes, set); });
  cpus = cpus | detail::openmp_places();
  if (cpus.empty()) {
    std::vector<int> all(std::max(1U, std::thread::hardware_concurrency()));
    std::iota(all.begin(), all.end(), 0);
    cpus = CpuSet(std::move(all));
  }
  return {std::move(cpus), detail::cgroup_quota("/"), detail::openmp_thread_limit()};
}

int available_cores() { return process_cores().count(); }

}  // namespace apam

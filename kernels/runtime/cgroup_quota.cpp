#include <charconv>
#include <fstream>

#include "kernels/runtime/control_groups.h"
#include "kernels/runtime/cores.h"

namespace apam {
namespace {

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

/// quota / period of one group; "max" and -1 mean no limit.
std::optional<double> limit(const detail::ControlGroup& group) {
  std::string quota, period;
  if (group.unified) {
    std::ifstream in(group.folder / "cpu.max");
    in >> quota >> period;
  } else {
    quota = detail::first_word(group.folder / "cpu.cfs_quota_us");
    period = detail::first_word(group.folder / "cpu.cfs_period_us");
  }
  const auto quota_us = number(quota), period_us = number(period);
  if (!quota_us || !period_us || *quota_us <= 0 || *period_us <= 0) return {};
  return *quota_us / *period_us;
}

}  // namespace

std::optional<double> detail::cgroup_quota(const std::filesystem::path& root) {
  std::optional<double> quota;
  for (const ControlGroup& group : control_groups(root, "cpu")) {
    const auto own = limit(group);
    if (own && (!quota || *own < *quota)) quota = own;
  }
  return quota;
}

}  // namespace apam

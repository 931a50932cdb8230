// /proc/self/cgroup       "0::/user.slice/a" (v2), "4:cpu,cpuacct:/user.slice/a" (v1): number, controllers, path of the group
// /proc/self/mountinfo    "32 31 0:29 ROOT MOUNT rw,relatime - cgroup NAME rw,cpu": group ROOT is mounted at MOUNT
// A group's folder is MOUNT / (path relative to ROOT). In a container the path may be outside ROOT: the folder is then MOUNT.
#include <charconv>
#include <fstream>
#include <sstream>

#include "kernels/runtime/cores.h"

namespace apam {
namespace {

namespace fs = std::filesystem;

struct Mount {
  std::string type, options, root, point;
};

/// Parses a line of mountinfo; empty if it is malformed.
std::optional<Mount> read_mount(const std::string& line) {
  std::istringstream words(line);
  Mount mount;
  std::string word, source;
  words >> word >> word >> word >> mount.root >> mount.point;
  while (words >> word && word != "-") {
  }
  if (words >> mount.type >> source >> mount.options) return mount;
  return {};
}

bool list_contains(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const auto comma = names.find(',');
    if (names.substr(0, comma) == name) return true;
    names.remove_prefix(comma == std::string_view::npos ? names.size() : comma + 1);
  }
  return false;
}

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

std::string first_word(const fs::path& file) {
  std::ifstream in(file);
  std::string word;
  in >> word;
  return word;
}

/// quota / period of one group; "max" and -1 mean no limit.
std::optional<double> limit(const fs::path& folder, bool unified) {
  std::string quota, period;
  if (unified) {
    std::ifstream in(folder / "cpu.max");
    in >> quota >> period;
  } else {
    quota = first_word(folder / "cpu.cfs_quota_us");
    period = first_word(folder / "cpu.cfs_period_us");
  }
  const auto quota_us = number(quota), period_us = number(period);
  if (!quota_us || !period_us || *quota_us <= 0 || *period_us <= 0) return {};
  return *quota_us / *period_us;
}

void tighten(std::optional<double>& quota, const std::optional<double>& other) {
  if (other && (!quota || *other < *quota)) quota = other;
}

/// The tightest limit of the group at `path` and its ancestors, up to the mount point.
std::optional<double> tightest(const fs::path& base, const Mount& mount, const fs::path& path, bool unified) {
  std::optional<double> quota;
  fs::path folder = base / fs::path(mount.point).relative_path();
  tighten(quota, limit(folder, unified));
  const fs::path below = path.lexically_relative(mount.root);
  if (below.empty() || *below.begin() == "..") return quota;
  for (const fs::path& part : below) {
    if (part == "..") break;
    folder /= part;
    tighten(quota, limit(folder, unified));
  }
  return quota;
}

}  // namespace

std::optional<double> detail::cgroup_quota(const fs::path& root) {
  std::vector<Mount> mounts;
  std::ifstream mountinfo(root / "proc/self/mountinfo");
  for (std::string line; std::getline(mountinfo, line);) {
    if (auto mount = read_mount(line)) mounts.push_back(std::move(*mount));
  }
  std::optional<double> quota;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && !list_contains(controllers, "cpu")) continue;
    for (const Mount& mount : mounts) {
      const bool fits = unified ? mount.type == "cgroup2" : mount.type == "cgroup" && list_contains(mount.options, "cpu");
      if (fits) tighten(quota, tightest(root, mount, line.substr(second + 1), unified));
    }
  }
  return quota;
}

}  // namespace apam

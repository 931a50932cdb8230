// /proc/self/cgroup       "0::/user.slice/a" (v2), "4:cpu,cpuacct:/user.slice/a" (v1): number, controllers, path of the group
// /proc/self/mountinfo    "32 31 0:29 ROOT MOUNT rw,relatime - cgroup NAME rw,cpu": group ROOT is mounted at MOUNT
// A group's folder is MOUNT / (path relative to ROOT). In a container the path may be outside ROOT: the folder is then MOUNT.
#include "kernels/runtime/control_groups.h"

#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

namespace apam::detail {
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

/// Adds the mount point and the folders below it, down to the group at `path`.
void add_groups(const fs::path& base, const Mount& mount, const fs::path& path, bool unified,
                std::vector<ControlGroup>& groups) {
  fs::path folder = base / fs::path(mount.point).relative_path();
  groups.push_back({folder, unified});
  const fs::path below = path.lexically_relative(mount.root);
  if (below.empty() || *below.begin() == "..") return;
  for (const fs::path& part : below) {
    if (part == "..") break;
    folder /= part;
    groups.push_back({folder, unified});
  }
}

}  // namespace

std::vector<ControlGroup> control_groups(const fs::path& root, std::string_view controller) {
  std::vector<Mount> mounts;
  std::ifstream mountinfo(root / "proc/self/mountinfo");
  for (std::string line; std::getline(mountinfo, line);) {
    if (auto mount = read_mount(line)) mounts.push_back(std::move(*mount));
  }
  std::vector<ControlGroup> groups;
  std::ifstream own(root / "proc/self/cgroup");
  for (std::string line; std::getline(own, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool unified = controllers.empty();
    if (!unified && !list_contains(controllers, controller)) continue;
    for (const Mount& mount : mounts) {
      const bool fits = unified ? mount.type == "cgroup2" : mount.type == "cgroup" && list_contains(mount.options, controller);
      if (fits) add_groups(root, mount, line.substr(second + 1), unified, groups);
    }
  }
  return groups;
}

std::string first_word(const fs::path& file) {
  std::ifstream in(file);
  std::string word;
  in >> word;
  return word;
}

}  // namespace apam::detail

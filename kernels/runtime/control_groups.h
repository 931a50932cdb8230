// The control groups (cgroups) of this process, whose files limit its processor time and memory.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace apam::detail {

struct ControlGroup {
  std::filesystem::path folder;
  bool unified = false;  ///< version 2
};

/// The groups in root/proc/self/cgroup that `controller` ("cpu", "memory") may limit, with their ancestors. Mount points are
/// read from root/proc/self/mountinfo.
std::vector<ControlGroup> control_groups(const std::filesystem::path& root, std::string_view controller);

/// The first word of a file; empty if it cannot be read.
std::string first_word(const std::filesystem::path& file);

}  // namespace apam::detail

#include "kernels/runtime/available_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <string_view>

#include "kernels/runtime/control_groups.h"

namespace apam {
namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return {};
  return value;
}

/// The number that follows the word `key` in a file.
std::optional<std::uint64_t> value_of(const std::filesystem::path& file, std::string_view key) {
  std::ifstream in(file);
  for (std::string word; in >> word;) {
    if (word == key && in >> word) return number(word);
  }
  return {};
}

/// What is left below the limit of a group, in bytes. "max" means no limit.
std::optional<std::uint64_t> left_in(const detail::ControlGroup& group) {
  const auto& folder = group.folder;
  const auto limit = number(detail::first_word(folder / (group.unified ? "memory.max" : "memory.limit_in_bytes")));
  const auto usage = number(detail::first_word(folder / (group.unified ? "memory.current" : "memory.usage_in_bytes")));
  if (!limit || !usage) return {};
  const std::string prefix = group.unified ? "" : "total_";
  const std::uint64_t cache = value_of(folder / "memory.stat", prefix + "inactive_file").value_or(0) +
                              value_of(folder / "memory.stat", prefix + "active_file").value_or(0);
  const std::uint64_t used = *usage - std::min(*usage, cache);
  return *limit - std::min(*limit, used);
}

}  // namespace

std::optional<std::uint64_t> detail::available_memory(const std::filesystem::path& root) {
  auto available = value_of(root / "proc/meminfo", "MemAvailable:");
  if (available) *available *= 1024;  // the file's unit is kB, which are KiB
  for (const ControlGroup& group : control_groups(root, "memory")) {
    const auto left = left_in(group);
    if (left && (!available || *left < *available)) available = left;
  }
  return available;
}

std::optional<std::uint64_t> available_memory() { return detail::available_memory("/"); }

}  // namespace apam

// CPU memory that this process can still use:
//
//   min(MemAvailable of /proc/meminfo, over its control groups and their ancestors: limit - (usage - file cache))
//
// A request above it can succeed, because pages are only taken when they are first written; the process is then killed later.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace apam {

/// In bytes; nothing if the system does not report it.
std::optional<std::uint64_t> available_memory();

inline double in_mib(std::uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

namespace detail {

/// Reads proc/meminfo and the groups' files below `root`: memory.max, memory.current (v2), memory.limit_in_bytes,
/// memory.usage_in_bytes (v1), memory.stat. Files that cannot be read set no limit.
std::optional<std::uint64_t> available_memory(const std::filesystem::path& root);

}  // namespace detail

}  // namespace apam

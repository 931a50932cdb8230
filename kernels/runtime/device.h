// A device: a place for memory and kernels.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace apam {

enum class DeviceKind : std::uint8_t { cpu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;  ///< of the GPU; 0 for the CPU

  friend auto operator<=>(const Device&, const Device&) = default;
};

/// "cpu", "cuda:1".
std::string to_string(Device device);

/// Parses "cpu", "cuda" or "cuda:INDEX". Throws InputError otherwise.
Device parse_device(std::string_view text);

}  // namespace apam

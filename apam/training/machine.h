// What a rank computes on, where ranks can differ.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/device.h"

namespace apam::training {

/// Each member is a json_text().
struct Machine {
  std::string device;           ///< "cpu", "cuda:0"
  std::string gpu;              ///< model of the device; empty: a CPU
  std::string cpu;              ///< model of the processor
  std::string instruction_set;  ///< of the native kernels

  /// For transfer between ranks.
  std::string to_text() const;
  static Machine from_text(std::string_view text);
};

/// This process, on a device.
Machine this_machine(Device device);

/// `texts`: to_text() of each rank, by rank.
std::vector<Machine> machines_from(std::span<const std::string> texts);

}  // namespace apam::training

// Whether another process of this host has ended, however it did. By pidfd: a process that gets the same number later is not
// taken for it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/runtime/descriptor.h"

namespace apam {

class ProcessWatch {
 public:
  /// The number of this process, for others to watch.
  static std::int64_t this_process();

  /// Watches processes that run now. Throws DeviceError for a number without a process, or if the system has no pidfd.
  explicit ProcessWatch(std::span<const std::int64_t> processes);

  /// Indices of the processes that have ended, in ascending order. Does not wait.
  std::vector<int> ended() const;

 private:
  std::vector<Descriptor> processes_;
};

}  // namespace apam

// What one process of a run used.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/runtime/exec.h"

namespace apam::training {

struct ProcessReport {
  std::string host;            ///< a json_text()
  double peak_memory_mib = 0;  ///< largest resident set
  std::vector<KernelReport> kernels;

  /// For transfer between ranks.
  std::string to_text() const;
  static ProcessReport from_text(std::string_view text);
};

/// Of this process.
ProcessReport report_process(std::vector<KernelReport> kernels);

}  // namespace apam::training

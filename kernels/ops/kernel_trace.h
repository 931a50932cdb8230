// APAM_VERBOSE=1: one line per kernel that runs, on stderr:
//   apam: rank 1 | conv2d | 80x32x32x64 -> 128, 3x3, stride 2, padding 1 | forward | native | 1.234 ms
// Outside MPI (without PMI_RANK) the process id replaces the rank.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "kernels/runtime/exec.h"

namespace apam::kernels {

/// Times one call of a kernel: from start() to its own end.
class KernelTrace {
 public:
  KernelTrace(Exec& exec, const KernelRequest& request, std::string_view provider);
  ~KernelTrace();
  KernelTrace(const KernelTrace&) = delete;
  KernelTrace& operator=(const KernelTrace&) = delete;

  void start();

 private:
  Exec& exec_;
  std::string what_;  // up to the time
  bool started_ = false;
  std::chrono::steady_clock::time_point since_;
};

}  // namespace apam::kernels

// Timings of providers, kept in a file so that a machine times a problem once. Processes that share the file take turns:
// while one looks up, times and stores, the others wait, so that ranks on one host neither disturb each other's timings
// nor come to different choices.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "kernels/runtime/kernel_decisions.h"

namespace apam::kernels {

/// The file of one build on one machine (sources of the kernels, compiler, library version, CPU model, APAM_ISA) in a folder:
/// timings of other kernels would mislead. An empty folder name keeps nothing.
class TuningCache {
 public:
  explicit TuningCache(const std::filesystem::path& folder);
  ~TuningCache();
  TuningCache(const TuningCache&) = delete;
  TuningCache& operator=(const TuningCache&) = delete;

  /// The decision under `key`, or nothing; a malformed one counts as none.
  std::optional<KernelDecision> find(const std::string& key) const;
  /// Stores and writes the file anew, whole (a reader never sees half of one).
  void store(const std::string& key, const KernelDecision& decision);

  const std::filesystem::path& file() const { return file_; }

 private:
  std::filesystem::path file_;
  int lock_ = -1;
};

/// "AMD EPYC", as the operating system calls the processor.
std::string cpu_model();

}  // namespace apam::kernels

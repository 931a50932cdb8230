// Breaks the time of a step down by operation, pass and problem. The engine requests each kernel right before it runs it, so
// the time between two requests is attributed to the first kernel, including the engine's overhead. Time before the first
// request of a step is listed as "other".
#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/runtime/exec.h"

namespace apam::bench {

class Profile {
 public:
  /// Receives the kernel requests of `exec` until destroyed.
  explicit Profile(Exec& exec);
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  /// Call these around each step.
  void begin_step();
  void end_step();

  /// Milliseconds per step (median over steps) of each operation and pass, longest first, with its problems and their
  /// providers.
  nlohmann::ordered_json breakdown() const;

 private:
  using Key = std::tuple<std::string, std::string, std::string>;  // operation, pass, problem
  struct Entry {
    int calls = 0;                     // in the current step
    std::vector<double> milliseconds;  // per step
  };
  void close_interval();

  Exec& exec_;
  std::map<Key, Entry> entries_;
  Key running_;
  int steps_ = 0;
  std::chrono::steady_clock::time_point since_;
};

/// Throws KernelError if a kernel of `reference` ran that was not selected: its time says nothing about the engine.
void require_no_reference(std::span<const KernelReport> report, const KernelSelection& selection);

/// The breakdown as text, one line per operation and pass.
std::string in_words(const nlohmann::ordered_json& breakdown);

}  // namespace apam::bench

// Where the time of a step goes, by operation, pass and problem. The engine asks for a kernel right before it runs it, so
// the time from one request to the next is the first kernel's, with the little that the engine does in between; what
// comes before the first request of a step is nobody's ("other").
#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/runtime/exec.h"

namespace apam::bench {

class Profile {
 public:
  /// Listens to the kernel requests of `exec` as long as it lives.
  explicit Profile(Exec& exec);
  ~Profile();
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  /// Around each step.
  void begin_step();
  void end_step();

  /// Milliseconds a step of every operation and pass, the longest first: the median over the steps. Each holds its
  /// problems with the provider that computed them.
  nlohmann::ordered_json breakdown() const;

 private:
  using Key = std::tuple<std::string, std::string, std::string>;  // operation, pass, problem
  struct Entry {
    int calls = 0;                     // in a step
    std::vector<double> milliseconds;  // of every step
  };
  void close_interval();

  Exec& exec_;
  std::map<Key, Entry> entries_;
  Key running_;
  int steps_ = 0;
  std::chrono::steady_clock::time_point since_;
};

/// The breakdown as lines of text.
std::string in_words(const nlohmann::ordered_json& breakdown);

}  // namespace apam::bench

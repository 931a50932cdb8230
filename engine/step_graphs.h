// The work of a step as graphs (kernels/runtime/stream.h), one per number of rows: given to the device by one call instead of
// one per kernel. On a device without graphs, as the CPU, work is simply called.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "kernels/runtime/exec.h"

namespace apam::engine {

class StepGraphs {
 public:
  /// Exec must outlive the graphs.
  explicit StepGraphs(Exec& exec) : exec_(exec) {}

  /// Gives the work of a step of `rows` rows to the stream. `work` must be the same in every call with the same rows. It is
  /// called the first time, which chooses kernels and allocates; recorded the second time, and from then on replayed. It is
  /// called every time while the kernels are observed (Exec::tell_requests, APAM_VERBOSE).
  void run(int rows, const std::function<void()>& work);

  /// Kernels, copies and fills of the graph for `rows` rows; nothing if there is none yet.
  std::optional<std::size_t> nodes(int rows) const;

 private:
  struct Entry {
    std::uint64_t scratch = 0;  // Exec::scratch_version() when the graph's work was last called
    std::optional<Graph> graph;
  };

  Exec& exec_;
  std::map<int, Entry> entries_;  // by rows
};

}  // namespace apam::engine

#include "engine/step_graphs.h"

namespace apam::engine {

void StepGraphs::run(int rows, const std::function<void()>& work) {
  if (!Graph::supported(exec_.device()) || exec_.request_listener() || exec_.verbose()) return work();
  const auto [found, is_first] = entries_.try_emplace(rows);
  Entry& entry = found->second;
  const bool moved = entry.scratch != exec_.scratch_version();  // graphs have addresses in the memory that was replaced
  if (is_first || moved) {
    entry.graph.reset();
    work();
    entry.scratch = exec_.scratch_version();
    return;
  }
  if (!entry.graph) entry.graph.emplace(exec_.stream(), work);
  entry.graph->replay(exec_.stream());
}

std::optional<std::size_t> StepGraphs::nodes(int rows) const {
  const auto found = entries_.find(rows);
  if (found == entries_.end() || !found->second.graph) return std::nullopt;
  return found->second.graph->nodes();
}

}  // namespace apam::engine

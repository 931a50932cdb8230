#include "kernels/cudnn/remembered.h"

#include <map>
#include <mutex>

namespace apam::kernels::cudnn {
namespace {

/// Enough for those that are compared and for some that cannot be used. If mode A has as many, no other mode is asked.
constexpr std::size_t kMost = 12;

struct Memory {
  std::mutex mutex;  // guards the members below
  std::map<int, Properties> properties;
  std::map<std::string, std::vector<Candidate>> candidates;
  std::map<std::string, std::vector<Plan>> plans;
};

/// Never destroyed: when static objects are, cuDNN may already be.
Memory& memory() {
  static Memory& all = *new Memory;
  return all;
}

std::string key_of(const Graph& graph, int gpu, const Engine& engine) {
  return fmt::format("{} | {} | {}", gpu, engine.to_text(), graph.what());
}

}  // namespace

const Properties& properties_of_gpu(int index) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto found = all.properties.find(index);
  return found != all.properties.end() ? found->second : all.properties.emplace(index, Properties::of_gpu(index)).first->second;
}

const std::vector<Candidate>& first_candidates(const Graph& graph, int gpu, const Rules& rules) {
  const Properties& device = properties_of_gpu(gpu);
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto key = fmt::format("{} | {} | {} | {}", gpu, static_cast<int>(rules.arithmetic), rules.workspace, graph.what());
  const auto found = all.candidates.find(key);
  return found != all.candidates.end() ? found->second
                                       : all.candidates.emplace(key, candidates(graph, device, rules, kMost)).first->second;
}

Plan take_plan(std::shared_ptr<const Graph> graph, int gpu, const Engine& engine) {
  {
    Memory& all = memory();
    const std::lock_guard lock(all.mutex);
    const auto found = all.plans.find(key_of(*graph, gpu, engine));
    if (found != all.plans.end() && !found->second.empty()) {
      Plan plan = std::move(found->second.back());
      found->second.pop_back();
      return plan;
    }
  }
  return {std::move(graph), properties_of_gpu(gpu), engine};
}

void give_back(Plan plan, int gpu) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  auto& plans = all.plans[key_of(plan.graph(), gpu, plan.engine())];
  plans.push_back(std::move(plan));
}

}  // namespace apam::kernels::cudnn

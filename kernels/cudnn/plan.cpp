#include "kernels/cudnn/plan.h"

#include <algorithm>
#include <charconv>

namespace apam::kernels::cudnn {
namespace {

using Note = cudnnBackendNumericalNote_t;

constexpr std::int64_t kMostProposals = 64, kMostNotes = 16;

bool has(const std::vector<Note>& notes, Note note) { return std::find(notes.begin(), notes.end(), note) != notes.end(); }

bool allowed(const std::vector<Note>& notes, const Rules& rules) {
  for (const Note never :
       {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS,
        CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, CUDNN_NUMERICAL_NOTE_FFT, CUDNN_NUMERICAL_NOTE_WINOGRAD}) {
    if (has(notes, never)) return false;
  }
  if (rules.arithmetic == Arithmetic::without_products) return true;
  return has(notes, CUDNN_NUMERICAL_NOTE_TENSOR_CORE) == (rules.arithmetic == Arithmetic::tensor_cores);
}

/// The engine of a configuration, with the values of its knobs.
Engine engine_of(const Descriptor& configuration, const Descriptor& engine) {
  Engine found{engine.value<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX), {}};
  for (const Descriptor& choice : configuration.descriptors(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                                            CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS)) {
    found.knobs.emplace_back(static_cast<int>(choice.value<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE)),
                             choice.value<std::int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE));
  }
  return found;
}

/// The configurations that one mode of the heuristics proposes.
std::vector<Descriptor> proposals(const Graph& graph, const Properties& device, cudnnBackendHeurMode_t mode) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristics of " + graph.what());
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.get())
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, mode)
      .set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device.get())
      .finalize();
  const std::int64_t count = heuristics.count(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR);
  if (count == 0) return {};
  return heuristics.descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                std::min(count, kMostProposals));
}

void add_candidates(const Graph& graph, const Properties& device, const Rules& rules, cudnnBackendHeurMode_t mode,
                    std::size_t most, std::vector<Candidate>& all) {
  for (const Descriptor& configuration : proposals(graph, device, mode)) {
    if (all.size() == most) return;
    const auto engines = configuration.descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
    const auto notes = engines.at(0).values<Note>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, kMostNotes);
    if (!allowed(notes, rules)) continue;
    const auto behaviour = engines.at(0).values<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, kMostNotes);
    Candidate candidate{
        engine_of(configuration, engines.at(0)),
        static_cast<std::size_t>(configuration.value<std::int64_t>(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE)),
        has(notes, CUDNN_NUMERICAL_NOTE_TENSOR_CORE),
        std::find(behaviour.begin(), behaviour.end(), CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) != behaviour.end()};
    const bool known = std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.engine == candidate.engine; });
    if (!known && candidate.workspace <= rules.workspace) all.push_back(std::move(candidate));
  }
}

/// Reads a number and the character after it, which is `end`, or the end of the text.
template <class Number>
bool take(std::string_view& text, char end, Number& number) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return false;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
  if (text.empty()) return true;
  if (text.front() != end) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

Properties Properties::of_gpu(int index) {
  Properties properties;
  properties.descriptor_.set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, std::int32_t{index}).finalize();
  return properties;
}

Properties Properties::from_json(std::string_view json) {
  Properties properties;
  properties.descriptor_.set<char>(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, json).finalize();
  return properties;
}

std::string Engine::to_text() const {
  std::string text = fmt::format("{}:", index);
  for (const auto& [type, value] : knobs) text += fmt::format(" {}={}", type, value);
  return text;
}

std::optional<Engine> Engine::from_text(std::string_view text) {
  Engine engine;
  if (text.find(':') == text.npos || !take(text, ':', engine.index)) return {};
  while (!text.empty()) {
    if (text.front() != ' ') return {};
    text.remove_prefix(1);
    auto& [type, value] = engine.knobs.emplace_back();
    const std::size_t end = std::min(text.find(' '), text.size());
    std::string_view knob = text.substr(0, end);
    text.remove_prefix(end);
    if (knob.find('=') == knob.npos || !take(knob, '=', type) || !take(knob, ' ', value) || !knob.empty()) return {};
  }
  return engine;
}

std::vector<Candidate> candidates(const Graph& graph, const Properties& device, const Rules& rules, std::size_t most) {
  std::vector<Candidate> all;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK}) {
    if (all.size() == most) break;
    try {
      add_candidates(graph, device, rules, mode, most, all);
    } catch (const NotSupported&) {  // this mode has no answer
    }
  }
  return all;
}

Plan::Plan(std::shared_ptr<const Graph> graph, const Properties& device, const Engine& engine)
    : graph_(std::move(graph)), engine_(engine) {
  const std::string what = fmt::format("engine {} for {}", engine.to_text(), graph_->what());
  engine_descriptor_ = Descriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, what);
  engine_descriptor_.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph_->get())
      .set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, engine.index)
      .set(CUDNN_ATTR_ENGINE_DEVICEPROP, device.get())
      .finalize();
  std::vector<Handle> choices;
  for (const auto& [type, value] : engine.knobs) {
    Descriptor& choice = knobs_.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, fmt::format("knob {} of {}", type, what));
    choice.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, static_cast<cudnnBackendKnobType_t>(type))
        .set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value)
        .finalize();
    choices.push_back(choice.get());
  }
  configuration_ = Descriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, "configuration of " + what);
  configuration_.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine_descriptor_.get());
  if (!choices.empty()) configuration_.set<Handle>(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, choices);
  configuration_.finalize();
  plan_ = Descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "plan with " + what);
  plan_.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration_.get())
      .set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device.get())
      .finalize();
  workspace_ = static_cast<std::size_t>(plan_.value<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
}

}  // namespace apam::kernels::cudnn

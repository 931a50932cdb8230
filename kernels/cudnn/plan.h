// Plans: a graph, one of cuDNN's engines for it, and the engine's knobs. Heuristics propose engines for a device; rules decide
// which may be used. Nothing here needs a GPU: a device is known by its properties, which may come from a description of it.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "kernels/cudnn/graph.h"

namespace apam::kernels::cudnn {

/// A GPU as cuDNN's heuristics see it.
class Properties {
 public:
  static Properties of_gpu(int index);
  /// From cuDNN's description of a device as JSON.
  static Properties from_json(std::string_view json);

  Handle get() const { return descriptor_.get(); }

 private:
  Properties() : descriptor_(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "properties of the device") {}
  Descriptor descriptor_;
};

/// What products are computed with. In all cases sums are float32.
enum class Arithmetic : std::uint8_t {
  float32,          ///< no tensor cores: they would round operands to TF32
  tensor_cores,     ///< only tensor cores; rounds nothing if the operands are bfloat16
  without_products  ///< no products are summed: any engine
};

/// Plans that are not deterministic, that round operands or sums to narrower types, and Winograd and FFT convolutions, whose
/// rounding errors exceed those of a sum of products, are never used.
struct Rules {
  Arithmetic arithmetic;
  std::size_t workspace;  ///< most bytes
};

/// An engine and its knobs, as text "67: 2=1 13=0 18=0"; the numbers have a meaning for one version of cuDNN only.
struct Engine {
  std::int64_t index = 0;
  std::vector<std::pair<int, std::int64_t>> knobs;  // type (cudnnBackendKnobType_t), value

  std::string to_text() const;
  /// Empty for text that to_text() cannot have written.
  static std::optional<Engine> from_text(std::string_view text);
  friend bool operator==(const Engine&, const Engine&) = default;
};

struct Candidate {
  Engine engine;
  std::size_t workspace = 0;  ///< bytes
  bool tensor_cores = false;
  bool compiled_late = false;  ///< by the driver when the plan is made, which takes a GPU
};

/// The engines that follow the rules, in the order of preference of the heuristics: mode A, then B, then the fallback; each
/// once, and at most `most`. Empty if there are none, or if cuDNN does not support the graph.
std::vector<Candidate> candidates(const Graph&, const Properties&, const Rules&, std::size_t most = 1000);

class Plan {
 public:
  /// Throws NotSupported if cuDNN cannot run the graph with this engine on the device.
  Plan(std::shared_ptr<const Graph>, const Properties&, const Engine&);

  Handle get() const { return plan_.get(); }
  const Graph& graph() const { return *graph_; }
  const Engine& engine() const { return engine_; }
  std::size_t workspace() const { return workspace_; }  ///< bytes

 private:
  std::shared_ptr<const Graph> graph_;
  Engine engine_;
  Descriptor engine_descriptor_, configuration_, plan_;
  std::vector<Descriptor> knobs_;
  std::size_t workspace_ = 0;
};

}  // namespace apam::kernels::cudnn
